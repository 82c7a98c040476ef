//! Feeds elsewhere: a document of theirs read, in whatever format, and its entries as they become articles.
//!
//! | File | What it knows |
//! |---|---|
//! | `guard` | XML looked through before it is read: depth, place of each entry, withdrawals, rhythm |
//! | `mend` | what is written a little wrong in it |
//! | `xml` | RSS and Atom, by feed-rs |
//! | `json` | JSON Feed |
//! | `entry` | what an entry becomes |
//! | `full` | when its text is looked for on its page, and what is taken from there |
//!
//! A document is refused as a whole only where nothing in it can be relied on. One bad entry is complained about, and the
//! others come in. Nothing is fetched from here.

mod entry;
mod full;
mod guard;
mod json;
mod mend;
mod xml;

use std::collections::HashMap;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use url::Url;

use super::decode;
use super::link::bare;
use crate::domain::media::{Enclosure, is_media_type, media_type as media_type_of};
use crate::domain::text::one_line;
use crate::problem::Problem;

pub use entry::{Manner, article, slug, title};
pub use full::{full_text, is_summary, with_full_text};

/// Entries of one document that are taken, the first of it.
const MAX_ENTRIES: usize = 20_000;

/// Complaints about one document that a person can use.
const MAX_PROBLEMS: usize = 100;

/// Longest id that is kept as it is, in characters; a longer one goes by its hash.
const MAX_ID: usize = 500;

/// A document as it came.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Where it was found.
    pub url: &'a Url,
    /// Its `Content-Type`.
    pub content_type: Option<&'a str>,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What a document says.
#[derive(Debug, Default)]
pub struct Remote {
    /// The feed's title.
    pub title: Option<String>,
    /// Its entries, in its order, each id once.
    pub entries: Vec<Box<RemoteEntry>>,
    /// Ids of the entries that it withdraws.
    pub gone: Vec<String>,
    /// How often it changes, as it says itself.
    pub every: Option<TimeDelta>,
    /// Addresses of the hubs that tell of its changes, as it names them (WebSub §4).
    pub hubs: Vec<Url>,
    /// Its own address, as it names it: what hubs know it by.
    pub topic: Option<Url>,
    /// What is wrong with single entries.
    pub problems: Vec<Problem>,
}

/// An entry as its feed has it, with nothing made of it yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteEntry {
    /// Its identity in its feed: its id, else its link, else a hash of title and date.
    pub key: String,
    /// Where it stands.
    pub link: Option<Url>,
    /// Where its own links start from, unless that is where it stands.
    pub base: Option<Url>,
    /// Title.
    pub title: Option<Words>,
    /// The whole of it.
    pub content: Option<Words>,
    /// What it is about, or else the whole of it.
    pub summary: Option<Words>,
    /// When it was published; none where it does not say, or says what cannot be.
    pub published: Option<DateTime<Utc>>,
    /// When it was edited.
    pub updated: Option<DateTime<Utc>>,
    /// Names.
    pub authors: Vec<String>,
    /// Categories.
    pub tags: Vec<String>,
    /// Language tag.
    pub language: Option<String>,
    /// Address and description of its picture.
    pub picture: Option<(String, String)>,
    /// What it brings along to be heard or watched.
    pub enclosure: Option<Enclosure>,
}

/// What a feed names as an enclosure, unless it is a picture or cannot be loaded. A length of nothing is one that nobody
/// knew.
fn enclosure(url: &str, kind: Option<String>, length: Option<u64>, duration_s: Option<u32>) -> Option<Enclosure> {
    let url = Url::parse(url.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    let media_type = kind.map(|kind| kind.trim().to_ascii_lowercase()).filter(|kind| is_media_type(kind));
    let length = length.filter(|length| *length > 0);
    let duration_s = duration_s.filter(|seconds| *seconds > 0);
    let found = Enclosure { url: bare(&url).into(), length, media_type, duration_s, ..Enclosure::default() };
    let is_page = matches!(found.media_type.as_deref(), Some("text/html" | "application/xhtml+xml"));
    // What has no type and no ending that is known may be anything.
    let is_known = found.media_type.is_some() || media_type_of(&found.url).is_some();
    (is_known && !is_page && !found.kind().starts_with("image/")).then_some(found)
}

/// Text in one of the ways in which feeds write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// As it is.
    Plain(String),
    /// HTML.
    Html(String),
    /// Nobody says which: RSS titles are written both ways.
    Either(String),
}

impl Words {
    fn written(&self) -> &str {
        let (Self::Plain(text) | Self::Html(text) | Self::Either(text)) = self;
        text
    }

    fn is_blank(&self) -> bool {
        self.written().trim().is_empty()
    }
}

