//! RSS 0.9x, 1.0 and 2.0 and Atom, read by feed-rs.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use feed_rs::model::{Entry, Feed, FeedType, Link, Text};
use feed_rs::parser::Builder;
use rayon::prelude::*;
use url::Url;

use super::guard::{self, Fault, Scan};
use super::{MAX_PROBLEMS, Remote, RemoteEntry, Words, dated, key, link, names, short, tags};
use crate::domain::media::{Enclosure, Purpose};
use crate::domain::text::one_line;
use crate::problem::Problem;

/// Entries that are read at a time.
const GROUP: usize = 64;

/// What is read of an entry: its id as written and what it becomes, or why it is left out.
type Read = Result<(String, Box<RemoteEntry>), LeftOut>;

/// Why an entry is left out.
enum LeftOut {
    /// It has nothing to go by.
    Empty,
    /// It is not understood: where it stands, and what feed-rs says about it.
    Refused(Range<usize>, Option<String>),
}

pub(super) fn read(text: &str, url: &Url, file: &str) -> Result<Remote, Problem> {
    let scan = guard::scan(text).map_err(|fault| problem(&fault, text, url, file))?;
    // What is wrong with an entry is not in here, and what it has inherited is.
    let feed = parsed(&scan.without_entries()).map_err(|why| {
        let what = match why {
            Some(why) => format!("the feed cannot be understood: {}", short(&why)),
            None => "the feed cannot be understood".to_owned(),
        };
        Problem::new(file, what).hint("a feed validator names its faults")
    })?;
    let site = page(&feed.links, url);
    let inherited = Inherited {
        kind: &feed.feed_type,
        url,
        site: site.as_ref(),
        language: feed.language.as_deref(),
        authors: feed.authors.iter().filter_map(|person| person.name.clone()).collect(),
    };
    // The model that feed-rs makes of a document is several times as large: of a few entries at a time it is there, and the
    // cores share the work.
    let wanted = scan.entries.iter().filter(|entry| !scan.crowded.contains(entry)).take(super::MAX_ENTRIES);
    let wanted: Vec<Range<usize>> = wanted.cloned().collect();
    let groups: Vec<Vec<Read>> = wanted.par_chunks(GROUP).map(|group| inherited.group(&scan, group)).collect();
    let title = feed.title.as_ref().map(|title| super::entry::plain(&words(title.clone(), &feed.feed_type)));
    let mut found = Remote {
        title: title.filter(|title| !title.is_empty()),
        every: scan.every,
        hubs: scan.hubs.iter().filter_map(|hub| link(hub, url)).collect(),
        topic: scan.own.as_ref().and_then(|own| link(own, url)),
        entries: Vec::with_capacity(wanted.len()),
        ..Remote::default()
    };
    let mut updates = HashMap::new();
    let crowded = scan
        .crowded
        .iter()
        .map(|entry| Err(LeftOut::Refused(entry.clone(), Some("it has too many groups of media".into()))));
    for read in groups.into_iter().flatten().chain(crowded) {
        match read {
            Ok((id, entry)) => {
                if !scan.gone.is_empty() {
                    updates.insert(id, entry.updated.or(entry.published));
                }
                found.entries.push(entry);
            }
            Err(left_out) if found.problems.len() < MAX_PROBLEMS => found.problems.push(left_out.problem(&scan, file)),
            Err(_) => {}
        }
    }
    // An entry that was edited after it was withdrawn is there again.
    let is_gone = |(id, when): &(String, Option<_>)| match (updates.get(id.as_str()), when) {
        (Some(Some(updated)), Some(when)) => updated <= when,
        _ => true,
    };
    found.gone = scan.gone.iter().filter(|gone| is_gone(gone)).map(|(id, _)| one_line(id)).collect();
    let gone: HashSet<&String> = found.gone.iter().collect();
    found.entries.retain(|entry| !gone.contains(&entry.key));
    Ok(found)
}

impl LeftOut {
    fn problem(self, scan: &Scan<'_>, file: &str) -> Problem {
        let Self::Refused(range, why) = self else {
            return Problem::new(file, "an entry says nothing: it has no id, link, title or text; it was left out");
        };
        let line = scan.text[..range.start].matches('\n').count() + 1;
        let title = scan.text[range].split_once("<title");
        let title = title.and_then(|(_, rest)| rest.split_once('>')?.1.split('<').next());
        let name = title.map(short).filter(|title| !title.is_empty());
        let name = name.map_or_else(|| "an entry".to_owned(), |title| format!("the entry {title:?}"));
        let why = why.unwrap_or_else(|| "it is beyond its reader".to_owned());
        Problem::new(file, format!("{name} cannot be understood and was left out: {why}"))
            .at(line)
            .hint("a feed validator names its faults")
    }
}

