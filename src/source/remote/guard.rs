//! A feed's document in XML, looked through once before it is read: what it is, how deep, where its entries stand.
//!
//! Depth is bounded here, and nothing behind this works by recursion. Entities of a document's own are never expanded and
//! nothing is ever loaded for one, so a document type costs nothing and means nothing.

use std::borrow::Cow;
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::mend::{mended, with_media, with_root};

/// Elements within elements: a feed has four levels, and markup that is not escaped a few more.
const MAX_DEPTH: usize = 256;

/// Attributes of an element: whoever looks for one that comes twice compares each with each.
const MAX_ATTRIBUTES: usize = 100;

/// Namespaces that hold at one place, for each name is looked for among them.
const MAX_NAMESPACES: usize = 200;

/// Bytes of a tag around entries, for it is read again with every few of them.
const MAX_TAG: usize = 64 * 1024;

/// Groups of media in an entry times its bytes, for feed-rs gives each of them what the entry says of all. Ten in one of 10 KB
/// are a hundredth of it.
const MAX_GROUPED: usize = 16 << 20;

/// Bytes of a page that are searched for the feeds that it announces.
const HEAD: usize = 512 * 1024;

/// What a document is, by its first element.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Root {
    #[default]
    Rss,
    Rdf,
    Atom,
}

/// What the first look brings.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    root: Root,
    /// The document as it can be read.
    pub text: Cow<'a, str>,
    /// Where its entries stand in that.
    pub entries: Vec<Range<usize>>,
    /// Those of them that feed-rs is not given.
    pub crowded: Vec<Range<usize>>,
    /// Where the tags of the elements around these stand.
    around: Vec<Range<usize>>,
    /// Ids of the entries that it withdraws, and when that was (RFC 6721).
    pub gone: Vec<(String, Option<DateTime<Utc>>)>,
    /// How often it changes, as it says itself (RSS's `ttl`, `sy:updatePeriod` and `sy:updateFrequency`).
    pub every: Option<TimeDelta>,
    /// Addresses of its hubs, as they are written (`rel="hub"`).
    pub hubs: Vec<String>,
    /// Its own address, as it is written (`rel="self"`).
    pub own: Option<String>,
}

/// Hubs of one feed that are looked at.
const MAX_HUBS: usize = 5;

/// Why a document is not looked at any further.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is a page.
    Page,
    /// It is nothing that we know; its first element.
    Unknown(String),
    /// It ends in the middle, or its tags do not fit; the byte.
    Broken(usize, String),
    /// Its elements are nested too deep, or one of them has more attributes, or longer ones, than any in earnest.
    Deep,
}

impl Scan<'_> {
    /// The document without its entries.
    pub(super) fn without_entries(&self) -> String {
        let ends = std::iter::once(0).chain(self.entries.iter().map(|entry| entry.end));
        let starts = self.entries.iter().map(|entry| entry.start).chain([self.text.len()]);
        ends.zip(starts).map(|(from, to)| &self.text[from..to]).collect()
    }

    /// A document of some of its entries alone, with the namespaces that hold there.
    pub(super) fn with_entries(&self, entries: &[Range<usize>]) -> String {
        let tags = || self.around.iter().map(|tag| &self.text[tag.clone()]);
        let name = |tag: &str| {
            let name = tag[1..].split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next();
            format!("</{}>", name.unwrap_or_default())
        };
        let entries = entries.iter().map(|entry| match self.root {
            Root::Rss => with_media(&self.text[entry.clone()]),
            Root::Rdf | Root::Atom => self.text[entry.clone()].into(),
        });
        tags().map(Cow::Borrowed).chain(entries).chain(tags().rev().map(|tag| name(tag).into())).collect()
    }
}

/// Looks through a document.
pub(super) fn scan(text: &str) -> Result<Scan<'_>, Fault> {
    let (name, at) = first_element(text).ok_or_else(|| Fault::Unknown(String::new()))?;
    let root = match local(name) {
        "rss" => Root::Rss,
        "RDF" => Root::Rdf,
        "feed" => Root::Atom,
        other if other.eq_ignore_ascii_case("html") => return Err(Fault::Page),
        _ if is_page(text) => return Err(Fault::Page),
        other => return Err(Fault::Unknown(other.chars().take(40).collect())),
    };
    // What stands before the root, a document type above all, is left out.
    let text = match with_root(&text[at..], root) {
        Cow::Borrowed(text) => mended(text),
        Cow::Owned(text) => match mended(&text) {
            Cow::Owned(mended) => mended.into(),
            Cow::Borrowed(_) => text.into(),
        },
    };
    let mut look = Look { root, ..Look::default() };
    look.through(&text)?;
    let Look { entries, crowded, around, gone, ttl, period, frequency, hubs, own, .. } = look;
    let every = [ttl, period.map(|period| period / frequency.unwrap_or(1).clamp(1, 1000))].into_iter().flatten().max();
    Ok(Scan { root, text, entries, crowded, around, gone, every, hubs, own })
}

