//! Markdown to HTML in one pass: text, links made absolute, words counted, the first paragraph and the title noticed.
//!
//! `CommonMark` 0.31 with tables, footnotes (GitHub's), task lists, strikethrough and typographic punctuation. What this
//! writes by itself is safe: tags and attributes of its own choosing, everything else escaped, destinations checked.
//! HTML in the source is passed on as it is and reported in `has_html`: it must go through `sanitise`.

use std::ops::Range;

use pulldown_cmark::{Alignment, CodeBlockKind, CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd};

use super::footnote::Notes;
use super::html::{attribute, escape, push};
use super::link::Use;
use super::prose::Words;
use super::{Complaints, Page, Source};

/// What a body of Markdown became.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    pub(super) html: String,
    /// The source holds HTML of its own, and so does `html`: not sanitised yet.
    pub(super) has_html: bool,
    /// The first paragraph with text in it, plain.
    pub(super) summary: Option<String>,
    pub(super) words: u32,
    heading: Option<Heading>,
}

/// The first heading of the first level.
#[derive(Debug)]
struct Heading {
    text: String,
    /// Where it stands in the HTML.
    at: Range<usize>,
    words: u32,
}

impl Rendered {
    /// The first heading as a title. Where the body begins with it, and it says no more than `title`, it is taken out.
    pub(super) fn take_title(&mut self, title: Option<&str>) -> Option<String> {
        let heading = self.heading.take()?;
        let same = title.is_none_or(|title| same_words(title, &heading.text));
        if same && heading.at.start == 0 {
            self.html.replace_range(heading.at, "");
            self.words = self.words.saturating_sub(heading.words);
        }
        Some(heading.text).filter(|text| !text.is_empty())
    }
}

/// Whether two titles differ in punctuation and case at most.
pub(super) fn same_words(a: &str, b: &str) -> bool {
    let letters =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    letters(a) == letters(b)
}

/// What is understood beyond `CommonMark`.
pub(super) fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_SMART_PUNCTUATION
}

/// Renders a body of Markdown.
pub(super) fn render(source: &Source<'_>, page: &Page<'_>, complaints: &mut Complaints<'_>) -> Rendered {
    super::shortcode::complain(source, complaints);
    let markdown = source.text;
    let mut writer = Writer {
        source,
        page,
        complaints,
        html: String::with_capacity(markdown.len() + markdown.len() / 4 + 64),
        words: Words::default(),
        paragraph: None,
        summary: None,
        heading: None,
        has_html: false,
        left_out: Vec::new(),
        anchors: Vec::new(),
        picture: None,
        alignments: Vec::new(),
        cell: 0,
        in_head: false,
        notes: Notes::default(),
        outer: Vec::new(),
    };
    for (event, at) in Parser::new_ext(markdown, options()).into_offset_iter() {
        writer.event(event, &at);
    }
    writer.finish()
}

struct Writer<'a, 'b, 'c> {
    source: &'b Source<'a>,
    page: &'b Page<'b>,
    complaints: &'b mut Complaints<'c>,
    html: String,
    words: Words,
    /// The text of the paragraph that may become the summary.
    paragraph: Option<String>,
    summary: Option<String>,
    heading: Option<Heading>,
    has_html: bool,
    /// Elements of the source's own that sanitising takes out, by name.
    left_out: Vec<&'static str>,
    /// Open links, and whether their tag was written.
    anchors: Vec<bool>,
    /// The picture whose text is being read.
    picture: Option<Picture<'a>>,
    alignments: Vec<Alignment>,
    cell: usize,
    in_head: bool,
    notes: Notes<'a>,
    /// Bodies put aside while a footnote is written, and that footnote's place in `notes`.
    outer: Vec<(String, usize)>,
}

struct Picture<'a> {
    url: url::Url,
    title: CowStr<'a>,
    alt: String,
    /// Pictures inside it that are open; they lend it their text.
    inside: usize,
}

