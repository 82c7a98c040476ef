//! Articles: one parsed, sanitised piece with a stable identity, and the moment it became public.

use std::fmt;

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::media::Enclosure;

/// The identity of an article for as long as it exists, whatever happens to its title, slug or file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArticleId(pub Uuid);

impl ArticleId {
    /// A new identity; the random part comes from the operating system, the time part from `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self(uuid_at(now))
    }

    /// So many new identities in ascending order: rows that come together stand together in every index.
    pub fn several(now: DateTime<Utc>, count: usize) -> Vec<Self> {
        let mut ids: Vec<Self> = std::iter::repeat_with(|| Self::new(now)).take(count).collect();
        ids.sort_unstable();
        ids
    }
}

impl fmt::Display for ArticleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version 7 UUID (RFC 9562 §5.7) whose time part is `now`.
pub fn uuid_at(now: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.timestamp_subsec_nanos()))
}

/// The last part of an article's URL: lower-case ASCII letters, digits and single hyphens, 1 to 120 of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// Longest slug in characters: with a suffix and a file ending it stays below the 255 bytes of a file name.
    pub const MAX: usize = 120;

    /// Any text turned into a slug (letters of all scripts are transliterated); `None` where nothing is left of it.
    pub fn from_text(text: &str) -> Option<Self> {
        let ascii = deunicode::deunicode(text);
        let mut slug = String::with_capacity(ascii.len());
        for c in ascii.chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c.to_ascii_lowercase());
            } else if c != '\'' && !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
            if slug.len() >= Self::MAX {
                break;
            }
        }
        let slug = slug.trim_end_matches('-');
        (!slug.is_empty()).then(|| Self(slug.to_owned()))
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A picture that stands for an article.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Absolute URL.
    pub url: String,
    /// What it shows, for those who do not see it; empty where it only decorates.
    pub alt: String,
    /// Width and height in pixels, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u32, u32)>,
}

/// Where an article stood first, if it came from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Absolute URL.
    pub url: String,
    /// Whether feeds, mail and lists lead there; else they lead to its page here, which names the original.
    pub is_linked: bool,
}

/// One question of an article's "Frequently asked questions".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The question, plain text.
    pub question: String,
    /// The answer, sanitised HTML.
    pub answer_html: String,
}

/// One article as its author left it, parsed and sanitised. What it says is plain text unless the name says HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// Stable identity.
    pub id: ArticleId,
    /// Its place within its source: the path below the folder, with `/`.
    pub key: String,
    /// Last part of its URL; unique in a publication.
    pub slug: Slug,
    /// Title; never empty.
    pub title: String,
    /// A few words above the title, such as "Breaking news".
    pub label: Option<String>,
    /// Dateline: where it was reported from.
    pub place: Option<String>,
    /// The part of the publication that it belongs to.
    pub section: Option<String>,
    /// Language tag (BCP 47) where it differs from the publication's.
    pub language: Option<String>,
    /// The date that it bears.
    pub date: DateTime<Utc>,
    /// When it was last edited in substance, as its author says.
    pub updated: Option<DateTime<Utc>>,
    /// Names of those who wrote it.
    pub authors: Vec<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
    /// What it is about: given, or its first paragraph.
    pub summary: String,
    /// Whether its author wrote the summary.
    pub summary_given: bool,
    /// Body: sanitised HTML, links and images absolute.
    pub html: String,
    /// The picture that stands for it.
    pub image: Option<Image>,
    /// What it brings along to be heard or watched.
    pub enclosure: Option<Enclosure>,
    /// Shown under "Don't miss".
    pub featured: bool,
    /// Slugs of the articles under "Also read".
    pub related: Vec<String>,
    /// Questions and answers.
    pub faq: Vec<Question>,
    /// Where it stood first; none where that is here.
    pub original: Option<Original>,
    /// Not public yet.
    pub draft: bool,
    /// Words in the body.
    pub words: u32,
}

impl Article {
    /// Words that an adult reads silently in a minute: 238 (Brysbaert 2019, doi:10.1016/j.jml.2019.104047).
    pub const WORDS_PER_MINUTE: u32 = 238;

    /// Reading time in minutes, at least one.
    pub fn minutes(&self) -> u32 {
        self.words.div_ceil(Self::WORDS_PER_MINUTE).max(1)
    }

