//! HTML that other programs wrote, made ready to be a body: their own furniture off, embedded pages as links, links
//! absolute, nothing active.

use dom_query::Document;
use url::Url;

use super::super::link::Links;
use super::super::{Complaints, Page, Source, prose, sanitise};
use crate::problem::Problem;

/// What programs put between the paragraphs that no reader of a feed or mail has a use for.
const WIDGETS: &str = ".subscription-widget-wrap, .subscription-widget-wrap-editor, .subscription-widget, \
     .image-link-expand, .sharedaddy, .jp-relatedposts, .kg-signup-card, .kg-audio-player-container, .header-anchor-parent, \
     .wp-block-jetpack-subscriptions, script, style, noscript";

/// Where a body stands: the page whose links it has, and how problems call it.
pub(super) struct Place<'a> {
    pub(super) page: &'a Url,
    pub(super) name: &'a str,
    pub(super) line: Option<usize>,
}

/// A body of HTML that is safe and stands by itself.
pub(super) fn cleaned(html: &str, place: &Place<'_>, problems: &mut Vec<Problem>) -> String {
    let html = without_widgets(html);
    let source = Source { text: &html, line: place.line.unwrap_or(1) };
    let mut complaints = Complaints::new(place.name);
    let mut named = vec![];
    for (name, at) in sanitise::left_out(&html) {
        if !named.contains(&name) {
            named.push(name);
            sanitise::complain_of(name, source.line_at(at), &mut complaints);
        }
    }
    let page = Page { slug: "", links: &Links::elsewhere(place.page) };
    let clean = sanitise::clean(&html, &source, &page, &mut complaints);
    let clean = super::super::control::cleaned(clean, &source, &mut complaints);
    problems
        .extend(complaints.list.into_iter().map(|problem| Problem { line: place.line.and(problem.line), ..problem }));
    tidy(&clean)
}

/// The text of some HTML, on one line.
pub(super) fn text_of(html: &str) -> String {
    prose::text_of(&ammonia::Builder::default().clean(sanitise::shallow(html)).to_string())
}

/// The text of something that should not have any tags, but may have references.
pub(super) fn plain(text: &str) -> String {
    if text.contains(['<', '&']) { text_of(text) } else { crate::domain::text::one_line(text) }
}

fn without_widgets(html: &str) -> String {
    let document = Document::fragment(sanitise::shallow(html));
    document.select(WIDGETS).remove();
    unembed(&document);
    // What is parsed as a fragment stands in an element of its own.
    let mut all = document.select("html");
    if !all.exists() {
        return document.inner_html().to_string();
    }
    // Boxes around everything say nothing.
    loop {
        let inside = all.children();
        let is_box = inside.length() == 1 && inside.is("div, article, main, section");
        if !is_box || !all.immediate_text().trim().is_empty() {
            return all.inner_html().to_string();
        }
        all = inside;
    }
}

/// What is embedded from elsewhere, as a link to it; and pictures that a script would have loaded, at once.
pub(super) fn unembed(document: &Document) {
    for name in ["iframe", "embed", "video", "audio"] {
        for embedded in &document.select(name) {
            let source = embedded.attr("src").or_else(|| embedded.select("source").attr("src"));
            let leads_on = |source: &str| source.starts_with("http") || source.starts_with('/');
            if let Some(source) = source.filter(|source| leads_on(source)) {
                let source = crate::domain::text::escape_html(&source);
                embedded.replace_with_html(format!("<p><a href=\"{source}\">{source}</a></p>"));
            }
        }
    }
    for picture in &document.select("img") {
        let lazy = ["data-src", "data-lazy-src", "data-original"].iter().find_map(|name| picture.attr(name));
        let is_placeholder = picture.attr("src").is_none_or(|source| source.is_empty() || source.starts_with("data:"));
        match lazy {
            Some(lazy) if is_placeholder => picture.set_attr("src", &lazy),
            _ if is_placeholder => picture.remove(),
            _ => {}
        }
    }
}

