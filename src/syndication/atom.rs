//! The Atom Syndication Format (RFC 4287), written by the crate `atom_syndication` but for the articles themselves: these are
//! put in their places in one pass, where the crate would copy each several times.
//!
//! Content and titles go out as escaped text, never as `xhtml`, which the crate would insert unchecked.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ::atom_syndication::extension::{Extension, ExtensionMap};
use ::atom_syndication::{Category, Content, Feed, FixedDateTime, Generator, Link, Person, Text, WriteConfig};
use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, SubsecRound, Utc};
use memchr::memmem;

use super::{
    Format, GENERATOR, HISTORY_NAMESPACE, MEDIA_NAMESPACE, TOMBSTONES_NAMESPACE, authors, block, categories, contents,
    line, media, neighbours, prolog, some_block, some_line,
};
use crate::domain::entry::{Deleted, Entry, FeedDocument};
use crate::domain::media::Enclosure;
use crate::domain::text::escape_html;

/// The feed as an Atom document in UTF-8.
pub fn bytes(feed: &FeedDocument) -> Vec<u8> {
    let prolog = prolog(feed.stylesheet_url.as_deref()).into_bytes();
    let config = WriteConfig { write_document_declaration: false, indent_size: None };
    let written = document(feed).write_with_config(prolog, config).expect("memory takes what is written to it");
    with_contents(&entries_last(written), &contents(feed))
}

/// The document with the contents in their places.
fn with_contents(written: &[u8], contents: &[Cow<str>]) -> Vec<u8> {
    let length: usize = contents.iter().map(|content| content.len() + content.len() / 4).sum();
    let mut document = Vec::with_capacity(length + written.len());
    let place = memmem::Finder::new(b"<content ");
    let mut rest = written;
    for content in contents {
        let Some(end) = place.find(rest).and_then(|at| Some(at + 1 + memchr::memchr(b'>', &rest[at..])?)) else {
            break;
        };
        document.extend_from_slice(&rest[..end]);
        push_escaped(&mut document, content);
        rest = &rest[end..];
    }
    document.extend_from_slice(rest);
    document
}

/// Text as character data (XML 1.0 §2.4). Quotation marks stay as they are: HTML is full of them.
fn push_escaped(document: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr3(b'&', b'<', b'>', rest) {
        document.extend_from_slice(&rest[..at]);
        document.extend_from_slice(match rest[at] {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            _ => b"&gt;",
        });
        rest = &rest[at + 1..];
    }
    document.extend_from_slice(rest);
}

/// The document with its entries behind everything else, as the schema has it (Appendix B): the crate writes what is of
/// other namespaces behind them. No text can look like these tags, for each `<` in one is escaped.
fn entries_last(written: Vec<u8>) -> Vec<u8> {
    const CLOSING: &[u8] = b"</entry>";
    let first = memmem::find(&written, b"<entry>");
    let (Some(first), Some(last)) = (first, memmem::rfind(&written, CLOSING)) else { return written };
    let (before, entries) = written.split_at(first);
    let (entries, behind) = entries.split_at(last + CLOSING.len() - first);
    match behind.strip_suffix(b"</feed>") {
        Some(others) if !others.is_empty() => [before, others, entries, b"</feed>"].concat(),
        _ => written,
    }
}

fn document(feed: &FeedDocument) -> Feed {
    let mut document = Feed {
        id: line(&feed.id).into_owned(),
        title: Text::plain(line(&feed.title)),
        subtitle: some_block(&feed.description).map(Text::plain),
        updated: instant(feed.updated.unwrap_or_else(|| born(&feed.id))),
        // Stands for every entry that names nobody (§4.1.1).
        authors: vec![Person {
            name: line(&feed.publication).into_owned(),
            uri: some_line(&feed.publication_url).map(Into::into),
            ..Default::default()
        }],
        generator: Some(Generator { value: GENERATOR.to_owned(), ..Default::default() }),
        logo: feed.image.as_ref().map(|image| line(&image.url).into_owned()),
        links: vec![
            link("alternate", &feed.page_url, Some("text/html")),
            link("self", &feed.atom_url, Some("application/atom+xml")),
        ],
        lang: some_line(&feed.language).map(Into::into),
        entries: feed.entries.iter().map(entry).collect(),
        ..Default::default()
    };
    document.links.extend(feed.hubs.iter().map(|hub| link("hub", hub, None)));
    let others = neighbours(feed, Format::Atom).map(|(rel, url)| link(rel, &url, Some("application/atom+xml")));
    document.links.extend(others);
    if feed.history.current.is_some() {
        document.namespaces.insert("fh".to_owned(), HISTORY_NAMESPACE.to_owned());
        let mark = Extension { name: "fh:archive".to_owned(), ..Default::default() };
        document.extensions.insert("fh".to_owned(), [("archive".to_owned(), vec![mark])].into());
    }
    if !feed.history.deleted.is_empty() {
        document.namespaces.insert("at".to_owned(), TOMBSTONES_NAMESPACE.to_owned());
        let deleted = feed.history.deleted.iter().map(tombstone).collect();
        document.extensions.insert("at".to_owned(), [("deleted-entry".to_owned(), deleted)].into());
    }
    if feed.entries.iter().any(media::is_told) {
        document.namespaces.insert("media".to_owned(), MEDIA_NAMESPACE.to_owned());
    }
    document
}

