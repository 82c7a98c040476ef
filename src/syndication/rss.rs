//! RSS 2.0 (rssboard.org/rss-specification), as the RSS Profile (rssboard.org/rss-profile) advises.
//!
//! The crate `rss` writes the document but for the articles themselves; one pass over it puts these in their places, and
//! adds what the crate cannot say: the stylesheet, and the hexadecimal references that the Profile wants in plain text.
//! Only an item's `description` and `content:encoded` are HTML, and exactly these two are CDATA.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ::rss::extension::atom::{AtomExtension, Link};
use ::rss::extension::dublincore::DublinCoreExtension;
use ::rss::extension::{Extension, ExtensionMap};
use ::rss::{Category, Channel, Guid, Item};
use chrono::{DateTime, Utc};
use memchr::memmem;

use super::{
    Format, GENERATOR, HISTORY_NAMESPACE, MEDIA_NAMESPACE, authors, categories, contents, line, media, neighbours,
    podcast, prolog, some_block, some_line,
};
use crate::domain::entry::{Entry, FeedDocument};
use crate::domain::media::Enclosure;

/// What stands before and behind text in which nothing is markup (XML 1.0 §2.7).
const BEGIN: &[u8] = b"<![CDATA[";
const END: &[u8] = b"]]>";

/// The feed as an RSS 2.0 document in UTF-8.
pub fn bytes(feed: &FeedDocument) -> Vec<u8> {
    let written = channel(feed).write_to(Vec::new()).expect("memory takes what is written to it");
    finish(&written, prolog(feed.stylesheet_url.as_deref()).into_bytes(), &contents(feed))
}

/// A date as RSS wants it (RFC 822 §5.1 with four-digit years), in UTC: validators warn about other zones.
pub(super) fn date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn channel(feed: &FeedDocument) -> Channel {
    let title = line(&feed.title).into_owned();
    let link = line(&feed.page_url).into_owned();
    let mut namespaces = BTreeMap::new();
    if feed.entries.iter().any(media::is_told) {
        namespaces.insert("media".to_owned(), MEDIA_NAMESPACE.to_owned());
    }
    let mut extensions = ExtensionMap::new();
    if let Some(podcast) = &feed.podcast {
        namespaces.insert("podcast".to_owned(), podcast::NAMESPACE.to_owned());
        podcast::channel(podcast, &mut extensions);
    }
    if feed.history.current.is_some() {
        namespaces.insert("fh".to_owned(), HISTORY_NAMESPACE.to_owned());
        let mark = Extension { name: "fh:archive".to_owned(), ..Default::default() };
        extensions.insert("fh".to_owned(), [("archive".to_owned(), vec![mark])].into());
    }
    Channel {
        // The Profile asks for the channel's own title and link here.
        image: feed.image.as_ref().map(|image| ::rss::Image {
            url: line(&image.url).into_owned(),
            title: title.clone(),
            link: link.clone(),
            description: some_line(&image.alt).map(Into::into),
            ..Default::default()
        }),
        title,
        link,
        // Must be there, and must say something.
        description: some_block(&feed.description).unwrap_or_else(|| line(&feed.title)).into_owned(),
        language: some_line(&feed.language).map(Into::into),
        last_build_date: feed.updated.map(date),
        generator: Some(GENERATOR.to_owned()),
        atom_ext: Some(AtomExtension { links: links(feed) }),
        itunes_ext: feed.podcast.as_ref().map(|podcast| podcast::itunes(feed, podcast)),
        namespaces,
        extensions,
        items: feed.entries.iter().map(|entry| item(entry, feed.podcast.is_some())).collect(),
        ..Default::default()
    }
}

