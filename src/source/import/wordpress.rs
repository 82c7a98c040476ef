//! The export of WordPress ("WXR"): RSS 2.0 with an item for each post, in elements of its own.
//!
//! Read as a stream. A document type is refused and no entity is known but the five of XML, so there is nothing to expand.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use url::Url;

use super::markup::{self, Place};
use super::{Brought, Fate, Form, Piece, instant, piece, said};
use crate::domain::article::alias;
use crate::domain::media::Enclosure;
use crate::problem::Problem;
use crate::source::{Context, MAX_BYTES, date};

/// Elements within elements; an export has five.
const MAX_DEPTH: usize = 32;

/// Posts of one export.
const MAX_ITEMS: usize = 200_000;

pub(super) fn read(name: &str, text: &str, context: &Context<'_>, own_language: &str) -> Brought {
    let mut export = Export::empty(name, context);
    export.run(text);
    export.finish(own_language)
}

/// One item as it stands there: the text of each of its elements.
#[derive(Default)]
struct Item {
    line: usize,
    /// The line of the body.
    content_line: usize,
    fields: HashMap<String, String>,
    /// Categories and tags: whether a tag, and its name.
    terms: Vec<(bool, String)>,
    /// More about it, by key.
    meta: HashMap<String, String>,
    /// Slugs of before.
    old_slugs: Vec<String>,
    comments: usize,
}

impl Item {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |text| text.trim())
    }
}

/// Where a reading stands.
#[derive(Default)]
struct Reading {
    /// The elements that are open, and what text stands in each.
    open: Vec<(String, String)>,
    item: Option<Item>,
    /// Whether the term that is being read is a tag.
    term: Option<bool>,
    meta_key: String,
    /// What an author logs in with, and their name.
    author: (String, String),
}

/// A line, and why nothing is read behind it.
type Stopped = Option<(usize, String)>;

impl Reading {
    fn push(&mut self, text: &str) -> Stopped {
        if let Some((_, inside)) = self.open.last_mut() {
            inside.push_str(text);
        }
        None
    }
}

struct Export<'a> {
    name: &'a str,
    context: &'a Context<'a>,
    brought: Brought,
    items: Vec<Item>,
    /// Names of authors, by what they log in with.
    authors: HashMap<String, String>,
    /// Addresses of pictures, by number.
    attachments: HashMap<String, String>,
    channel: HashMap<String, String>,
}

impl<'a> Export<'a> {
    fn empty(name: &'a str, context: &'a Context<'a>) -> Self {
        Self {
            name,
            context,
            brought: Brought::default(),
            items: vec![],
            authors: HashMap::new(),
            attachments: HashMap::new(),
            channel: HashMap::new(),
        }
    }

    fn problem(&mut self, line: usize, what: impl Into<String>, hint: &str) {
        self.brought.problems.push(Problem::new(self.name, what).at(line).hint(hint));
    }

    /// Reads the stream as far as it is one.
    fn run(&mut self, text: &str) {
        let mut reader = Reader::from_str(text);
        let mut reading = Reading::default();
        let mut lines = Lines { text, known: (0, 1) };
        loop {
            let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let stopped = match reader.read_event() {
                Ok(Event::Start(start)) => self.start(&mut reading, &start, lines.at(at)),
                Ok(Event::End(_)) => {
                    self.end(&mut reading);
                    None
                }
                Ok(Event::Text(text)) => reading.push(&text.xml10_content()),
                Ok(Event::CData(text)) => reading.push(&text.xml10_content()),
                Ok(Event::GeneralRef(reference)) => {
                    let c = meant(&reference).map(String::from);
                    let written = c.unwrap_or_else(|| {
                        let written = format!("&{};", &*reference);
                        let what = format!("{written} is not known in XML; it stays as text");
                        self.problem(lines.at(at), what, "write the character itself");
                        written
                    });
                    reading.push(&written)
                }
                Ok(Event::DocType(_)) => {
                    let what =
                        "the file has a document type, which no export of WordPress has; nothing behind it was read";
                    Some((lines.at(at), what.to_owned()))
                }
                Ok(Event::Eof) if reading.open.is_empty() => return,
                Ok(Event::Eof) => Some((lines.at(text.len()), "the file ends in the middle".to_owned())),
                Ok(_) => None,
                Err(error) => {
                    let at = usize::try_from(reader.error_position()).unwrap_or(at);
                    Some((lines.at(at), format!("not XML: {error}")))
                }
            };
            if let Some((line, what)) = stopped {
                return self.problem(line, what, "export it anew, in parts if it is large; what came before is here");
            }
        }
    }