/// No blank lines but one between blocks.
fn tidy(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut blank = true;
    for line in html.lines().map(str::trim_end) {
        if line.trim().is_empty() {
            blank = true;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blank { "\n\n" } else { "\n" });
        }
        out.push_str(line);
        blank = false;
    }
    out
}

/// Elements that stand by themselves, between paragraphs.
const BLOCKS: [&str; 30] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "details",
    "div",
    "dl",
    "fieldset",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "iframe",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "script",
    "style",
    "table",
    "ul",
];

/// Text in which blank lines part the paragraphs, as WordPress keeps what was written without blocks (its `wpautop`).
pub(super) fn paragraphs(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut out = String::with_capacity(text.len() + 64);
    let mut paragraph = String::new();
    // Blocks that are open: what stands in them is left as it is.
    let mut open: Vec<String> = vec![];
    for line in text.lines().chain([""]) {
        let begins_block = block_tags(line).next().is_some();
        if open.is_empty() && !begins_block && !line.trim().is_empty() && !line.trim_start().starts_with("<!--") {
            paragraph.push_str(if paragraph.is_empty() { "" } else { "<br />\n" });
            paragraph.push_str(line.trim());
            continue;
        }
        if !paragraph.is_empty() {
            out.extend(["<p>", &std::mem::take(&mut paragraph), "</p>\n"]);
        }
        for (name, closes) in block_tags(line) {
            if !closes {
                open.push(name);
            } else if let Some(at) = open.iter().rposition(|open| *open == name) {
                open.truncate(at);
            }
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// The tags of blocks in a line, and whether each closes one.
fn block_tags(line: &str) -> impl Iterator<Item = (String, bool)> {
    line.match_indices('<').filter_map(|(at, _)| {
        let tag = &line[at + 1..];
        let (closes, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let name = tag.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_ascii_lowercase();
        (BLOCKS.contains(&name.as_str()) && name != "hr").then_some((name, closes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(html: &str) -> (String, Vec<String>) {
        let mut problems = vec![];
        let page = Url::parse("https://old.example/2020/spring/").expect("a URL");
        let html = cleaned(html, &Place { page: &page, name: "export.xml", line: Some(7) }, &mut problems);
        (html, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_embedded_becomes_a_link_and_nothing_is_active() {
        let (html, problems) = body(
            "<p onclick=x>a <a href=\"../b\">b</a></p><iframe src=\"https://video.example/1\"></iframe>\
             <img data-src=\"/c.png\" src=\"data:image/gif;base64,x\"><script>alert(1)</script>\
             <div class=\"subscription-widget-wrap\"><p>Subscribe!</p></div>",
        );
        assert_eq!(
            html,
            "<p>a <a href=\"https://old.example/2020/b\">b</a></p><p><a href=\"https://video.example/1\">https://video.example/1</a></p><img src=\"https://old.example/c.png\">"
        );
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn what_is_left_out_is_said_with_its_line() {
        let (html, problems) = body("<p>a</p>\n<form><button>b</button></form>\n<a href=\"javascript:x\">c</a>");
        assert!(!html.contains("form") && !html.contains("javascript") && html.contains('c'), "{html}");
        assert!(
            problems.iter().any(|problem| problem.starts_with("export.xml:8: <form> was left out")),
            "{problems:?}"
        );
    }

    #[test]
    fn blank_lines_part_paragraphs_where_there_are_no_tags() {
        assert_eq!(
            paragraphs("One\ntwo.\r\n\r\nThree <em>four</em>.\n<ul>\n<li>a</li>\n\n<li>b</li>\n</ul>\nFive"),
            "<p>One<br />\ntwo.</p>\n\n<p>Three <em>four</em>.</p>\n<ul>\n<li>a</li>\n\n<li>b</li>\n</ul>\n<p>Five</p>\n\n"
        );
    }

    #[test]
    fn a_nest_without_end_is_cut() {
        let deep = "<div>".repeat(100_000);
        assert!(body(&deep).0.len() < 10_000);
    }
}