/// Whether text that may begin with anything is a page.
pub(super) fn is_page(text: &str) -> bool {
    let head = &text[..text.floor_char_boundary(1024)];
    let head = head.to_ascii_lowercase();
    head.contains("<!doctype html") || head.contains("<html")
}

/// Name and place of the first element, after comments, instructions and a document type.
fn first_element(text: &str) -> Option<(&str, usize)> {
    let mut at = 0;
    loop {
        at += text[at..].find('<')?;
        let rest = &text[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            at += 4 + comment.find("-->")?;
        } else if rest.starts_with('?') {
            at += rest.find("?>")?;
        } else if rest.starts_with('!') {
            at += document_type_end(rest)?;
        } else if rest.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).unwrap_or(rest.len());
            return Some((&rest[..end], at));
        }
        at += 1;
    }
}

/// Where a document type ends: behind its own declarations in brackets, and not in a text between quotes.
fn document_type_end(text: &str) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0usize);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if byte == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'[') => depth += 1,
            (None, b']') => depth = depth.saturating_sub(1),
            (None, b'>') if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Of what element of the feed's own the text comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Ttl,
    Period,
    Frequency,
}

fn has_many(attributes: &str) -> bool {
    // Many of a `=` stand in values; so long a text is looked at more closely.
    attributes.matches('=').count() > MAX_ATTRIBUTES
        && BytesStart::from_content(attributes, 0).html_attributes().take(MAX_ATTRIBUTES + 1).count() > MAX_ATTRIBUTES
}

#[derive(Default)]
struct Look {
    root: Root,
    entries: Vec<Range<usize>>,
    crowded: Vec<Range<usize>>,
    around: Vec<Range<usize>>,
    /// Whether the element that holds the entries is open.
    is_within: bool,
    gone: Vec<(String, Option<DateTime<Utc>>)>,
    ttl: Option<TimeDelta>,
    period: Option<TimeDelta>,
    frequency: Option<i32>,
    inside: Option<Inside>,
    hubs: Vec<String>,
    own: Option<String>,
}

impl Look {
    fn through(&mut self, text: &str) -> Result<(), Fault> {
        let mut reader = Reader::from_str(text);
        // As the reader behind this one has it.
        reader.config_mut().trim_markup_names_in_closing_tags = true;
        let (mut depth, mut begun, mut groups) = (0usize, None, 0usize);
        // How many namespaces each open element brought.
        let (mut brought, mut hold) = (vec![], 0);
        loop {
            let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let event = reader.read_event().map_err(|error| {
                let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
                Fault::Broken(at, error.to_string())
            })?;
            match event {
                Event::Start(start) => {
                    depth += 1;
                    let attributes = start.attributes_raw();
                    let namespaces = attributes.matches("xmlns").count();
                    brought.push(namespaces);
                    hold += namespaces;
                    if depth > MAX_DEPTH || hold > MAX_NAMESPACES || has_many(attributes) {
                        return Err(Fault::Deep);
                    }
                    groups += usize::from(start.local_name().as_ref() == "group");
                    if begun.is_none() {
                        let tag = at..usize::try_from(reader.buffer_position()).unwrap_or(at);
                        if self.go_in(&start, depth, tag) > MAX_TAG {
                            return Err(Fault::Deep);
                        }
                        if self.is_entry(&start, depth) {
                            (begun, groups) = (Some((at, depth)), 0);
                        } else {
                            self.open(&start, depth);
                        }
                    }
                }
                Event::Empty(start) if has_many(start.attributes_raw()) => return Err(Fault::Deep),
                Event::Empty(start) if begun.is_none() => {
                    if self.is_entry(&start, depth + 1) {
                        self.entries.push(at..usize::try_from(reader.buffer_position()).unwrap_or(at));
                    } else {
                        self.open(&start, depth + 1);
                    }
                }
                Event::Empty(start) => groups += usize::from(start.local_name().as_ref() == "group"),
                Event::Text(words) => self.read(&words),
                Event::CData(words) => self.read(&words),
                Event::End(_) => {
                    self.inside = None;
                    hold -= brought.pop().unwrap_or(0);
                    if let Some((from, level)) = begun
                        && level == depth
                    {
                        let to = usize::try_from(reader.buffer_position()).unwrap_or(from);
                        if groups * (to - from) > MAX_GROUPED {
                            self.crowded.push(from..to);
                        }
                        self.entries.push(from..to);
                        begun = None;
                    }
                    depth = depth.saturating_sub(1);
                    self.is_within &= depth >= self.around.len();
                    if depth == 0 {
                        // What follows the root is nobody's business.
                        return Ok(());
                    }
                }
                Event::Eof => return Err(Fault::Broken(text.len(), "it ends in the middle".into())),
                _ => {}
            }
        }
    }