/// Reads a document.
///
/// # Errors
/// What is wrong with it as a whole, and what to do about it.
pub fn read(document: &Document<'_>) -> Result<Remote, Problem> {
    // What is relative in it is relative to this.
    let url = bare(document.url);
    let file = url.to_string();
    let text = decode::document(document.bytes, document.content_type);
    if text.is_empty() {
        let what = if document.bytes.is_empty() {
            "there is an empty document"
        } else {
            "there is no feed, but something else"
        };
        return Err(Problem::new(file, what).hint("open the address in a browser: is it that of a feed?"));
    }
    let mut remote =
        if text.starts_with('{') { json::read(&text, &url, &file)? } else { xml::read(&text, &url, &file)? };
    once_each(&mut remote, &file);
    Ok(remote)
}

/// A feed's address as it may be shown: without the name and password that it may hold.
pub fn shown(url: &Url) -> String {
    bare(url).into()
}

/// Of entries with the same id the one edited last stays, at the place of the first; a withdrawal that is older than the
/// entry withdraws nothing.
fn once_each(remote: &mut Remote, file: &str) {
    remote.entries.truncate(MAX_ENTRIES);
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<Box<RemoteEntry>> = Vec::with_capacity(remote.entries.len());
    for entry in std::mem::take(&mut remote.entries) {
        match places.get(&entry.key) {
            None => {
                places.insert(entry.key.clone(), kept.len());
                kept.push(entry);
            }
            Some(place) => {
                let before = &mut kept[*place];
                if before.link != entry.link && remote.problems.len() < MAX_PROBLEMS {
                    let what = format!("two entries have the id {:?}; only one of them is taken", short(&entry.key));
                    remote.problems.push(
                        Problem::new(file, what)
                            .hint("have the feed give each entry an id of its own that never changes"),
                    );
                }
                if entry.updated.or(entry.published) > before.updated.or(before.published) {
                    *before = entry;
                }
            }
        }
    }
    remote.entries = kept;
    remote.gone.retain(|id| !places.contains_key(id));
    remote.problems.truncate(MAX_PROBLEMS);
}

/// An identity: the entry's own id, else its link, else a hash of title and date, and of the text where both are missing.
fn key(id: &str, entry: &RemoteEntry) -> Option<String> {
    let id = one_line(id);
    if !id.is_empty() {
        return Some(if id.chars().count() > MAX_ID { format!("id:{}", hash([&id])) } else { id });
    }
    if let Some(link) = &entry.link {
        return Some(link.to_string());
    }
    let part =
        |words: &Option<Words>| words.as_ref().map(|words| words.written().trim().to_owned()).unwrap_or_default();
    let date = entry.published.map(|date| date.to_rfc3339()).unwrap_or_default();
    let (title, body) = (part(&entry.title), part(&entry.content) + &part(&entry.summary));
    match (title.is_empty(), body.is_empty()) {
        (true, true) => None,
        (true, false) => Some(format!("text:{}", hash([&body]))),
        _ => Some(format!("title:{}", hash([&title, &date]))),
    }
}

/// Half of the SHA-256 of texts, in hexadecimal digits.
fn hash<'a>(parts: impl IntoIterator<Item = &'a String>) -> String {
    use std::fmt::Write as _;
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref()[..16].iter().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn short(text: &str) -> String {
    crate::domain::text::shorten(&one_line(text), 80)
}

/// A date that can be one. What content systems write where there is none is none: years before 1900 and after 9999,
/// and the first second of 1970.
fn dated(date: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    date.filter(|date| (1900..=9999).contains(&date.year()) && date.timestamp() != 0)
}

/// Names on one line each, each once; an address of mail is nobody's name.
fn names(written: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    for name in written {
        let name = one_line(&name);
        let name = name.strip_prefix('(').and_then(|name| name.strip_suffix(')')).unwrap_or(&name);
        let name = crate::domain::text::shorten(name.trim(), 120);
        if !name.is_empty() && !name.contains('@') && !names.contains(&name) && names.len() < 20 {
            names.push(name);
        }
    }
    names
}

/// Categories, likewise.
fn tags(written: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut tags: Vec<String> = vec![];
    for tag in written {
        let tag = crate::domain::text::shorten(&entry::plain(&Words::Either(tag)), 80);
        if !tag.is_empty() && !tags.contains(&tag) && tags.len() < 30 {
            tags.push(tag);
        }
    }
    tags
}

/// A link as it was written, absolute, if it leads anywhere on the web.
fn link(written: &str, base: &Url) -> Option<Url> {
    let written = written.trim();
    let url = (!written.is_empty()).then(|| base.join(written).ok())??;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}