/// Where the document itself stands (RSS Profile, `atom:link`), the hubs that tell of its changes (`WebSub` §4), and the
/// other documents of its feed (RFC 5005 §4).
fn links(feed: &FeedDocument) -> Vec<Link> {
    let document = |rel: &str, href: String| Link {
        href,
        rel: rel.to_owned(),
        mime_type: Some("application/rss+xml".to_owned()),
        ..Default::default()
    };
    let itself = document("self", line(&feed.rss_url).into_owned());
    let hubs =
        feed.hubs.iter().map(|hub| Link { href: line(hub).into_owned(), rel: "hub".to_owned(), ..Default::default() });
    let others = neighbours(feed, Format::Rss).map(|(rel, url)| document(rel, url));
    std::iter::once(itself).chain(hubs).chain(others).collect()
}

fn item(entry: &Entry, is_of_podcast: bool) -> Item {
    let mut extensions = ExtensionMap::new();
    for element in media::elements(entry) {
        let of_media = extensions.entry("media".to_owned()).or_default();
        of_media.entry(element.name.to_owned()).or_default().push(media(element));
    }
    let episode = entry.enclosure.as_ref().map(|enclosure| &enclosure.episode).filter(|_| is_of_podcast);
    if let Some(episode) = episode {
        podcast::item(episode, &mut extensions);
    }
    let creators: Vec<String> = authors(entry).map(Into::into).collect();
    let languages: Vec<String> = entry.language.as_deref().and_then(some_line).map(Into::into).into_iter().collect();
    let named = !creators.is_empty() || !languages.is_empty();
    Item {
        title: Some(line(&entry.title).into_owned()),
        link: Some(line(&entry.url).into_owned()),
        guid: Some(Guid { value: line(&entry.id).into_owned(), permalink: false }),
        pub_date: Some(date(entry.published)),
        dublin_core_ext: named.then(|| DublinCoreExtension { creators, languages, ..Default::default() }),
        categories: categories(entry).into_iter().map(|word| Category::from(word.into_owned())).collect(),
        description: some_block(&entry.summary).map(|summary| as_html(&summary)),
        // Its place: see `finish`.
        content: entry.html.as_ref().map(|_| String::new()),
        enclosure: entry.enclosure.as_ref().map(enclosure),
        itunes_ext: episode.and_then(|_| podcast::itunes_item(entry)),
        extensions,
        ..Default::default()
    }
}

/// An element of Media RSS with all that is in it.
fn media(element: media::Element) -> Extension {
    let mut children: BTreeMap<String, Vec<Extension>> = BTreeMap::new();
    let name = element.qualified();
    for child in element.children {
        children.entry(child.name.to_owned()).or_default().push(media(child));
    }
    let attrs = element.attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Extension { name, value: element.text, attrs, children }
}

/// What comes along; a length that is not known is 0 (RSS Best Practices Profile, `enclosure`).
fn enclosure(enclosure: &Enclosure) -> ::rss::Enclosure {
    ::rss::Enclosure {
        url: line(&enclosure.url).into_owned(),
        length: enclosure.length.unwrap_or(0).to_string(),
        mime_type: line(enclosure.kind()).into_owned(),
    }
}

/// Plain text as the HTML that an item's `description` is (RSS Profile, `description`). Quotation marks stay as
/// they are, for the readers that show it as text.
fn as_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            c => html.push(c),
        }
    }
    html
}

/// The written document behind its prolog, with the contents in their places, and the Profile's references in everything
/// that is not CDATA.
fn finish(written: &[u8], mut document: Vec<u8>, contents: &[Cow<str>]) -> Vec<u8> {
    let cdata = memmem::Finder::new(BEGIN);
    let length: usize = contents.iter().map(|content| content.len()).sum();
    document.reserve(length + written.len() + written.len() / 32);
    let mut contents = contents.iter();
    let mut rest = memmem::find(written, b"?>").map_or(written, |end| &written[end + 2..]);
    while let Some(start) = cdata.find(rest) {
        let (plain, section) = rest.split_at(start);
        push_plain(&mut document, plain);
        let end = memmem::find(section, END).map_or(section.len(), |at| at + END.len());
        // No text can look like this tag, for each `<` in one is escaped.
        let content = if plain.ends_with(b"<content:encoded>") { contents.next() } else { None };
        match content {
            Some(content) => push_cdata(&mut document, content),
            None => document.extend_from_slice(&section[..end]),
        }
        rest = &section[end..];
    }
    push_plain(&mut document, rest);
    document
}

