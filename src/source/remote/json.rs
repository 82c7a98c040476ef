//! JSON Feed 1 and 1.1 (<https://www.jsonfeed.org/version/1.1/>), read leniently: ids may be numbers, as the specification
//! asks of readers, and what has the wrong type is not there.

use serde_json::{Map, Value};
use url::Url;

use super::{MAX_PROBLEMS, Remote, RemoteEntry, Words, dated, key, link, names, tags};
use crate::domain::media::Enclosure;
use crate::domain::text::one_line;
use crate::problem::Problem;
use crate::source::date;

pub(super) fn read(text: &str, url: &Url, file: &str) -> Result<Remote, Problem> {
    // serde_json goes 128 levels deep and no further.
    let value: Value =
        serde_json::Deserializer::from_str(text).into_iter().next().unwrap_or(Ok(Value::Null)).map_err(|error| {
            let what = format!("the document is cut off or no JSON: {error}");
            let problem =
                Problem::new(file, what).hint("what it brought before stays; it is read again at the next poll");
            if error.line() > 0 { problem.at(error.line()) } else { problem }
        })?;
    let items = value.get("items").and_then(Value::as_array);
    let is_feed = string(value.get("version")).is_some_and(|version| version.contains("jsonfeed.org/version/"));
    let (Value::Object(feed), Some(items), true) = (&value, items, is_feed) else {
        return Err(Problem::new(file, "this is JSON, but no JSON Feed")
            .hint("a JSON Feed has \"version\": \"https://jsonfeed.org/version/1.1\" and \"items\""));
    };
    let site = string(feed.get("home_page_url")).and_then(|written| link(&written, url));
    let authors = authors(feed);
    let language = string(feed.get("language"));
    let mut remote = Remote {
        title: string(feed.get("title")).map(|title| one_line(&title)).filter(|title| !title.is_empty()),
        topic: string(feed.get("feed_url")).and_then(|written| link(&written, url)),
        hubs: hubs(feed, url),
        ..Remote::default()
    };
    for item in items.iter().take(super::MAX_ENTRIES) {
        let entry = item.as_object().and_then(|item| entry(item, site.as_ref().unwrap_or(url)));
        let Some(mut entry) = entry else {
            if remote.problems.len() < MAX_PROBLEMS {
                let what = "an item says nothing: it has no id, address, title or text; it was left out";
                remote.problems.push(Problem::new(file, what));
            }
            continue;
        };
        if entry.authors.is_empty() {
            entry.authors.clone_from(&authors);
        }
        entry.language = entry.language.or_else(|| language.clone());
        remote.entries.push(Box::new(entry));
    }
    Ok(remote)
}

/// What it says of hubs: `{"type": "WebSub", "url": "…"}`.
fn hubs(feed: &Map<String, Value>, url: &Url) -> Vec<Url> {
    let all = feed.get("hubs").and_then(Value::as_array).into_iter().flatten().take(5);
    let is_ours = |hub: &&Value| string(hub.get("type")).is_some_and(|kind| kind.eq_ignore_ascii_case("websub"));
    all.filter(is_ours).filter_map(|hub| link(&string(hub.get("url"))?, url)).collect()
}

fn entry(item: &Map<String, Value>, base: &Url) -> Option<RemoteEntry> {
    let field = |name: &str| string(item.get(name)).filter(|text| !text.trim().is_empty());
    let address = |name: &str| field(name).and_then(|written| link(&written, base));
    let when = |name: &str| dated(field(name).and_then(|written| date::parse(&written, chrono_tz::UTC)));
    let content = field("content_html").map(Words::Html).or_else(|| field("content_text").map(Words::Plain));
    let picture = ["image", "banner_image"].into_iter().find_map(field).or_else(|| {
        let attachments = item.get("attachments")?.as_array()?;
        let is_image = |attachment: &&Value| {
            attachment.get("mime_type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("image/"))
        };
        string(attachments.iter().find(is_image)?.get("url"))
    });
    let mut entry = RemoteEntry {
        link: address("url").or_else(|| address("external_url")),
        title: field("title").map(Words::Plain),
        content,
        summary: field("summary").map(Words::Plain),
        published: when("date_published").or_else(|| when("date_modified")),
        updated: when("date_modified"),
        authors: authors(item),
        tags: tags(
            item.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(|tag| string(Some(tag))),
        ),
        language: field("language"),
        picture: picture.map(|url| (url, String::new())),
        enclosure: enclosure(item, base),
        ..RemoteEntry::default()
    };
    let id = field("id").unwrap_or_default();
    if entry.link.is_none() {
        entry.link =
            Url::parse(id.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    }
    entry.base = entry.link.is_none().then(|| base.clone());
    entry.key = key(&id, &entry)?;
    Some(entry)
}

/// The first attachment that is no picture.
fn enclosure(item: &Map<String, Value>, base: &Url) -> Option<Enclosure> {
    item.get("attachments")?.as_array()?.iter().find_map(|attachment| {
        let url = link(&string(attachment.get("url"))?, base)?;
        let whole = |name: &str| attachment.get(name).and_then(Value::as_f64).filter(|number| number.is_finite());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is beyond is cut to what fits"
        )]
        let (length, duration) =
            (whole("size_in_bytes").map(|n| n as u64), whole("duration_in_seconds").map(|n| n as u32));
        super::enclosure(url.as_str(), string(attachment.get("mime_type")), length, duration)
    })
}

/// A text, or a number as one.
fn string(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Names of `authors`, or of version 1's `author`.
fn authors(of: &Map<String, Value>) -> Vec<String> {
    let several = of.get("authors").and_then(Value::as_array).into_iter().flatten();
    names(several.chain(of.get("author")).filter_map(|author| string(author.get("name"))))
}