    /// Notes the tags around entries: the root's, and in RSS that of its first channel. Says how long such a one is.
    fn go_in(&mut self, start: &BytesStart<'_>, depth: usize, tag: Range<usize>) -> usize {
        let is_channel = self.root == Root::Rss && depth == 2 && start.local_name().as_ref() == "channel";
        if depth > 1 && !(is_channel && self.around.len() == 1) {
            return 0;
        }
        self.is_within = depth == 2 || self.root != Root::Rss;
        self.around.push(tag.clone());
        tag.len()
    }

    fn is_entry(&self, start: &BytesStart<'_>, depth: usize) -> bool {
        let name = if self.root == Root::Atom { "entry" } else { "item" };
        self.is_within && depth == self.around.len() + 1 && start.local_name().as_ref() == name
    }

    fn open(&mut self, start: &BytesStart<'_>, depth: usize) {
        self.inside = None;
        if depth > 3 {
            return;
        }
        let value = |wanted: &str| {
            let attribute = start.attributes().flatten().find(|attribute| attribute.key.as_ref() == wanted)?;
            let value = quick_xml::escape::unescape(&attribute.value).ok()?.trim().to_owned();
            Some(value)
        };
        match start.local_name().as_ref() {
            // In RSS it is Atom's element, and RSS's own has no attributes.
            "link" => {
                let rel = value("rel").unwrap_or_default();
                let is = |wanted: &str| rel.split_whitespace().any(|word| word.eq_ignore_ascii_case(wanted));
                if is("hub") && self.hubs.len() < MAX_HUBS {
                    self.hubs.extend(value("href"));
                }
                if is("self") && self.own.is_none() {
                    self.own = value("href");
                }
            }
            "ttl" => self.inside = Some(Inside::Ttl),
            "updatePeriod" => self.inside = Some(Inside::Period),
            "updateFrequency" => self.inside = Some(Inside::Frequency),
            "deleted-entry" if self.gone.len() < 10_000 => {
                let when = value("when").and_then(|when| DateTime::parse_from_rfc3339(&when).ok());
                self.gone.extend(value("ref").map(|id| (id, when.map(|when| when.to_utc()))));
            }
            _ => {}
        }
    }

    fn read(&mut self, words: &str) {
        let words = words.trim();
        match self.inside.take() {
            None => {}
            // RSS 2.0: minutes.
            Some(Inside::Ttl) => {
                let minutes = words.parse::<u32>().ok().filter(|minutes| *minutes > 0);
                self.ttl = minutes.map(|minutes| TimeDelta::minutes(minutes.into()));
            }
            // https://web.resource.org/rss/1.0/modules/syndication/
            Some(Inside::Period) => {
                self.period = match words.to_ascii_lowercase().as_str() {
                    "hourly" => Some(TimeDelta::hours(1)),
                    "daily" => Some(TimeDelta::days(1)),
                    "weekly" => Some(TimeDelta::weeks(1)),
                    "monthly" => Some(TimeDelta::days(30)),
                    "yearly" => Some(TimeDelta::days(365)),
                    _ => None,
                };
            }
            Some(Inside::Frequency) => self.frequency = words.parse().ok(),
        }
    }
}