/// Text as CDATA; what would end that is divided between two sections, as the crate does it.
fn push_cdata(document: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    document.extend_from_slice(BEGIN);
    while let Some(at) = memmem::find(rest, END) {
        document.extend_from_slice(&rest[..at + 2]);
        document.extend_from_slice(END);
        document.extend_from_slice(BEGIN);
        rest = &rest[at + 2..];
    }
    document.extend_from_slice(rest);
    document.extend_from_slice(END);
}

/// `&#x26;` and `&#x3C;` are read rightly by those who take plain text for HTML, too (RSS Profile, "Character Data").
fn push_plain(document: &mut Vec<u8>, mut plain: &[u8]) {
    while let Some(at) = memchr::memchr(b'&', plain) {
        document.extend_from_slice(&plain[..at]);
        plain = &plain[at + 1..];
        let known: [(&[u8], &[u8]); 3] = [(b"amp;", b"&#x26;"), (b"lt;", b"&#x3C;"), (b"apos;", b"'")];
        let known = known.into_iter().find_map(|(name, reference)| Some((plain.strip_prefix(name)?, reference)));
        let (rest, reference) = known.unwrap_or((plain, b"&"));
        document.extend_from_slice(reference);
        plain = rest;
    }
    document.extend_from_slice(plain);
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn dates_are_rfc_822_in_utc() {
        let at = Utc.with_ymd_and_hms(2026, 11, 2, 6, 4, 0).unwrap();
        assert_eq!(date(at), "Mon, 02 Nov 2026 06:04:00 GMT");
        assert!(!date(DateTime::<Utc>::MAX_UTC).is_empty());
    }

    #[test]
    fn plain_text_gets_hexadecimal_references_and_cdata_stays() {
        let written = "<?xml version=\"1.0\"?><t>a &amp; b &lt; c&gt; d&apos;s &amp;lt;</t>\
                       <d><![CDATA[&amp; &lt;]]]]><![CDATA[> x]]></d><l>&amp;</l>";
        assert_eq!(
            String::from_utf8(finish(written.as_bytes(), vec![], &[])).unwrap(),
            "<t>a &#x26; b &#x3C; c&gt; d's &#x26;lt;</t>\
             <d><![CDATA[&amp; &lt;]]]]><![CDATA[> x]]></d><l>&#x26;</l>"
        );
    }

    #[test]
    fn contents_stand_where_the_crate_would_have_written_them() {
        let texts = ["<p>plain &amp; é</p>", "", "ends ]]> and <![CDATA[ begins ]]>", "<content:encoded>]]", "]]>]]>"];
        let item = |content: &str, description: &str| Item {
            title: Some("a <content:encoded> & b".to_owned()),
            description: Some(description.to_owned()),
            content: Some(content.to_owned()),
            ..Default::default()
        };
        let written = |of: &dyn Fn(&'static str) -> &'static str| {
            let items = texts.iter().map(|text| item(of(text), text)).collect();
            Channel { items, ..Default::default() }.write_to(vec![]).unwrap()
        };
        let contents: Vec<Cow<str>> = texts.iter().map(|text| Cow::Borrowed(*text)).collect();
        let ours = finish(&written(&|_| ""), vec![], &contents);
        assert_eq!(String::from_utf8(ours), String::from_utf8(finish(&written(&|text| text), vec![], &[])));
    }

    #[test]
    fn a_summary_is_html_in_an_item() {
        assert_eq!(as_html("R&D: \"a < b\", it's"), "R&amp;D: \"a &lt; b\", it's");
    }
}
