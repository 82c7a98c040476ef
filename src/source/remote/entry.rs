//! What an entry of a feed elsewhere becomes: an article like any other, sanitised, with absolute links.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use url::Url;

use super::super::link::{Links, Use};
use super::super::{Complaints, Page, SUMMARY_MAX, Source, prose, sanitise};
use super::{RemoteEntry, Words};
use crate::domain::article::{Article, ArticleId, Image, Original, Slug};
use crate::domain::text::{clean, escape_html, one_line, shorten};

/// Longest title that is made of a text, in characters.
const TITLE_MAX: usize = 80;

/// How a source's entries become articles.
#[derive(Debug, Clone)]
pub struct Manner {
    /// The source's name: the title of what has neither title nor text.
    pub name: String,
    /// The section that they stand in.
    pub section: Option<String>,
    /// Their language, whatever they say.
    pub language: Option<String>,
    /// Who wrote them, whatever they say.
    pub authors: Vec<String>,
    /// Whether feeds, mail and lists lead to their pages here, and not to the originals.
    pub pages: bool,
    /// The publication's own language.
    pub own_language: String,
}

/// The slug that an entry would like: of its title, else of its link, else of its id.
pub fn slug(entry: &RemoteEntry) -> Slug {
    let title = entry.title.as_ref().and_then(|title| Slug::from_text(&plain(title)));
    let last = || {
        let mut segments = entry.link.as_ref()?.path_segments()?;
        Slug::from_text(segments.rfind(|segment| !segment.is_empty())?)
    };
    let hashed = || Slug::from_text(&format!("entry-{}", &super::hash([&entry.key])[..12]));
    let text = || Slug::from_text(&shorten(&text_of(entry)?, TITLE_MAX));
    // The last is always one.
    title.or_else(text).or_else(last).or_else(hashed).unwrap_or_else(|| Slug::from_text("entry").expect("a slug"))
}

/// The article. `date` is the one that it bears: see `task::poll`.
pub fn article(id: ArticleId, slug: Slug, date: DateTime<Utc>, entry: &RemoteEntry, manner: &Manner) -> Article {
    let fallback = || Url::parse("https://invalid.invalid/").ok();
    let base = entry.base.clone().or_else(|| entry.link.clone()).or_else(fallback);
    let links = base.map(|base| Links::elsewhere(&base));
    let body = entry.content.as_ref().or(entry.summary.as_ref());
    let html = match (body, &links) {
        (Some(words), Some(links)) => html(words, slug.as_str(), links),
        _ => String::new(),
    };
    let read = prose::of_html(&html);
    let given = entry.content.as_ref().and(entry.summary.as_ref()).map(plain).filter(|given| !given.is_empty());
    let first = read.summary.map(|first| one_line(&first)).unwrap_or_default();
    // What content systems give as a summary is mostly the beginning once more.
    let is_beginning = |given: &str| {
        let begin: String = given.chars().take(60).collect();
        first.starts_with(begin.trim_end_matches(['…', '.', ' ', '[', ']']))
    };
    let summary_given = given.as_deref().is_some_and(|given| !is_beginning(given));
    let summary = if summary_given { given.unwrap_or_default() } else { first };
    let title = Some(title(entry)).filter(|title| !title.is_empty()).unwrap_or_else(|| manner.name.clone());
    let image = entry.picture.as_ref().and_then(|(written, alt)| {
        let url = links.as_ref()?.resolve(written, Use::Picture)?;
        Some(Image { url: url.into(), alt: shorten(&one_line(alt), SUMMARY_MAX), size: None })
    });
    Article {
        id,
        key: entry.key.clone(),
        slug,
        title,
        label: None,
        place: None,
        section: manner.section.clone(),
        language: manner.language.clone().or_else(|| language(entry.language.as_deref()?, &manner.own_language)),
        date,
        updated: entry.updated.filter(|updated| *updated > date),
        authors: if manner.authors.is_empty() { entry.authors.clone() } else { manner.authors.clone() },
        tags: entry.tags.clone(),
        summary: shorten(&summary, SUMMARY_MAX),
        summary_given,
        html,
        image,
        enclosure: entry.enclosure.clone(),
        featured: false,
        related: vec![],
        faq: vec![],
        original: entry.link.as_ref().map(|link| Original { url: link.to_string(), is_linked: !manner.pages }),
        draft: false,
        words: read.words,
    }
}

