//! HTML that others wrote, brought down to what a feed, a mail and a page may show (ammonia's allow-list).
//!
//! Links go through the same rule as Markdown's. Ids other than footnotes' and all classes but `language-…` go:
//! several articles stand on one page, and it is ours.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use super::link::{Links, Use};
use super::markdown::{is_language_name, refused, same_words};
use super::{Body, Complaints, MAX_PROBLEMS, Page, Source, cleaned, prose};

/// Elements that are taken out and would be missed. (Nobody misses a style.)
const LEFT_OUT: [&str; 13] = [
    "script", "iframe", "object", "embed", "form", "button", "select", "textarea", "svg", "math", "video", "audio",
    "canvas",
];

/// Elements whose content is not for reading, or is read as text by one parser and as tags by another.
const CONTENT_OUT: [&str; 15] = [
    "script", "style", "title", "iframe", "object", "embed", "noscript", "noembed", "noframes", "template", "textarea",
    "xmp", "svg", "math", "select",
];

/// The elements among [`LEFT_OUT`] that `html` opens, with their offsets.
pub(super) fn left_out(html: &str) -> impl Iterator<Item = (&'static str, usize)> {
    html.match_indices('<').filter_map(|(at, _)| {
        let name = html[at + 1..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        LEFT_OUT.iter().find(|known| name.eq_ignore_ascii_case(known)).map(|known| (*known, at))
    })
}

/// The complaint about an element that is taken out.
pub(super) fn complain_of(name: &str, line: usize, complaints: &mut Complaints<'_>) {
    complaints
        .add(line, format!("<{name}> was left out: it does not work in feeds and mail"))
        .hint("link to the page that has it");
}

/// The page whose HTML is being sanitised.
struct InHand {
    links: Links,
    /// Begins the ids that stay.
    prefix: String,
    /// Destinations that were left out.
    refusals: Vec<(String, Use)>,
}

/// The allow-list, made once for each thread: to make it takes as long as to go through most articles.
struct Sanitiser {
    builder: ammonia::Builder<'static>,
    in_hand: Arc<Mutex<Option<InHand>>>,
}

thread_local! {
    static SANITISER: Cell<Option<Sanitiser>> = const { Cell::new(None) };
}

impl Sanitiser {
    fn clean(&self, html: &str, page: &Page<'_>) -> (String, Vec<(String, Use)>) {
        let in_hand = || self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        let (links, prefix) = (page.links.clone(), format!("{}-fn", page.slug));
        *in_hand() = Some(InHand { links, prefix, refusals: vec![] });
        let html = self.builder.clean(html).to_string();
        (html, in_hand().take().map(|page| page.refusals).unwrap_or_default())
    }
}

/// `html` without anything active, links absolute. `source` is where complaints find their lines.
pub(super) fn clean(html: &str, source: &Source<'_>, page: &Page<'_>, complaints: &mut Complaints<'_>) -> String {
    let cut = too_deep(html);
    if cut.is_some() {
        complaints
            .add(source.line, format!("HTML is nested more than {MAX_DEPTH} deep; what follows was left out"))
            .hint("close the elements that are opened");
    }
    let html = &html[..cut.unwrap_or(html.len())];
    // The sanitiser drops these before it asks anybody.
    for (written, purpose) in of_other_schemes(html) {
        let line = source.line_at(source.text.find(written.as_str()).unwrap_or(0));
        refused(&written, purpose, line, complaints);
    }
    let sanitiser = SANITISER.take().unwrap_or_else(allowing);
    let (html, refusals) = sanitiser.clean(html, page);
    SANITISER.set(Some(sanitiser));
    for (written, purpose) in refusals {
        let line = source.line_at(source.text.find(written.as_str()).unwrap_or(0));
        refused(&written, purpose, line, complaints);
    }
    html
}

/// The schemes that destinations may have.
const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];

/// Destinations of links, pictures and quotations whose scheme is none of ours, as written.
fn of_other_schemes(html: &str) -> Vec<(String, Use)> {
    let mut found = vec![];
    for (at, _) in html.match_indices('<') {
        let rest = &html[at + 1..];
        let name = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let purpose = match name.to_ascii_lowercase().as_str() {
            "a" | "blockquote" | "q" | "ins" | "del" => Use::Link,
            "img" => Use::Picture,
            _ => continue,
        };
        let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
        let attributes = quick_xml::events::BytesStart::from_content(tag.trim_end_matches('/'), name.len());
        for attribute in attributes.html_attributes().flatten() {
            let key = attribute.key.as_ref().to_ascii_lowercase();
            if !matches!(key.as_str(), "href" | "src" | "cite") {
                continue;
            }
            let value = quick_xml::escape::unescape(&attribute.value).unwrap_or_else(|_| attribute.value.clone());
            let bare: String = value.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
            let scheme = bare.split_once(':').map_or("", |(scheme, _)| scheme);
            let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
            if is_scheme && !SCHEMES.iter().any(|ours| scheme.eq_ignore_ascii_case(ours)) && found.len() < MAX_PROBLEMS
            {
                found.push((attribute.value.into_owned(), purpose));
            }
        }
    }
    found
}

/// `html` up to where it opens one element too many.
pub(super) fn shallow(html: &str) -> &str {
    &html[..too_deep(html).unwrap_or(html.len())]
}

/// Elements within elements. Browsers stop at 512 as well, and a parser's time grows with the square of the depth.
const MAX_DEPTH: usize = 512;

/// Elements that never stay open, or that the next of their kind closes.
const SHALLOW: [&str; 24] = [
    "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta", "option", "p",
    "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
];