    /// An element begins. What comes back stops the reading.
    fn start(&mut self, reading: &mut Reading, start: &BytesStart<'_>, line: usize) -> Stopped {
        if reading.open.len() >= MAX_DEPTH {
            return Some((line, format!("elements are nested more than {MAX_DEPTH} deep; what follows was left out")));
        }
        let element = start.name().as_ref().to_owned();
        match element.as_str() {
            "item" if self.items.len() >= MAX_ITEMS => {
                return Some((line, format!("more than {MAX_ITEMS} posts; what follows was left out")));
            }
            "item" => reading.item = Some(Item { line, ..Item::default() }),
            "category" => reading.term = is_tag(start),
            "content:encoded" => {
                if let Some(item) = &mut reading.item {
                    item.content_line = line;
                }
            }
            _ => {}
        }
        reading.open.push((element, String::new()));
        None
    }

    /// An element ends.
    fn end(&mut self, reading: &mut Reading) {
        let Some((element, text)) = reading.open.pop() else { return };
        let Some(item) = &mut reading.item else {
            return match element.as_str() {
                "wp:author_login" => reading.author.0 = text,
                "wp:author_display_name" => reading.author.1 = text,
                "wp:author" => {
                    let (login, name) = std::mem::take(&mut reading.author);
                    self.authors.insert(login.trim().to_owned(), name.trim().to_owned());
                }
                _ if reading.open.len() == 2 => {
                    self.channel.insert(element, text.trim().to_owned());
                }
                _ => {}
            };
        };
        match element.as_str() {
            "item" => self.items.extend(reading.item.take()),
            "category" => {
                item.terms.extend(reading.term.take().map(|is_tag| (is_tag, markup::plain(&text))));
            }
            "wp:meta_key" => reading.meta_key = text,
            "wp:meta_value" => {
                let key = std::mem::take(&mut reading.meta_key);
                if key.trim() == "_wp_old_slug" {
                    item.old_slugs.push(text);
                } else {
                    item.meta.insert(key, text);
                }
            }
            "wp:comment" => item.comments += 1,
            // Elements of comments are named otherwise than those of posts.
            _ => {
                item.fields.entry(element).or_insert(text);
            }
        }
    }

    fn finish(mut self, own_language: &str) -> Brought {
        for item in &self.items {
            if item.field("wp:post_type") == "attachment" {
                let url = item.field("wp:attachment_url");
                if !url.is_empty() {
                    self.attachments.insert(item.field("wp:post_id").to_owned(), url.to_owned());
                }
            }
        }
        let mut others: HashMap<String, usize> = HashMap::new();
        let mut comments = 0;
        for item in std::mem::take(&mut self.items) {
            match item.field("wp:post_type") {
                "post" | "" => {
                    comments += item.comments;
                    self.post(&item, own_language);
                }
                "page" => self.leave_out(&item, "a page, not a post: bring it as a file if you want it"),
                kind => *others.entry(kind.to_owned()).or_default() += 1,
            }
        }
        let mut others: Vec<_> = others.into_iter().collect();
        others.sort();
        for (kind, count) in others {
            let what = if kind == "attachment" {
                "pictures and files stay where they are, and are linked"
            } else {
                "not posts"
            };
            self.brought.account.push(said(self.name.to_owned(), 0, &format!("{kind}: {count}"), Fate::Dropped, what));
        }
        if comments > 0 {
            let text = format!("comments: {comments}");
            self.brought.account.push(said(
                self.name.to_owned(),
                0,
                &text,
                Fate::Dropped,
                "readers' comments are not brought",
            ));
        }
        self.brought
    }

    fn leave_out(&mut self, item: &Item, what: &str) {
        let title = markup::plain(item.field("title"));
        self.brought.account.push(said(self.name.to_owned(), item.line, &title, Fate::Dropped, what));
    }