    /// When it last changed in substance: `updated` where it is later than `date`.
    pub fn changed_at(&self) -> DateTime<Utc> {
        self.updated.map_or(self.date, |updated| updated.max(self.date))
    }
}

/// The moment an article first became public. Backdating or editing the article does not change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Ever-growing number, in the order of release.
    pub number: i64,
    /// When that was.
    pub at: DateTime<Utc>,
    /// Released with the first sync of an existing folder, or by its file's own word: no digest brings it by itself.
    pub archive: bool,
    /// Its identity in every feed for ever: a `tag:` URI (RFC 4151).
    pub entry_id: String,
}

/// An article that is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// What it says.
    pub article: Article,
    /// When it became public.
    pub release: Release,
}

/// What became of an article's address at which nothing stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// The article has another slug now.
    Moved(String),
    /// It is not public any more.
    Gone,
    /// There never was one.
    Unknown,
}

/// What stands before an article's id in its entry id: `tag:AUTHORITY,DATE:` (RFC 4151 §2.1), fixed at release.
///
/// The authority is the host of the publication's URL at that moment; a later move to another host keeps the ids.
pub fn entry_id_prefix(host: &str, released_at: DateTime<Utc>) -> String {
    format!("tag:{host},{:04}-{:02}-{:02}:", released_at.year(), released_at.month(), released_at.day())
}

/// First parts of addresses that are this program's own.
const OWN: [&str; 18] = [
    "feeds",
    "digests",
    "hub",
    "sources",
    "reports",
    "subscribe",
    "confirm",
    "unsubscribe",
    "back",
    "preferences",
    "erase",
    "address",
    "index.html",
    "style.css",
    "feed.css",
    "form.js",
    "feeds.opml",
    "robots.txt",
];

/// Longest address of before, in bytes.
const MAX_ALIAS: usize = 500;
/// Longest part of one, in bytes: file systems have names of 255 at most, and ours get an ending while they are written.
const MAX_ALIAS_PART: usize = 200;

/// An address of before as it is looked for: a path below the publication, with a slash in front and none behind; none
/// where it can be no such, or is one of this program's own.
pub fn alias(written: &str) -> Option<String> {
    let written = written.trim().trim_matches('/');
    let is_plain = |part: &str| {
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || "\\:?#%<>\"|*".contains(c);
        !part.is_empty() && part.len() <= MAX_ALIAS_PART && !part.starts_with('.') && !part.chars().any(is_odd)
    };
    let is_own = OWN.contains(&written.split('/').next().unwrap_or_default());
    (written.len() <= MAX_ALIAS && written.split('/').all(is_plain) && !is_own).then(|| format!("/{written}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_of_ascii_letters_digits_and_single_hyphens() {
        let slug = |text| Slug::from_text(text).map(|slug| slug.as_str().to_owned());
        assert_eq!(slug("The lighthouse — lit again!").as_deref(), Some("the-lighthouse-lit-again"));
        assert_eq!(slug("O'Neill's Café").as_deref(), Some("oneills-cafe"));
        assert_eq!(slug("Ещё не всё").as_deref(), Some("eshchio-ne-vsio"));
        assert_eq!(slug("../../etc/passwd\0").as_deref(), Some("etc-passwd"));
        assert_eq!(slug("…!?"), None);
        assert_eq!(Slug::from_text(&"a".repeat(4096)).unwrap().as_str().len(), Slug::MAX);
    }

    #[test]
    fn an_address_of_before_is_a_path_and_none_of_our_own() {
        for (written, path) in [
            ("/old/path/", "/old/path"),
            ("old.html", "/old.html"),
            ("/2020/05/été/", "/2020/05/été"),
            ("/articles/old/", "/articles/old"),
        ] {
            assert_eq!(alias(written).as_deref(), Some(path));
        }
        assert!(alias(&"a".repeat(200)).is_some() && alias(&"a".repeat(201)).is_none());
        for written in [
            "",
            "/",
            "/../x",
            "/a/../b",
            "/a//b",
            "/.git/x",
            "/a\\b",
            "https://b.example/x",
            "/a?b=c",
            "/%2e%2e/x",
            "/feeds/news/",
            "/hub",
        ] {
            assert_eq!(alias(written), None, "{written}");
        }
    }
}