/// The title: given, or the beginning of the text; empty where there is neither.
pub fn title(entry: &RemoteEntry) -> String {
    let given = entry.title.as_ref().map(plain).filter(|title| !title.is_empty());
    let given = given.map(|title| shorten(&title, SUMMARY_MAX));
    given.or_else(|| Some(shorten(&text_of(entry)?, TITLE_MAX))).unwrap_or_default()
}

/// Words on one line of plain text.
pub(super) fn plain(words: &Words) -> String {
    match words {
        Words::Html(html) => prose::text_of(&without_tags(html)),
        Words::Either(text) if is_markup(text) => prose::text_of(&without_tags(text)),
        // References are meant as such even where there are no tags; a lone < is what it looks like.
        Words::Either(text) if text.contains('&') => prose::text_of(&without_tags(&text.replace('<', "&lt;"))),
        Words::Plain(text) | Words::Either(text) => one_line(text),
    }
}

/// Whether text that may be either is HTML: it closes what it opens, or breaks a line.
fn is_markup(text: &str) -> bool {
    text.match_indices('<').any(|(at, _)| {
        let rest = &text[at + 1..];
        let name = rest.trim_start_matches('/').split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let known = [
            "a", "abbr", "b", "br", "cite", "code", "div", "em", "i", "img", "p", "q", "small", "span", "strong",
            "sub", "sup", "u",
        ];
        known.iter().any(|known| name.eq_ignore_ascii_case(known)) && rest.contains('>')
    })
}

/// What lets blocks and text pass.
static BLOCKS_ALONE: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let mut builder = ammonia::Builder::empty();
    builder
        .tags(["p", "br", "div", "li", "td"].into())
        .clean_content_tags(["script", "style", "template", "noscript"].into());
    builder
});

/// HTML with blocks and text alone, as a serialiser writes it.
fn without_tags(html: &str) -> String {
    let html = &html[..html.floor_char_boundary(64 * 1024)];
    let html = clean(html);
    BLOCKS_ALONE.clean(sanitise::shallow(&html)).to_string()
}

/// The text of an entry, if it has any.
fn text_of(entry: &RemoteEntry) -> Option<String> {
    let words = entry.content.as_ref().into_iter().chain(entry.summary.as_ref());
    words.map(plain).find(|text| !text.is_empty())
}

/// A body as it may be shown anywhere.
fn html(words: &Words, slug: &str, links: &Links) -> String {
    let written = match words {
        Words::Plain(text) => {
            let text = text.trim().replace("\r\n", "\n");
            let mut html = String::new();
            for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
                html.push_str("<p>");
                html.push_str(&escape_html(paragraph).replace('\n', "<br>\n"));
                html.push_str("</p>\n");
            }
            html
        }
        Words::Html(html) | Words::Either(html) => clean(html).into_owned(),
    };
    // What is taken out of others' pages is theirs to know, not ours to complain of.
    let mut complaints = Complaints::new("");
    let source = Source { text: &written, line: 1 };
    let html = sanitise::clean(&written, &source, &Page { slug, links }, &mut complaints);
    clean(html.trim()).into_owned()
}

/// The tag of a language where it is another one than the publication's.
fn language(written: &str, own: &str) -> Option<String> {
    let written = written.trim().replace('_', "-");
    let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    let is_tag = written.len() <= 35
        && written
            .split('-')
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
        && (2..=3).contains(&primary(&written).len());
    if !is_tag || primary(&written) == primary(own) {
        return None;
    }
    let mut parts = written.split('-');
    let first = parts.next().unwrap_or_default().to_ascii_lowercase();
    let rest = parts.map(|part| match part.len() {
        2 => part.to_ascii_uppercase(),
        _ => part.to_owned(),
    });
    Some(std::iter::once(first).chain(rest).collect::<Vec<_>>().join("-"))
}