/// The addresses of the feeds that a page announces (`<link rel="alternate">`), as written.
pub(super) fn announced(page: &str) -> Vec<String> {
    let head = &page[..page.floor_char_boundary(HEAD)];
    let mut found = vec![];
    for (at, _) in head.match_indices('<') {
        let Some(tag) = head.get(at + 1..at + 5).filter(|name| name.eq_ignore_ascii_case("link")) else { continue };
        let rest = &head[at + 1..];
        let Some(end) = rest.find('>') else { break };
        let start = BytesStart::from_content(rest[..end].trim_end_matches('/'), tag.len());
        let (mut is_alternate, mut is_feed, mut href) = (false, false, None);
        for attribute in start.html_attributes().flatten() {
            let value = quick_xml::escape::unescape(&attribute.value).unwrap_or_else(|_| attribute.value.clone());
            let key = attribute.key.as_ref().to_ascii_lowercase();
            match key.as_str() {
                "rel" => is_alternate = value.split_whitespace().any(|word| word.eq_ignore_ascii_case("alternate")),
                "type" => {
                    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                    is_feed = matches!(
                        kind.as_str(),
                        "application/rss+xml"
                            | "application/atom+xml"
                            | "application/feed+json"
                            | "application/rdf+xml"
                    );
                }
                "href" => href = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        if let (true, true, Some(href)) = (is_alternate, is_feed, href)
            && !found.contains(&href)
        {
            found.push(href);
        }
        if found.len() >= 10 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_type_is_passed_over() {
        let text = "<!-- a --><!DOCTYPE rss [<!ENTITY lol \"<!>]\">]><?x y?>\n<rss version=\"0.91\" xmlns=\"http://x.example\" xmlns:a=\"b\"><channel></channel></rss>";
        let scan = scan(text).unwrap();
        assert_eq!(scan.text, "<rss version=\"2.0\" xmlns:a=\"b\"><channel></channel></rss>");
    }

    #[test]
    fn entries_tombstones_and_a_rhythm_are_found() {
        let text = "<feed xmlns=\"http://www.w3.org/2005/Atom\"><entry><ttl>5</ttl></entry><at:deleted-entry xmlns:at=\"t\" ref=\"a&amp;b\" when=\"2026-11-27T08:00:00Z\"/><entry/><entry></entry></feed>";
        let found = scan(text).unwrap();
        assert_eq!(
            found.entries.iter().map(|range| &found.text[range.clone()]).collect::<Vec<_>>(),
            ["<entry><ttl>5</ttl></entry>", "<entry/>", "<entry></entry>"]
        );
        assert_eq!(found.gone, [("a&b".to_owned(), "2026-11-27T08:00:00Z".parse().ok())]);
        assert_eq!(found.every, None);
        let rss = |inner: &str| scan(&format!("<rss version=\"2.0\"><channel>{inner}</channel></rss>")).unwrap().every;
        assert_eq!(rss("<ttl> 90 </ttl>"), Some(TimeDelta::minutes(90)));
        assert_eq!(
            rss("<sy:updatePeriod>daily</sy:updatePeriod><sy:updateFrequency>4</sy:updateFrequency>"),
            Some(TimeDelta::hours(6))
        );
        assert_eq!(rss("<item><ttl>90</ttl></item><ttl>0</ttl>"), None);
        let named = scan(
            "<rss version=\"2.0\"><channel><link>https://a.example/</link><a:link rel=\"self\" href=\"/feed\"/><a:link rel=\"hub\" \
             href=\"https://h.example/?a&amp;b\"></a:link><item><a:link rel=\"hub\" href=\"x\"/></item></channel></rss>",
        )
        .unwrap();
        assert_eq!((named.hubs, named.own.as_deref()), (vec!["https://h.example/?a&b".to_owned()], Some("/feed")));
    }

    #[test]
    fn the_entries_of_the_first_channel_alone_are_read_with_the_tags_around_them() {
        let text = "<rss version=\"2.0\"><item/><x><item>a</item></x><channel xmlns:y=\"z\"><title>t</title><item>b</item><ttl>5</ttl>\
                    <y:item>c</y:item></channel><channel><item>d</item></channel></rss>";
        let found = scan(text).unwrap();
        assert_eq!(
            found.with_entries(&found.entries),
            "<rss version=\"2.0\"><channel xmlns:y=\"z\"><item>b</item><y:item>c</y:item></channel></rss>"
        );
        assert_eq!(
            found.without_entries(),
            "<rss version=\"2.0\"><item/><x><item>a</item></x><channel xmlns:y=\"z\"><title>t</title><ttl>5</ttl></channel><channel>\
             <item>d</item></channel></rss>"
        );
        let long = format!("<rss version=\"2.0\" a=\"{}\"><channel></channel></rss>", "b".repeat(MAX_TAG));
        assert_eq!(scan(&long).unwrap_err(), Fault::Deep);
    }

    #[test]
    fn what_is_no_feed_says_what_it_is() {
        assert_eq!(scan("<!doctype html><p>x").unwrap_err(), Fault::Page);
        assert_eq!(scan("<HTML>").unwrap_err(), Fault::Page);
        assert_eq!(scan("<opml><body/></opml>").unwrap_err(), Fault::Unknown("opml".into()));
        assert_eq!(scan("").unwrap_err(), Fault::Unknown(String::new()));
        assert!(matches!(scan("<rss><channel><item>").unwrap_err(), Fault::Broken(..)));
        assert_eq!(scan(&"<rss>".repeat(100_000)).unwrap_err(), Fault::Deep);
    }

    #[test]
    fn a_page_announces_its_feeds() {
        let page = "<html><head><LINK REL=\"alternate nofollow\" type='application/atom+xml' href=\"/a.xml?x=1&amp;y=2\">\
                    <link rel=alternate type=application/rss+xml href=b.xml /><link rel=\"stylesheet\" href=\"c\">\
                    <link rel=\"alternate\" hreflang=\"de\" href=\"d\"></head>";
        assert_eq!(announced(page), ["/a.xml?x=1&y=2", "b.xml"]);
    }
}