    fn post(&mut self, item: &Item, own_language: &str) {
        let mut doubts = vec![];
        let draft = match item.field("wp:status") {
            "publish" | "future" | "" => false,
            "draft" | "pending" => true,
            "private" => {
                doubts.push("it was private there: a draft here");
                true
            }
            "trash" => return self.leave_out(item, "it is in the trash there"),
            "auto-draft" | "inherit" => return self.leave_out(item, "kept by WordPress for itself"),
            _ => {
                doubts.push("its status is not known: a draft here");
                true
            }
        };
        let is_locked = !item.field("wp:post_password").is_empty();
        if is_locked {
            doubts.push("it was behind a password there: a draft here");
        }
        let title = markup::plain(item.field("title"));
        let title = if title.is_empty() { item.field("wp:post_name").replace('-', " ") } else { title };
        if title.trim().is_empty() {
            return self.problem(item.line, "a post without a title", "give it one there, and export it anew");
        }
        let at = self.date(item);
        let page = self.page(item);
        let written = item.field("content:encoded");
        if written.len() as u64 > MAX_BYTES {
            return self.problem(
                item.line,
                format!("a post of more than {} MiB: {title:?}", MAX_BYTES / 1024 / 1024),
                "take what it embeds out of it, and export it anew",
            );
        }
        let html = captions(written);
        // Posts that were made of blocks say so in comments.
        let html = if html.contains("<!-- wp:") { html } else { markup::paragraphs(&html) };
        let place = Place { page: &page, name: self.name, line: Some(item.content_line.max(item.line)) };
        let body = markup::cleaned(&html, &place, &mut self.brought.problems);
        self.shortcodes(item, written);
        let mut sections = item.terms.iter().filter(|(is_tag, _)| !is_tag).map(|(_, name)| name.clone());
        let section = sections.next().filter(|name| name != "Uncategorized");
        let mut tags: Vec<String> =
            item.terms.iter().filter(|(is_tag, _)| *is_tag).map(|(_, name)| name.clone()).collect();
        tags.extend(sections.filter(|name| name != "Uncategorized"));
        let login = item.field("dc:creator");
        let author = self.authors.get(login).filter(|name| !name.is_empty()).map_or(login, String::as_str).to_owned();
        let summary = Some(markup::plain(item.field("excerpt:encoded"))).filter(|summary| !summary.is_empty());
        let image = item.meta.get("_thumbnail_id").and_then(|id| self.attachments.get(id.trim())).cloned();
        let language =
            self.channel.get("language").filter(|tag| !tag.is_empty() && !same_language(tag, own_language)).cloned();
        let draft = draft || is_locked;
        if at.is_none() && !draft {
            doubts.push("it has no date there: dated today");
        }
        for doubt in doubts {
            self.brought.account.push(said(self.name.to_owned(), item.line, &title, Fate::Read, doubt));
        }
        let slug = Some(item.field("wp:post_name")).filter(|slug| !slug.is_empty()).map(percent_decoded);
        self.brought.pieces.push(Piece {
            origin: self.name.to_owned(),
            line: Some(item.line),
            title,
            slug,
            section,
            language,
            date: Some(instant(at.unwrap_or(self.context.now))),
            is_dated_now: at.is_none(),
            authors: Some(author).filter(|author| !author.is_empty()).into_iter().collect(),
            tags,
            summary,
            image,
            enclosure: item.meta.get("enclosure").and_then(|written| enclosure(written)),
            aliases: old_addresses(item),
            featured: item.field("wp:is_sticky") == "1",
            draft,
            archive: !draft && at.is_none_or(|at| at <= self.context.now),
            form: Form::Html,
            body,
            ..Piece::default()
        });
    }

    fn date(&self, item: &Item) -> Option<DateTime<Utc>> {
        let written = |name: &str| Some(item.field(name)).filter(|date| !date.starts_with("0000"));
        let utc = written("wp:post_date_gmt").and_then(|at| date::parse(at, chrono_tz::UTC));
        let local = || written("wp:post_date").and_then(|at| date::parse(at, self.context.time_zone));
        let rss = || Some(DateTime::parse_from_rfc2822(item.field("pubDate")).ok()?.with_timezone(&Utc));
        utc.or_else(local).or_else(rss)
    }

    /// Where it stood: relative links start from there.
    fn page(&self, item: &Item) -> Url {
        let site = ["wp:base_blog_url", "wp:base_site_url", "link"]
            .iter()
            .find_map(|key| Url::parse(self.channel.get(*key)?).ok());
        let page = Url::parse(item.field("link")).ok().filter(Url::has_host);
        page.or(site).unwrap_or_else(|| self.context.base.clone())
    }