fn problem(fault: &Fault, text: &str, url: &Url, file: &str) -> Problem {
    match fault {
        Fault::Page => {
            let announced = guard::announced(text);
            let found = announced.iter().filter_map(|href| link(href, url)).find(|found| found != url);
            Problem::new(file, "this is a page, not a feed").hint(match found {
                Some(feed) => format!("the page announces a feed: {feed}"),
                None => "it announces no feed; look for one on the site, often /feed, /rss.xml or /atom.xml".to_owned(),
            })
        }
        Fault::Unknown(name) if name.is_empty() => {
            Problem::new(file, "there is no feed, but something else").hint("open the address in a browser")
        }
        Fault::Unknown(name) => Problem::new(file, format!("this is no feed: it begins with <{name}>"))
            .hint("RSS, Atom and JSON Feed are understood"),
        Fault::Deep => {
            Problem::new(file, "its elements are nested too deep, or have too many attributes; it is not read")
                .hint("a feed has four levels: the program that writes it has a fault")
        }
        Fault::Broken(at, why) => {
            let at = text.floor_char_boundary((*at).min(text.len()));
            Problem::new(file, format!("the document is cut off or not well-formed: {}", short(why)))
                .at(text[..at].matches('\n').count() + 1)
                .hint("what it brought before stays; it is read again at the next poll")
        }
    }
}

/// What feed-rs makes of a document, or why it makes nothing of it, where it says so. A panic in there costs one document and
/// no more.
fn parsed(text: &str) -> Result<Feed, Option<String>> {
    // Ids and links that are missing are our business, and so is what is safe.
    let parser = || Builder::new().id_generator(|_, _, _| String::new()).sanitize_content(false).build();
    match catch_unwind(AssertUnwindSafe(|| parser().parse(text.as_bytes()))) {
        Ok(parsed) => parsed.map_err(|error| Some(error.to_string())),
        Err(_) => Err(None),
    }
}

/// What an entry has from its feed.
struct Inherited<'a> {
    kind: &'a FeedType,
    url: &'a Url,
    site: Option<&'a Url>,
    language: Option<&'a str>,
    authors: Vec<String>,
}

impl Inherited<'_> {
    /// Some entries. Where one of them is not understood, each is read in a document of its own: what is wrong with it keeps
    /// out none of the others.
    fn group(&self, scan: &Scan<'_>, group: &[Range<usize>]) -> Vec<Read> {
        match parsed(&scan.with_entries(group)) {
            Ok(feed) => feed.entries.into_iter().map(|entry| self.read(entry)).collect(),
            Err(why) => match group {
                [one] => vec![Err(LeftOut::Refused(one.clone(), why.map(|why| short(&why))))],
                several => several.chunks(1).flat_map(|one| self.group(scan, one)).collect(),
            },
        }
    }

    fn read(&self, entry: Entry) -> Read {
        let id = entry.id.trim().to_owned();
        self.entry(entry).map(|entry| (id, Box::new(entry))).ok_or(LeftOut::Empty)
    }

    fn entry(&self, mut entry: Entry) -> Option<RemoteEntry> {
        let start = self.site.unwrap_or(self.url);
        let mut found = RemoteEntry {
            link: page(&entry.links, start),
            title: entry.title.take().map(|title| words(title, self.kind)).filter(|title| !title.is_blank()),
            content: content(&mut entry),
            summary: entry.summary.take().map(|text| html_of(text, self.kind)).filter(|words| !words.is_blank()),
            published: dated(entry.published).or_else(|| dated(entry.updated)),
            updated: dated(entry.updated),
            authors: names(entry.authors.iter().filter_map(|person| person.name.clone())),
            tags: tags(
                entry.categories.iter().map(|category| category.label.clone().unwrap_or_else(|| category.term.clone())),
            ),
            language: entry.language.clone().or_else(|| self.language.map(str::to_owned)),
            picture: picture(&entry),
            enclosure: enclosure(&entry),
            ..RemoteEntry::default()
        };
        if found.authors.is_empty() {
            found.authors = names(self.authors.clone());
        }
        // An RSS guid is the link where there is no other, unless it says that it is none; then it is hardly a URL.
        if found.link.is_none() {
            found.link = Url::parse(entry.id.trim())
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        }
        let own = entry.base.as_deref().and_then(|base| start.join(base).ok());
        let source =
            entry.content.as_ref().and_then(|content| content.src.as_ref()).filter(|_| found.content.is_some());
        let own = own.or_else(|| source.and_then(|source| start.join(&source.href).ok()));
        found.base = own.or_else(|| found.link.is_none().then(|| start.clone()));
        found.key = key(entry.id.trim(), &found)?;
        Some(found)
    }
}

