//! JSON Feed 1.1 (jsonfeed.org/version/1.1).
//!
//! No crate writes it; these are its fields in the order of its specification.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::{Format, authors, block, categories, line, neighbours, some_block, some_line};
use crate::domain::entry::{Entry, FeedDocument};
use crate::domain::media::Enclosure;

#[derive(Serialize)]
struct Document<'a> {
    version: &'static str,
    title: Cow<'a, str>,
    home_page_url: Cow<'a, str>,
    feed_url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon: Option<Cow<'a, str>>,
    authors: [Author<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hubs: Vec<Hub<'a>>,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Author<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Hub<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    url: Cow<'a, str>,
}

#[derive(Serialize)]
struct Item<'a> {
    id: Cow<'a, str>,
    url: Cow<'a, str>,
    title: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_html: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Cow<'a, str>>,
    date_published: String,
    date_modified: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authors: Vec<Author<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<[Attachment<'a>; 1]>,
}

#[derive(Serialize)]
struct Attachment<'a> {
    url: Cow<'a, str>,
    mime_type: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_in_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_in_seconds: Option<u32>,
}

/// The feed as a JSON Feed document.
pub fn bytes(feed: &FeedDocument) -> Vec<u8> {
    let other = |wanted| neighbours(feed, Format::Json).find(|(rel, _)| *rel == wanted).map(|(_, url)| url);
    let current = other("current");
    let document = Document {
        version: "https://jsonfeed.org/version/1.1",
        title: line(&feed.title),
        home_page_url: line(&feed.page_url),
        // It stands for the feed: of a volume it is that of the document that readers subscribe to.
        feed_url: current.map_or_else(|| line(&feed.json_url), Cow::Owned),
        description: some_block(&feed.description),
        // What is older.
        next_url: other("prev-archive"),
        icon: feed.image.as_ref().map(|image| line(&image.url)),
        // Stands for every item that names nobody.
        authors: [Author { name: line(&feed.publication), url: some_line(&feed.publication_url) }],
        language: some_line(&feed.language),
        hubs: feed.hubs.iter().map(|hub| Hub { kind: "WebSub", url: line(hub) }).collect(),
        items: feed.entries.iter().map(item).collect(),
    };
    serde_json::to_vec(&document).expect("strings and lists of strings are JSON")
}

/// An item must have content (`content_html` or `content_text`): in a feed of summaries the summary is all of it.
fn item(entry: &Entry) -> Item<'_> {
    let content_html = entry.html.as_deref().map(block);
    let (content_text, summary) =
        if content_html.is_some() { (None, some_block(&entry.summary)) } else { (Some(block(&entry.summary)), None) };
    Item {
        id: line(&entry.id),
        url: line(&entry.url),
        title: line(&entry.title),
        content_html,
        content_text,
        summary,
        image: entry.image.as_ref().map(|image| line(&image.url)),
        date_published: date(entry.published),
        date_modified: date(entry.updated),
        authors: authors(entry).map(|name| Author { name, url: None }).collect(),
        tags: categories(entry),
        language: entry.language.as_deref().and_then(some_line),
        attachments: entry.enclosure.as_ref().map(|enclosure| [attachment(enclosure)]),
    }
}

fn attachment(enclosure: &Enclosure) -> Attachment<'_> {
    Attachment {
        url: line(&enclosure.url),
        mime_type: line(enclosure.kind()),
        size_in_bytes: enclosure.length,
        duration_in_seconds: enclosure.duration_s,
    }
}

/// A date as RFC 3339 §5.6 writes it, in whole seconds.
fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
