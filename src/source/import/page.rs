//! A page of HTML: its article is told from what is around it, and what it says of itself in its head is read.
//!
//! Which part is the article, `dom_smoothie` says, as the reading view of Firefox does. What the head says comes from JSON-LD
//! (schema.org), Open Graph, meta elements, `<time>`, `<title>` and the canonical link, in this order.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use dom_query::Document;
use dom_smoothie::{Article, Readability};
use serde_json::Value;
use url::Url;

use super::markup::{self, Place};
use super::pasted::label;
use super::{Brought, Entry, Fate, Form, Piece, instant};
use crate::domain::article::Slug;
use crate::problem::Problem;
use crate::source::sanitise;
use crate::source::{Context, MAX_BYTES, date, decode};

pub(super) fn read(
    name: &str,
    bytes: &[u8],
    content_type: Option<&str>,
    url: Option<&Url>,
    context: &Context<'_>,
    own_language: &str,
) -> Brought {
    let mut brought = Brought::default();
    if bytes.len() as u64 > MAX_BYTES {
        brought.problems.push(crate::source::too_large(name));
        return brought;
    }
    let html = decode::text(bytes, content_type);
    let html = sanitise::shallow(&html);
    let head = Head::of(html);
    let Some(found) = article_in(html) else {
        let problem = Problem::new(name, "no article in it that could be told from the page around it");
        brought.problems.push(problem.hint("copy the article's text into a file, and bring that"));
        return brought;
    };
    let canonical = head.canonical.as_deref().and_then(|written| match url {
        Some(url) => url.join(written).ok(),
        None => Url::parse(written).ok(),
    });
    let address = canonical.filter(Url::has_host).or_else(|| url.cloned());
    let page = address.clone().unwrap_or_else(|| context.base.clone());
    let title = head.title().unwrap_or_else(|| crate::domain::text::one_line(&found.title));
    if title.is_empty() {
        brought.problems.push(
            Problem::new(name, "the page has no title")
                .hint("give it a title element, or copy its text and bring that"),
        );
        return brought;
    }
    let body = markup::cleaned(&found.content, &Place { page: &page, name, line: None }, &mut brought.problems);
    let (label, title) = match label(&title) {
        Some((label, rest)) => (Some(label.to_owned()), rest.to_owned()),
        None => (None, title),
    };
    let at = head.published(context);
    let language = head.language.clone().filter(|tag| primary(tag) != primary(own_language));
    let image = head.image.as_deref().and_then(|image| page.join(image).ok()).map(String::from);
    let slug = address.as_ref().and_then(slug_of);
    left_out(name, html, &[&body, &title, &head.all_text()], &mut brought.account);
    if at.is_none() {
        brought.account.push(entry(name, &title, Fate::Read, "no date was found, so it is dated today", true));
    }
    brought.pieces.push(Piece {
        origin: name.to_owned(),
        title,
        slug,
        label,
        section: head.section.clone(),
        language,
        date: Some(instant(at.unwrap_or(context.now))),
        is_dated_now: at.is_none(),
        updated: head.edited(context, at).map(instant),
        authors: head.authors.clone(),
        tags: head.tags.clone(),
        summary: head.summary.clone(),
        image,
        image_alt: head.image_alt.clone(),
        faq: head.faq.clone(),
        form: Form::Html,
        body,
        ..Piece::default()
    });
    brought
}

/// The article in a page, told from what is around it. Readability is not told the address: relative links are made
/// absolute where all links are.
fn article_in(html: &str) -> Option<Article> {
    let document = Document::from(html);
    markup::unembed(&document);
    let found = Readability::with_document(document, None, None).ok()?.parse().ok()?;
    found.text_content.chars().any(char::is_alphanumeric).then_some(found)
}

/// The body of the article in a page that was found at `url`, safe and with absolute links; none where there is no such.
pub(in crate::source) fn body(bytes: &[u8], content_type: Option<&str>, url: &Url) -> Option<String> {
    let html = decode::text(bytes, content_type);
    let found = article_in(sanitise::shallow(&html))?;
    // What is taken out of others' pages is theirs to know.
    Some(markup::cleaned(&found.content, &Place { page: url, name: "", line: None }, &mut vec![]))
}

/// The last part of an address that is made of words: `/2024/03/the-bell.html` → `the-bell`.
fn slug_of(address: &Url) -> Option<String> {
    let part = address.path_segments()?.rev().find(|part| !part.is_empty())?;
    let stem = part.split('.').next().filter(|stem| stem.contains('-') && stem.chars().any(char::is_alphabetic))?;
    Slug::from_text(stem).map(|slug| slug.as_str().to_owned())
}

fn primary(tag: &str) -> String {
    tag.split(['-', '_']).next().unwrap_or_default().to_lowercase()
}