/// Where something stands: the link that is neither to itself nor to what belongs to it.
fn page(links: &[Link], base: &Url) -> Option<Url> {
    let is = |link: &&Link, rel: &str| link.rel.as_deref() == Some(rel);
    let is_page =
        |link: &&Link| link.target.is_none() && link.media_type.as_deref().is_none_or(|kind| kind.contains("html"));
    let alternate = links.iter().filter(|link| is(link, "alternate"));
    let first = alternate.clone().find(is_page);
    let plain = || links.iter().find(|link| link.rel.is_none() && link.target.is_none());
    let found = first.or_else(plain).or_else(|| alternate.clone().next())?;
    link(&found.href, base)
}

fn words(mut text: Text, kind: &FeedType) -> Words {
    // It grew by references and is kept for a while.
    text.content.shrink_to_fit();
    let subtype = text.content_type.subty().as_str();
    match kind {
        FeedType::Atom if subtype == "plain" => Words::Plain(text.content),
        FeedType::Atom => Words::Html(text.content),
        _ => Words::Either(text.content),
    }
}

/// Text that is a body: in RSS it is HTML.
fn html_of(text: Text, kind: &FeedType) -> Words {
    match words(text, kind) {
        Words::Either(text) => Words::Html(text),
        words => words,
    }
}

/// The whole of an entry, if it is there and is text.
fn content(entry: &mut Entry) -> Option<Words> {
    let content = entry.content.as_mut()?;
    let mut body = content.body.take()?;
    body.shrink_to_fit();
    let (kind, subtype) = (content.content_type.ty().as_str(), content.content_type.subty().as_str());
    let words = match (kind, subtype) {
        ("text", "plain") => Words::Plain(body),
        ("text", "html") | ("application", "xhtml") => Words::Html(body),
        _ => return None,
    };
    (!words.is_blank()).then_some(words)
}

/// The first thing that belongs to an entry to be heard or watched, or to be taken along.
fn enclosure(entry: &Entry) -> Option<Enclosure> {
    // An episode says how long it is beside its file: feed-rs has it where it has what else iTunes is told.
    let of_entry = entry.media.iter().find_map(|object| object.duration);
    let of_media = entry.media.iter().flat_map(|object| {
        object.content.iter().filter_map(move |content| {
            let duration = content.duration.or(object.duration).or(of_entry);
            let duration = duration.and_then(|length| u32::try_from(length.as_secs()).ok());
            let kind = content.content_type.as_ref().map(|kind| kind.essence().to_string());
            super::enclosure(content.url.as_ref()?.as_str(), kind, content.size, duration)
        })
    });
    let links = entry.links.iter().filter(|link| link.rel.as_deref() == Some("enclosure"));
    let of_links = links.filter_map(|link| super::enclosure(&link.href, link.media_type.clone(), link.length, None));
    let mut found = of_media.chain(of_links).collect::<Vec<_>>();
    // What plays goes before what is read.
    found.sort_by_key(|enclosure| enclosure.purpose() == Purpose::File);
    found.into_iter().next()
}

/// The first picture that belongs to an entry: its thumbnail, or what is attached.
fn picture(entry: &Entry) -> Option<(String, String)> {
    for object in &entry.media {
        let alt = object.title.as_ref().or(object.description.as_ref());
        let alt = alt.map(|text| super::entry::plain(&Words::Either(text.content.clone()))).unwrap_or_default();
        let attached = object.content.iter().find(|content| {
            let kind = content.content_type.as_ref().map(|kind| kind.ty().as_str().to_owned());
            let path = content.url.as_ref().map(|url| url.path().to_ascii_lowercase()).unwrap_or_default();
            let looks_like_one =
                [".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"].iter().any(|end| path.ends_with(end));
            kind.as_deref() == Some("image") || (kind.is_none() && looks_like_one)
        });
        let attached = attached.and_then(|content| content.url.as_ref()).map(ToString::to_string);
        let thumbnail = || object.thumbnails.first().map(|thumbnail| thumbnail.image.uri.clone());
        if let Some(url) = attached.or_else(thumbnail) {
            return Some((url, alt));
        }
    }
    let enclosure = entry.links.iter().find(|link| {
        link.rel.as_deref() == Some("enclosure")
            && link.media_type.as_deref().is_some_and(|kind| kind.starts_with("image/"))
    })?;
    Some((enclosure.href.clone(), enclosure.title.clone().unwrap_or_default()))
}