impl<'a> Writer<'a, '_, '_> {
    fn event(&mut self, event: Event<'a>, at: &Range<usize>) {
        if self.picture.is_some() {
            return self.inside_picture(event);
        }
        match event {
            Event::Start(tag) => self.start(tag, at),
            Event::End(tag) => self.end(tag),
            // Mathematics is not switched on.
            Event::Text(text) | Event::InlineMath(text) | Event::DisplayMath(text) => self.text(&text),
            Event::Code(text) => {
                self.html.push_str("<code>");
                self.text(&text);
                self.html.push_str("</code>");
            }
            Event::Html(html) | Event::InlineHtml(html) => self.own_html(&html, at),
            Event::SoftBreak => self.line_break("\n"),
            Event::HardBreak => self.line_break("<br />\n"),
            Event::Rule => self.html.push_str("<hr />\n"),
            Event::FootnoteReference(label) => self.notes.refer(&mut self.html, label, self.page),
            Event::TaskListMarker(done) => {
                let checked = if done { " checked=\"\"" } else { "" };
                self.html.push_str("<input type=\"checkbox\" disabled=\"\"");
                self.html.push_str(checked);
                self.html.push_str(" /> ");
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.words.add(text);
        if let Some(paragraph) = &mut self.paragraph {
            paragraph.push_str(text);
        }
        escape(&mut self.html, text);
    }

    fn line_break(&mut self, html: &str) {
        self.words.gap();
        if let Some(paragraph) = &mut self.paragraph {
            paragraph.push(' ');
        }
        self.html.push_str(html);
    }

    fn start(&mut self, tag: Tag<'a>, at: &Range<usize>) {
        let html = &mut self.html;
        match tag {
            Tag::Paragraph => {
                html.push_str("<p>");
                if self.summary.is_none() && self.outer.is_empty() {
                    self.paragraph = Some(String::new());
                }
            }
            Tag::Heading { level, .. } => self.start_heading(level),
            Tag::BlockQuote(_) => html.push_str("<blockquote>\n"),
            Tag::CodeBlock(kind) => start_code(html, &kind),
            Tag::List(None) => html.push_str("<ul>\n"),
            Tag::List(Some(1)) => html.push_str("<ol>\n"),
            Tag::List(Some(first)) => push(html, format_args!("<ol start=\"{first}\">\n")),
            Tag::Item => html.push_str("<li>"),
            Tag::FootnoteDefinition(label) => {
                let note = self.notes.place(label);
                self.outer.push((std::mem::take(&mut self.html), note));
            }
            Tag::Table(alignments) => {
                self.alignments = alignments;
                html.push_str("<table>");
            }
            Tag::TableHead => {
                self.in_head = true;
                self.cell = 0;
                html.push_str("<thead><tr>");
            }
            Tag::TableRow => {
                self.cell = 0;
                html.push_str("<tr>");
            }
            Tag::TableCell => self.start_cell(),
            inline => self.start_inline(inline, at),
        }
    }

    fn start_inline(&mut self, tag: Tag<'a>, at: &Range<usize>) {
        match tag {
            Tag::Emphasis => self.html.push_str("<em>"),
            Tag::Strong => self.html.push_str("<strong>"),
            Tag::Strikethrough => self.html.push_str("<del>"),
            Tag::Link { link_type, dest_url, title, .. } => self.start_link(link_type, &dest_url, &title, at),
            Tag::Image { dest_url, title, .. } => {
                // A refused one leaves its text to the page, and its end to nobody.
                let url = self.resolve(&dest_url, Use::Picture, at);
                self.picture = url.map(|url| Picture { url, title, alt: String::new(), inside: 0 });
            }
            _ => {} // a block of HTML has no tag of its own; the rest is not switched on
        }
    }

    fn end(&mut self, tag: TagEnd) {
        let html = match tag {
            TagEnd::Paragraph => {
                let text = self.paragraph.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
                self.summary = text.or(self.summary.take());
                "</p>\n"
            }
            TagEnd::Heading(level) => return self.end_heading(level),
            TagEnd::BlockQuote(_) => "</blockquote>\n",
            TagEnd::CodeBlock => "</code></pre>\n",
            TagEnd::List(true) => "</ol>\n",
            TagEnd::List(false) => "</ul>\n",
            TagEnd::Item => "</li>\n",
            TagEnd::FootnoteDefinition => return self.end_note(),
            TagEnd::Table => "</tbody></table>\n",
            TagEnd::TableHead => {
                self.in_head = false;
                "</tr></thead><tbody>\n"
            }
            TagEnd::TableRow => "</tr>\n",
            TagEnd::TableCell => {
                self.cell += 1;
                if self.in_head { "</th>" } else { "</td>" }
            }
            TagEnd::Emphasis => return self.html.push_str("</em>"),
            TagEnd::Strong => return self.html.push_str("</strong>"),
            TagEnd::Strikethrough => return self.html.push_str("</del>"),
            TagEnd::Link => {
                if self.anchors.pop() == Some(true) {
                    self.html.push_str("</a>");
                }
                return;
            }
            TagEnd::Image => return,
            _ => "", // a block of HTML has no tag of its own; the rest is not switched on
        };
        self.words.gap();
        self.html.push_str(html);
    }

    fn start_heading(&mut self, level: HeadingLevel) {
        if level == HeadingLevel::H1 && self.heading.is_none() && self.outer.is_empty() {
            let at = self.html.len();
            self.heading = Some(Heading { text: String::new(), at: at..at, words: self.words.count() });
        }
        push(&mut self.html, format_args!("<{level}>"));
    }

    fn end_heading(&mut self, level: HeadingLevel) {
        push(&mut self.html, format_args!("</{level}>\n"));
        self.words.gap();
        if level == HeadingLevel::H1
            && let Some(heading) =
                self.heading.as_mut().filter(|heading| heading.at.is_empty() && self.outer.is_empty())
        {
            heading.at.end = self.html.len();
            heading.text = super::prose::text_of(&self.html[heading.at.clone()]);
            heading.words = self.words.count() - heading.words;
        }
    }

    fn start_cell(&mut self) {
        let name = if self.in_head { "th" } else { "td" };
        let align = match self.alignments.get(self.cell) {
            Some(Alignment::Left) => " align=\"left\"",
            Some(Alignment::Center) => " align=\"center\"",
            Some(Alignment::Right) => " align=\"right\"",
            Some(Alignment::None) | None => "",
        };
        push(&mut self.html, format_args!("<{name}{align}>"));
    }

    fn start_link(&mut self, kind: LinkType, destination: &str, title: &str, at: &Range<usize>) {
        if self.anchors.contains(&true) {
            // An address in a link's text: the outer link is the one that was meant.
            self.anchors.push(false);
            return;
        }
        let url = if kind == LinkType::Email {
            self.resolve(&format!("mailto:{destination}"), Use::Link, at)
        } else {
            self.resolve(destination, Use::Link, at)
        };
        self.anchors.push(url.is_some());
        let Some(url) = url else { return };
        self.html.push_str("<a href=\"");
        escape(&mut self.html, url.as_str());
        attribute(&mut self.html, "title", title);
        self.html.push_str("\">");
    }

    fn resolve(&mut self, destination: &str, purpose: Use, at: &Range<usize>) -> Option<url::Url> {
        let url = self.page.links.resolve(destination, purpose);
        if url.is_none() && !self.complaints.enough() {
            let line = self.source.line_at(at.start);
            refused(destination, purpose, line, self.complaints);
        }
        url
    }

    /// A picture takes no tags, only the text that stands for it.
    fn inside_picture(&mut self, event: Event<'a>) {
        let Some(picture) = &mut self.picture else { return };
        match event {
            Event::Text(text) | Event::Code(text) => picture.alt.push_str(&text),
            Event::SoftBreak | Event::HardBreak => picture.alt.push(' '),
            Event::Start(Tag::Image { .. }) => picture.inside += 1,
            Event::End(TagEnd::Image) if picture.inside > 0 => picture.inside -= 1,
            Event::End(TagEnd::Image) => {
                self.html.push_str("<img src=\"");
                escape(&mut self.html, picture.url.as_str());
                self.html.push_str("\" alt=\"");
                escape(&mut self.html, &picture.alt);
                attribute(&mut self.html, "title", &picture.title);
                self.html.push_str("\" />");
                self.picture = None;
            }
            _ => {}
        }
    }

    fn own_html(&mut self, html: &str, at: &Range<usize>) {
        if is_comment(html) {
            return; // `<!-- more -->` above all: no reason to send the body through the sanitiser
        }
        self.has_html = true;
        for (name, offset) in super::sanitise::left_out(html) {
            if !self.left_out.contains(&name) {
                self.left_out.push(name);
                let line = self.source.line_at(at.start + offset);
                super::sanitise::complain_of(name, line, self.complaints);
            }
        }
        self.html.push_str(html);
    }

    fn end_note(&mut self) {
        let Some((outer, place)) = self.outer.pop() else { return };
        let note = std::mem::replace(&mut self.html, outer);
        self.notes.define(place, &note);
        self.words.gap();
    }

    fn finish(mut self) -> Rendered {
        self.notes.write(&mut self.html, self.page);
        Rendered {
            html: self.html,
            has_html: self.has_html,
            summary: self.summary,
            words: self.words.count(),
            heading: self.heading,
        }
    }
}

fn start_code(html: &mut String, kind: &CodeBlockKind<'_>) {
    html.push_str("<pre><code");
    if let CodeBlockKind::Fenced(info) = kind {
        let language = info.split([' ', '\t', ',', '{']).next().unwrap_or_default();
        if is_language_name(language) {
            push(html, format_args!(" class=\"language-{language}\""));
        }
    }
    html.push('>');
}

/// Whether a piece of HTML is one comment and nothing else.
fn is_comment(html: &str) -> bool {
    let inside = html.trim().strip_prefix("<!--").and_then(|html| html.strip_suffix("-->"));
    inside.is_some_and(|inside| !inside.contains("--") && !inside.starts_with(['>', '-']))
}

/// The complaint about a destination that is left out.
pub(super) fn refused(destination: &str, purpose: Use, line: usize, complaints: &mut Complaints<'_>) {
    let (what, hint) = match purpose {
        Use::Link => ("link does not lead to http, https, mailto or tel", "its text stays, without the link"),
        Use::Picture => {
            ("picture is not an http or https address", "put the file into static/ and write its path from there")
        }
    };
    complaints.add(line, format!("{what}: {destination:?}")).hint(hint);
}

/// Letters, digits and the few signs that names of programming languages have.
pub(super) fn is_language_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'#' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::super::link::Links;
    use super::*;
    use crate::domain::article::Slug;

    fn rendered(markdown: &str) -> (Rendered, Vec<String>) {
        let slug = Slug::from_text("spring").unwrap();
        let links = Links::new(&url::Url::parse("https://lantern.example").unwrap(), &slug);
        let mut complaints = Complaints::new("a.md");
        let source = Source { text: markdown, line: 5 };
        let rendered = render(&source, &Page { slug: "spring", links: &links }, &mut complaints);
        (rendered, complaints.list.iter().map(ToString::to_string).collect())
    }

    fn html(markdown: &str) -> String {
        rendered(markdown).0.html
    }

    #[test]
    fn a_link_never_stands_inside_a_link() {
        assert_eq!(
            html("[<https://b.example>](https://a.example)"),
            "<p><a href=\"https://a.example/\">https://b.example</a></p>\n"
        );
    }

    #[test]
    fn a_refused_link_leaves_its_text_and_a_complaint() {
        let (rendered, complaints) = rendered("One\n\n[t *e*](javascript:x) ![alt](data:x)");
        assert_eq!(rendered.html, "<p>One</p>\n<p>t <em>e</em> alt</p>\n");
        assert!(complaints[0].starts_with("a.md:7: link does not lead to"), "{complaints:?}");
        assert!(complaints[1].starts_with("a.md:7: picture is not"), "{complaints:?}");
    }

    #[test]
    fn a_picture_takes_the_text_of_what_is_in_it() {
        assert_eq!(
            html("![a *b* `c` [d](https://x.example) ![e](f.png) \"g\"](h.png)"),
            "<p><img src=\"https://lantern.example/articles/spring/h.png\" alt=\"a b c d e “g”\" /></p>\n"
        );
    }

    #[test]
    fn a_heading_that_is_the_title_goes_from_the_beginning_only() {
        let (mut same, _) = rendered("# The *keeper’s* lamp\n\nText here.");
        assert_eq!(same.take_title(Some("The keeper's lamp")).as_deref(), Some("The keeper’s lamp"));
        assert_eq!((same.html.as_str(), same.words), ("<p>Text here.</p>\n", 2));
        let (mut other, _) = rendered("# Something else\n\nText.");
        other.take_title(Some("The keeper's lamp"));
        assert!(other.html.starts_with("<h1>"));
        let (mut later, _) = rendered("Text.\n\n# Title");
        assert_eq!(later.take_title(None).as_deref(), Some("Title"));
        assert!(later.html.contains("<h1>"));
    }

    #[test]
    fn a_comment_is_dropped_without_the_sanitiser() {
        let (comment, _) = rendered("a\n\n<!-- more -->\n\nb <!-- c --> d");
        assert_eq!((comment.html.as_str(), comment.has_html), ("<p>a</p>\n<p>b  d</p>\n", false));
        assert!(rendered("<!-- a --><b>").0.has_html);
        assert!(rendered("<!-- a --> <script> <!-- b -->").0.has_html);
    }

    #[test]
    fn the_summary_is_the_first_paragraph_with_text() {
        let (body, _) = rendered("![](a.png)\n\n- x\n\nFirst *one*,\ntwo[^1].\n\nThird.\n\n[^1]: Note.");
        assert_eq!(body.summary.as_deref(), Some("First one, two."));
    }
}