/// What a page says of itself.
#[derive(Debug, Default)]
struct Head {
    titles: Vec<String>,
    summary: Option<String>,
    published: Vec<String>,
    edited: Vec<String>,
    authors: Vec<String>,
    section: Option<String>,
    tags: Vec<String>,
    image: Option<String>,
    image_alt: Option<String>,
    language: Option<String>,
    canonical: Option<String>,
    faq: Vec<(String, String)>,
}

impl Head {
    fn of(html: &str) -> Self {
        let document = Document::from(html);
        let mut head = Self::default();
        for script in &document.select("script[type='application/ld+json']") {
            if let Ok(value) = serde_json::from_str::<Value>(&script.text()) {
                head.linked_data(&value, 0);
            }
        }
        let meta = |names: &[&str]| -> Vec<String> {
            let mut found = vec![];
            for name in names {
                for key in ["property", "name", "itemprop"] {
                    let all = document.select(&format!("meta[{key}='{name}']"));
                    found.extend(
                        all.iter()
                            .filter_map(|one| one.attr("content"))
                            .map(|text| crate::domain::text::one_line(&text)),
                    );
                }
            }
            found.retain(|text| !text.is_empty());
            found
        };
        let first = |names: &[&str]| meta(names).into_iter().next();
        head.titles.extend(meta(&["og:title", "twitter:title"]));
        head.titles.extend(
            document
                .select("article h1, main h1, h1")
                .iter()
                .take(1)
                .map(|one| crate::domain::text::one_line(&one.text())),
        );
        head.titles.extend(
            document
                .select("title")
                .iter()
                .take(1)
                .map(|one| without_site(&one.text(), first(&["og:site_name"]).as_deref())),
        );
        head.published.extend(meta(&[
            "article:published_time",
            "datePublished",
            "date",
            "pubdate",
            "dc.date",
            "DC.date",
            "dcterms.created",
            "parsely-pub-date",
        ]));
        head.edited.extend(meta(&["article:modified_time", "dateModified", "og:updated_time", "last-modified"]));
        head.published.extend(
            document
                .select("article time[datetime], time[datetime]")
                .iter()
                .take(1)
                .filter_map(|one| one.attr("datetime"))
                .map(|text| text.to_string()),
        );
        if head.authors.is_empty() {
            let authors = meta(&["author", "article:author", "dc.creator", "parsely-author"]);
            head.authors.extend(authors.into_iter().filter(|author| !author.starts_with("http")).take(1));
        }
        head.summary = head.summary.or_else(|| first(&["og:description", "description", "twitter:description"]));
        head.section = head.section.or_else(|| first(&["article:section"]));
        if head.tags.is_empty() {
            head.tags = meta(&["article:tag"]);
        }
        if head.tags.is_empty() {
            head.tags = first(&["keywords", "news_keywords"]).map(|all| words(&all)).unwrap_or_default();
        }
        head.image = head.image.or_else(|| first(&["og:image:secure_url", "og:image", "twitter:image"]));
        head.image_alt = first(&["og:image:alt", "twitter:image:alt"]);
        let html_language = document.select("html[lang]").attr("lang").map(|tag| tag.to_string());
        head.language =
            html_language.or(head.language).or_else(|| first(&["og:locale"])).map(|tag| tag.replace('_', "-"));
        head.canonical = document
            .select("link[rel='canonical']")
            .attr("href")
            .map(|url| url.to_string())
            .or_else(|| first(&["og:url"]));
        head
    }

    fn title(&self) -> Option<String> {
        self.titles.iter().find(|title| !title.is_empty()).cloned()
    }

    fn published(&self, context: &Context<'_>) -> Option<DateTime<Utc>> {
        self.published.iter().find_map(|written| instant_of(written, context))
    }

    /// When it was edited, if that was later, on another day.
    fn edited(&self, context: &Context<'_>, published: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let edited = self.edited.iter().find_map(|written| instant_of(written, context))?;
        published
            .is_some_and(|published| edited.date_naive() > published.date_naive() && edited <= context.now)
            .then_some(edited)
    }

    /// What it says of itself, for comparing.
    fn all_text(&self) -> String {
        let faq = self.faq.iter().flat_map(|(question, answer)| [question.as_str(), answer.as_str()]);
        let all = self.titles.iter().chain(&self.authors).chain(&self.summary).map(String::as_str).chain(faq);
        all.collect::<Vec<_>>().join(" ")
    }