fn entry(entry: &Entry) -> ::atom_syndication::Entry {
    let lang: Option<String> = entry.language.as_deref().and_then(some_line).map(Into::into);
    let text = |value: String| Text { value, lang: lang.clone(), ..Default::default() };
    // An empty summary says nothing, unless nothing else is there to read.
    let summary = match entry.html {
        Some(_) => some_block(&entry.summary),
        None => Some(block(&entry.summary)),
    };
    ::atom_syndication::Entry {
        id: line(&entry.id).into_owned(),
        title: text(line(&entry.title).into_owned()),
        updated: instant(entry.updated),
        published: Some(instant(entry.published)),
        authors: authors(entry).map(|name| Person { name: name.into_owned(), ..Default::default() }).collect(),
        categories: categories(entry)
            .into_iter()
            .map(|word| Category { term: word.into_owned(), ..Default::default() })
            .collect(),
        links: std::iter::once(link("alternate", &entry.url, Some("text/html")))
            .chain(entry.enclosure.as_ref().map(enclosure))
            .collect(),
        summary: summary.map(|summary| text(summary.into_owned())),
        // Its place: see `with_contents`.
        content: entry.html.as_ref().map(|_| Content {
            content_type: Some("html".to_owned()),
            lang: lang.clone(),
            ..Default::default()
        }),
        extensions: told(entry),
        ..Default::default()
    }
}

fn link(rel: &str, url: &str, kind: Option<&str>) -> Link {
    Link { href: line(url).into_owned(), rel: rel.to_owned(), mime_type: kind.map(str::to_owned), ..Default::default() }
}

/// What says that an entry is deleted, and since when (RFC 6721 §3).
fn tombstone(deleted: &Deleted) -> Extension {
    let when = deleted.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    Extension {
        name: "at:deleted-entry".to_owned(),
        // The crate writes the attributes of extensions as they are: escaped here.
        attrs: [("ref", escape_html(&line(&deleted.id))), ("when", when)]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        ..Default::default()
    }
}

/// What comes along (§4.2.7.2); its length is a hint, and is left out where it is not known.
fn enclosure(enclosure: &Enclosure) -> Link {
    let length = enclosure.length.map(|length| length.to_string());
    Link { length, ..link("enclosure", &enclosure.url, Some(&line(enclosure.kind()))) }
}

/// What Media RSS tells of an entry.
fn told(entry: &Entry) -> ExtensionMap {
    let mut by_name: BTreeMap<String, Vec<Extension>> = BTreeMap::new();
    for element in media::elements(entry) {
        by_name.entry(element.name.to_owned()).or_default().push(media(element));
    }
    if by_name.is_empty() { ExtensionMap::new() } else { [("media".to_owned(), by_name)].into() }
}

fn media(element: media::Element) -> Extension {
    let mut children: BTreeMap<String, Vec<Extension>> = BTreeMap::new();
    let name = element.qualified();
    for child in element.children {
        children.entry(child.name.to_owned()).or_default().push(media(child));
    }
    // The crate writes the attributes of extensions as they are: escaped here.
    let attrs = element.attributes.into_iter().map(|(name, value)| (name.to_owned(), escape_html(&value))).collect();
    Extension { name, value: element.text, attrs, children }
}

/// Whole seconds (§3.3): no reader needs more, and what a database rounds must not look like an edit.
fn instant(at: DateTime<Utc>) -> FixedDateTime {
    at.trunc_subsecs(0).fixed_offset()
}

/// When a feed without entries changed last, for `updated` must be there (§4.1.1): on the day that its `tag:` URI
/// bears (RFC 4151 §2.1), and without one in the month of RFC 4287, which no Atom feed is older than.
fn born(id: &str) -> DateTime<Utc> {
    const ATOM: NaiveDate = NaiveDate::from_ymd_opt(2005, 12, 1).expect("a day of the calendar");
    let day = id.strip_prefix("tag:").and_then(|tag| tag.split([',', ':']).nth(1));
    let day = day.and_then(|day| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok());
    day.unwrap_or(ATOM).and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_without_entries_changed_last_when_its_id_was_given() {
        assert_eq!(born("tag:lantern.example,2026-11-20:feeds/news").to_rfc3339(), "2026-11-20T00:00:00+00:00");
        assert_eq!(born("tag:lantern.example,2026:feeds/news").to_rfc3339(), "2005-12-01T00:00:00+00:00");
        assert_eq!(born("https://lantern.example/").to_rfc3339(), "2005-12-01T00:00:00+00:00");
    }

    #[test]
    fn contents_stand_in_their_entries() {
        let written = b"<entry><content type=\"html\"></content></entry><entry><media:content url=\"u\"/>\
            <content xml:lang=\"&gt;\" type=\"html\"></content></entry>";
        let contents = ["<p title=\"x\">R&amp;D</p>", "it's ]]>"].map(Cow::Borrowed);
        assert_eq!(
            String::from_utf8(with_contents(written, &contents)).unwrap(),
            "<entry><content type=\"html\">&lt;p title=\"x\"&gt;R&amp;amp;D&lt;/p&gt;</content></entry><entry>\
             <media:content url=\"u\"/><content xml:lang=\"&gt;\" type=\"html\">it's ]]&gt;</content></entry>"
        );
        assert_eq!(with_contents(written, &[]), written);
    }

    #[test]
    fn instants_are_whole_seconds() {
        let at = DateTime::from_timestamp(1_795_156_800, 123_456_789).unwrap();
        assert_eq!(instant(at).timestamp_subsec_nanos(), 0);
    }
}