/// Where `html` opens one element too many, going by the tags alone.
pub(super) fn too_deep(html: &str) -> Option<usize> {
    /// How far back a tag may close one that is not the last: `<b><i></b></i>`.
    const MISNESTED: usize = 16;
    let mut open: Vec<&str> = Vec::new();
    for (at, _) in html.match_indices('<') {
        let tag = &html[at + 1..];
        let (closes, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let name = &tag[..tag.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(tag.len())];
        if closes {
            if let Some(back) = open.iter().rev().take(MISNESTED).position(|opened| opened.eq_ignore_ascii_case(name)) {
                open.remove(open.len() - 1 - back);
            }
        } else if !name.is_empty() && !SHALLOW.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            open.push(name);
            if open.len() > MAX_DEPTH {
                return Some(at);
            }
        }
    }
    None
}

fn allowing() -> Sanitiser {
    let mut builder = ammonia::Builder::default();
    builder
        .add_tags(["input", "section", "tfoot"])
        .rm_tags(["area", "map"])
        .clean_content_tags(CONTENT_OUT.into_iter().collect())
        .add_generic_attributes(["id", "dir"])
        .add_tag_attributes("a", ["rel"])
        .add_tag_attributes("code", ["class"])
        .add_tag_attributes("img", ["title"])
        .add_tag_attributes("ol", ["reversed", "type"])
        .add_tag_attributes("li", ["value"])
        .add_tag_attributes("time", ["datetime"])
        .add_tag_attributes("details", ["open"])
        .add_tag_attributes("input", ["type", "checked", "disabled"])
        // One forced attribute and no more: ammonia adds several in an order that changes from run to run,
        // and an article whose bytes change counts as edited.
        .set_tag_attribute_value("input", "type", "checkbox")
        .url_schemes(SCHEMES.into())
        .link_rel(None);
    let in_hand = Arc::default();
    let page: Arc<Mutex<Option<InHand>>> = Arc::clone(&in_hand);
    builder.attribute_filter(move |element, attribute, value| match attribute {
        "href" | "src" | "cite" => {
            let purpose = if element == "img" { Use::Picture } else { Use::Link };
            let mut page = page.lock().unwrap_or_else(PoisonError::into_inner);
            let page = page.as_mut()?;
            let url = page.links.resolve(value, purpose);
            if url.is_none() && page.refusals.len() < MAX_PROBLEMS {
                page.refusals.push((value.to_owned(), purpose));
            }
            url.map(|url| Cow::Owned(url.into()))
        }
        "id" => {
            let page = page.lock().unwrap_or_else(PoisonError::into_inner);
            let is_ours = page.as_ref().is_some_and(|page| value.starts_with(&page.prefix));
            is_ours.then_some(Cow::Borrowed(value))
        }
        "class" => value.strip_prefix("language-").is_some_and(is_language_name).then_some(Cow::Borrowed(value)),
        _ => Some(Cow::Borrowed(value)),
    });
    Sanitiser { builder, in_hand }
}

/// A body of HTML, with the title that it bears.
pub(super) fn body(source: &Source<'_>, title: Option<&str>, page: &Page<'_>, complaints: &mut Complaints<'_>) -> Body {
    let mut named = Vec::new();
    for (name, at) in left_out(source.text) {
        if !named.contains(&name) {
            named.push(name);
            complain_of(name, source.line_at(at), complaints);
        }
    }
    let mut html = cleaned(clean(source.text, source, page, complaints), source, complaints);
    let heading = html.find("<h1>").and_then(|start| Some(start..html[start..].find("</h1>")? + start + "</h1>".len()));
    let found = heading.as_ref().map(|heading| prose::text_of(&html[heading.clone()])).filter(|text| !text.is_empty());
    if let (Some(heading), Some(found)) = (heading, &found)
        && title.is_none_or(|title| same_words(title, found))
        && prose::text_of(&html[..heading.start]).is_empty()
        && !html[..heading.start].contains("<img")
    {
        html.replace_range(heading, "");
    }
    let html = html.trim().to_owned();
    let prose = prose::of_html(&html);
    Body { title: found.or_else(|| document_title(source.text)), summary: prose.summary, words: prose.words, html }
}

/// What stands in `<title>`.
fn document_title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = lower[start..].find("</title>")? + start;
    Some(prose::text_of(&html[start..end])).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::article::Slug;
    use crate::source::link::Links;

    #[test]
    fn a_destination_of_another_scheme_is_complained_of_where_it_stands() {
        let text = "<p>a</p>\n<a href=\"javascript:x()\">b</a>\n<a href=' jAva&#115;cript:y'>c</a>\n<img src=data:image/png;base64,AA alt=d>\n\
                    <a href=\"https://a.example/?x=javascript:1\">e</a> <a href=\"../f:g\">h</a> <a name=\"javascript:x\">i</a>";
        let slug = Slug::from_text("spring").unwrap();
        let links = Links::new(&"https://lantern.example/".parse().unwrap(), &slug);
        let mut complaints = Complaints::new("spring.html");
        let source = Source { text, line: 5 };
        let html = clean(text, &source, &Page { slug: "spring", links: &links }, &mut complaints);
        assert!(!html.to_lowercase().contains("href=\"java") && html.contains("<a>b</a>"), "{html}");
        let said: Vec<String> = complaints.list.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{said:#?}");
        assert!(said[0].starts_with("spring.html:6: link does not lead to http, https, mailto or tel"), "{said:#?}");
        assert!(said[0].contains("its text stays, without the link"), "{said:#?}");
        assert!(said[1].starts_with("spring.html:7: link"), "{said:#?}");
        assert!(said[2].starts_with("spring.html:8: picture is not"), "{said:#?}");
    }
}