    /// What schema.org's words say (JSON-LD 1.1, as search engines read it).
    fn linked_data(&mut self, value: &Value, depth: usize) {
        const MAX_DEPTH: usize = 8;
        if depth > MAX_DEPTH {
            return;
        }
        if let Value::Array(all) = value {
            return all.iter().for_each(|one| self.linked_data(one, depth + 1));
        }
        if let Some(graph) = value.get("@graph") {
            self.linked_data(graph, depth + 1);
        }
        let types: Vec<&str> = texts(value.get("@type"));
        if types.contains(&"FAQPage") {
            self.questions(value);
        }
        if !types.iter().any(|kind| kind.ends_with("Article") || kind.ends_with("BlogPosting") || *kind == "Report") {
            return;
        }
        let text =
            |key: &str| texts(value.get(key)).first().map(|text| markup::plain(text)).filter(|text| !text.is_empty());
        self.titles.extend(text("headline"));
        self.published.extend(text("datePublished"));
        self.edited.extend(text("dateModified"));
        self.summary = self.summary.take().or(text("description"));
        self.section = self.section.take().or(text("articleSection"));
        self.language = self.language.take().or(text("inLanguage"));
        for author in named(value.get("author")) {
            if !self.authors.contains(&author) {
                self.authors.push(author);
            }
        }
        if self.tags.is_empty() {
            self.tags = texts(value.get("keywords")).into_iter().flat_map(words).collect();
        }
        let image = value
            .get("image")
            .map(|image| if let Value::Array(all) = image { all.first().unwrap_or(image) } else { image });
        let image = image.and_then(|image| image.get("url").unwrap_or(image).as_str()).map(str::to_owned);
        self.image = self.image.take().or(image);
    }

    fn questions(&mut self, page: &Value) {
        for question in page.get("mainEntity").and_then(Value::as_array).into_iter().flatten() {
            let asked = question.get("name").and_then(Value::as_str).map(markup::plain);
            let answer = question.pointer("/acceptedAnswer/text").and_then(Value::as_str).map(markup::plain);
            if let (Some(asked), Some(answer)) = (asked, answer)
                && !asked.is_empty()
                && !answer.is_empty()
            {
                self.faq.push((asked, super::mark::escaped(&answer)));
            }
        }
    }
}

/// A text or a list of them.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

/// Names: a text, something with a name, or a list of either.
fn named(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(name)) if !name.starts_with("http") => vec![markup::plain(name)],
        Some(Value::Array(all)) => all.iter().flat_map(|one| named(Some(one))).collect(),
        Some(object) => object.get("name").map(|name| named(Some(name))).unwrap_or_default(),
        None => vec![],
    }
}

fn words(list: &str) -> Vec<String> {
    list.split(',').map(markup::plain).filter(|word| !word.is_empty()).collect()
}

fn instant_of(written: &str, context: &Context<'_>) -> Option<DateTime<Utc>> {
    let rfc_2822 = || Some(DateTime::parse_from_rfc2822(written.trim()).ok()?.with_timezone(&Utc));
    date::parse(written, context.time_zone).or_else(rfc_2822)
}

/// A page's title without the name of the site behind it.
fn without_site(title: &str, site: Option<&str>) -> String {
    let title = crate::domain::text::one_line(title);
    let cut = [" | ", " - ", " – ", " — ", " · "]
        .iter()
        .filter_map(|separator| title.rsplit_once(separator))
        .find(|(_, end)| site.map_or(end.split(' ').count() <= 4, |site| *end == site));
    cut.map_or(title.clone(), |(title, _)| title.to_owned())
}

fn entry(name: &str, text: &str, fate: Fate, what: &str, unsure: bool) -> Entry {
    Entry { file: name.to_owned(), line: 0, through: 0, text: text.to_owned(), fate, what: what.to_owned(), unsure }
}

/// Names the paragraphs of a page that are not in its article.
fn left_out(name: &str, html: &str, kept: &[&str], account: &mut Vec<Entry>) {
    const BLOCKS: &str =
        "p, li, h1, h2, h3, h4, h5, h6, blockquote, figcaption, td, th, dt, dd, div, section, aside, article";
    /// Entries of one page; a page of links has thousands.
    const MOST: usize = 300;
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let kept = letters(&kept.iter().map(|text| markup::text_of(text)).collect::<Vec<_>>().join(" "));
    let document = Document::from(html);
    document.select("script, style, noscript, template, head").remove();
    let mut seen = HashSet::new();
    for block in &document.select(BLOCKS) {
        if block.select(BLOCKS).exists() {
            continue; // what is in it comes by itself
        }
        let text = crate::domain::text::one_line(&block.text());
        let said = letters(&text);
        if said.is_empty() || kept.contains(&said) || !seen.insert(said) {
            continue;
        }
        if account.len() >= MOST {
            return account.push(entry(name, "…", Fate::Dropped, "and more of the page", true));
        }
        account.push(entry(name, &text, Fate::Dropped, "of the page around the article", false));
    }
}
