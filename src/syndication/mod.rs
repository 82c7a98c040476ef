//! A feed to bytes: RSS 2.0, Atom, JSON Feed, and the list of feeds as OPML.
//!
//! | Module | Writes | By |
//! |---|---|---|
//! | [`rss`] | RSS 2.0 with the RSS Profile's advice | the crate `rss` |
//! | [`atom`] | Atom (RFC 4287) | the crate `atom_syndication` |
//! | [`json`] | JSON Feed 1.1 | `serde_json` |
//! | [`opml`] | OPML 2.0 | hand |
//!
//! `podcast` has what podcast apps read in RSS, `media` what Media RSS tells of pictures and of what plays.
//!
//! Everything here is pure and cannot fail: one [`FeedDocument`] gives the same bytes for ever, and whatever text
//! stands in it, the document is well-formed and a parser reads the same clean text from it. Nothing here knows
//! where an article came from, where the bytes go, or what time it is.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::domain::entry::{Entry, FeedDocument};
use crate::domain::text::{clean, escape_html};

pub mod atom;
pub mod json;
mod media;
pub mod opml;
mod podcast;
pub mod rss;

/// What the documents name as their maker. It bears no version: an upgrade changes no feed.
const GENERATOR: &str = "Tidings";

/// Namespace of Media RSS; its final slash belongs to it (Media RSS 1.5.1, "Namespace declaration").
const MEDIA_NAMESPACE: &str = "http://search.yahoo.com/mrss/";

/// Namespace of what marks a document as one that is archived (RFC 5005 §4).
const HISTORY_NAMESPACE: &str = "http://purl.org/syndication/history/1.0";

/// Namespace of what marks an entry as deleted (RFC 6721 §3).
const TOMBSTONES_NAMESPACE: &str = "http://purl.org/atompub/tombstones/1.0";

/// The formats that every feed is published in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// RSS 2.0.
    Rss,
    /// Atom (RFC 4287).
    Atom,
    /// JSON Feed 1.1.
    Json,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Rss, Self::Atom, Self::Json];

    /// Name of the document's file.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Rss => "rss.xml",
            Self::Atom => "atom.xml",
            Self::Json => "feed.json",
        }
    }

    /// Value of the document's `Content-Type`. JSON has no `charset`: it is always UTF-8 (RFC 8259 §8.1 and §11).
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Rss => "application/rss+xml; charset=utf-8",
            Self::Atom => "application/atom+xml; charset=utf-8",
            Self::Json => "application/feed+json",
        }
    }

    /// Where the feed stands in this format.
    pub fn url(self, feed: &FeedDocument) -> &str {
        match self {
            Self::Rss => &feed.rss_url,
            Self::Atom => &feed.atom_url,
            Self::Json => &feed.json_url,
        }
    }

    /// The feed in this format.
    pub fn bytes(self, feed: &FeedDocument) -> Vec<u8> {
        match self {
            Self::Rss => rss::bytes(feed),
            Self::Atom => atom::bytes(feed),
            Self::Json => json::bytes(feed),
        }
    }
}

/// Where the other documents of a feed are in a format, by their link relation (RFC 5005 §4).
fn neighbours(feed: &FeedDocument, format: Format) -> impl Iterator<Item = (&'static str, String)> {
    let history = &feed.history;
    let related = [("current", &history.current), ("prev-archive", &history.previous), ("next-archive", &history.next)];
    let url = move |folder: &String| format!("{}/{}", line(folder), format.file_name());
    related.into_iter().filter_map(move |(rel, folder)| Some((rel, url(folder.as_ref()?))))
}

/// Clean text whose lines end as every XML parser reports them: with a line feed (XML 1.0 §2.11).
fn block(text: &str) -> Cow<'_, str> {
    let text = clean(text);
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text }
}

/// Clean text on one line: what attribute values come back as (XML 1.0 §3.3.3), and what titles, names and URLs are.
fn line(text: &str) -> Cow<'_, str> {
    let text = clean(text);
    if text.contains(['\t', '\r', '\n']) {
        text.replace("\r\n", " ").replace(['\t', '\r', '\n'], " ").into()
    } else {
        text
    }
}

/// One line of text, or nothing where no more than white space is left of it.
fn some_line(text: &str) -> Option<Cow<'_, str>> {
    Some(line(text)).filter(|text| !text.trim().is_empty())
}

/// A block of text, or nothing where no more than white space is left of it.
fn some_block(text: &str) -> Option<Cow<'_, str>> {
    Some(block(text)).filter(|text| !text.trim().is_empty())
}

/// The articles of a feed that has them in full, in the order of their entries.
fn contents(feed: &FeedDocument) -> Vec<Cow<'_, str>> {
    feed.entries.iter().filter_map(|entry| entry.html.as_deref().map(block)).collect()
}

/// Names of those who wrote the entry.
fn authors(entry: &Entry) -> impl Iterator<Item = Cow<'_, str>> {
    entry.authors.iter().filter_map(|name| some_line(name))
}

/// The words that an entry can be sorted by: its label, its section and its tags, each once.
fn categories(entry: &Entry) -> Vec<Cow<'_, str>> {
    let mut seen = HashSet::with_capacity(entry.categories.len() + 1);
    let words = entry.label.iter().chain(&entry.categories).filter_map(|word| some_line(word));
    words.filter(|word| seen.insert(word.clone())).collect()
}

/// How an XML document begins: its declaration, and the stylesheet that makes it readable in a browser.
///
/// CSS, for browsers are dropping XSLT. The URL is escaped as a pseudo-attribute, so that it cannot end the
/// instruction (Associating Style Sheets with XML documents 1.0, §2 and §3).
fn prolog(stylesheet_url: Option<&str>) -> String {
    let mut prolog = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    if let Some(url) = stylesheet_url.and_then(some_line) {
        prolog.extend(["<?xml-stylesheet type=\"text/css\" href=\"", &escape_html(&url), "\"?>\n"]);
    }
    prolog
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_an_xml_parser_reports_them() {
        assert_eq!(block("a\r\nb\rc\n\u{1}d"), "a\nb\nc\nd");
        assert_eq!(line("a\r\nb\tc\u{fffe}"), "a b c");
        assert!(matches!(block("plain\n"), Cow::Borrowed(_)));
        assert_eq!(some_line(" \u{1}\n"), None);
    }

    #[test]
    fn a_stylesheet_url_cannot_end_its_instruction() {
        assert_eq!(
            prolog(Some("https://a.example/?>\"<x>&'")).lines().nth(1),
            Some("<?xml-stylesheet type=\"text/css\" href=\"https://a.example/?&gt;&quot;&lt;x&gt;&amp;&#39;\"?>")
        );
        assert_eq!(prolog(None), "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    }

    #[test]
    fn each_format_has_its_own_file_and_type() {
        let names = Format::ALL.map(Format::file_name);
        assert_eq!(names, ["rss.xml", "atom.xml", "feed.json"]);
        let types = Format::ALL.map(Format::content_type);
        assert_eq!(types[2], "application/feed+json");
        assert!(types[..2].iter().all(|kind| kind.ends_with("+xml; charset=utf-8")));
    }
}