    /// Points out what WordPress would have run.
    fn shortcodes(&mut self, item: &Item, written: &str) {
        let found = written.match_indices('[').find_map(|(at, _)| {
            let inside = &written[at + 1..];
            let end = inside.find(']').filter(|end| *end < 300)?;
            let name = inside[..end].split([' ', '/']).next()?;
            let is_name =
                name.len() > 2 && name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'));
            let is_code =
                inside[..end].contains('=') || ["gallery", "embed", "audio", "video", "playlist"].contains(&name);
            (is_name && is_code && name != "caption").then(|| (at, inside[..end].to_owned()))
        });
        if let Some((at, code)) = found {
            let line = item.content_line + written[..at].matches('\n').count();
            self.problem(
                line,
                format!("shortcodes are not run: this one stays as text: [{code}]"),
                "write what it stands for into the article",
            );
        }
    }
}

/// Whether two tags are the same language, whatever the region.
fn same_language(a: &str, b: &str) -> bool {
    let primary = |tag: &str| tag.split(['-', '_']).next().unwrap_or_default().to_lowercase();
    primary(a) == primary(b)
}

/// `[caption …]<img …> words[/caption]` as a figure.
fn captions(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find("[caption") {
        let Some((inside, after)) = rest[at..].find(']').and_then(|end| rest[at + end + 1..].split_once("[/caption]"))
        else {
            break;
        };
        out.push_str(&rest[..at]);
        let picture_end =
            inside.find("<img").and_then(|img| inside[img..].find('>').map(|end| img + end + 1)).unwrap_or(0);
        let picture_end = inside[picture_end..]
            .trim_start()
            .strip_prefix("</a>")
            .map_or(picture_end, |left| inside.len() - left.len());
        let (picture, words) = inside.split_at(picture_end);
        out.extend(["<figure>", picture.trim(), "<figcaption>", words.trim(), "</figcaption></figure>"]);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Where a post stood under the slugs that it had before: at its address, with that in the place of its last part.
fn old_addresses(item: &Item) -> Vec<String> {
    let Ok(page) = Url::parse(item.field("link")) else { return vec![] };
    let path = page.path().trim_end_matches('/');
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut paths: Vec<String> = vec![];
    for slug in &item.old_slugs {
        let path = alias(&format!("{folder}/{}", percent_decoded(slug.trim())));
        paths.extend(path.filter(|path| !paths.contains(path)).map(|path| path + "/"));
    }
    paths
}

/// What WordPress keeps of a slug in letters that are not Latin.
fn percent_decoded(slug: &str) -> String {
    percent_decode_str(slug).decode_utf8_lossy().into_owned()
}

/// Whether a term is a tag; `None` where it is neither that nor a category.
fn is_tag(start: &BytesStart<'_>) -> Option<bool> {
    let domain = start.attributes().flatten().find(|attribute| attribute.key.as_ref() == "domain")?;
    match &*domain.value {
        "category" => Some(false),
        "post_tag" => Some(true),
        _ => None,
    }
}

/// The character that a reference means (XML 1.0 §4.1, §4.6).
fn meant(reference: &BytesRef<'_>) -> Option<char> {
    match &**reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => reference.resolve_char_ref().ok().flatten(),
    }
}

/// Lines of offsets that only grow.
struct Lines<'a> {
    text: &'a str,
    known: (usize, usize),
}

impl Lines<'_> {
    fn at(&mut self, offset: usize) -> usize {
        let (from, line) = if self.known.0 <= offset { self.known } else { (0, 1) };
        let passed = self.text.as_bytes().get(from..offset.min(self.text.len())).unwrap_or_default();
        self.known = (offset, line + memchr::memchr_iter(b'\n', passed).count());
        self.known.1
    }
}
/// What WordPress and its podcast plug-ins keep of a file: its address, size and media type, a line each.
fn enclosure(written: &str) -> Option<Enclosure> {
    let mut lines = written.lines().map(str::trim);
    let (url, length, kind) = (lines.next()?, lines.next(), lines.next());
    piece::enclosure(url, length.and_then(|length| length.parse().ok()), kind)
}
