//! One article on its way into a file: what it says, and how that is written.

use std::fmt::Write as _;

use url::Url;

use crate::domain::article::Slug;
use crate::domain::media::{Enclosure, is_media_type};
use crate::source::bare;

/// What the body is written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Markdown, in a file `.md`.
    #[default]
    Markdown,
    /// HTML, in a file `.html`: what others wrote keeps its tables, figures and marks.
    Html,
}

/// One article that can be written into a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct Piece {
    /// Where it comes from, as problems name it: a file, or a file and what in it.
    pub origin: String,
    /// Its line there, where lines are known.
    pub line: Option<usize>,
    /// Title.
    pub title: String,
    /// The last part of its address, where it had one.
    pub slug: Option<String>,
    /// Words above the title.
    pub label: Option<String>,
    /// Where it was reported from.
    pub place: Option<String>,
    /// The part of the publication that it belongs to.
    pub section: Option<String>,
    /// Language tag, where it is not the publication's.
    pub language: Option<String>,
    /// The date as TOML has it: `2024-03-03` or with a time.
    pub date: Option<String>,
    /// The date is that of the import, since there was none: on another day it would be another.
    pub is_dated_now: bool,
    /// When it was edited, as TOML has it.
    pub updated: Option<String>,
    /// Who wrote it.
    pub authors: Vec<String>,
    /// Free words.
    pub tags: Vec<String>,
    /// What it is about.
    pub summary: Option<String>,
    /// The address of its picture.
    pub image: Option<String>,
    /// What the picture shows.
    pub image_alt: Option<String>,
    /// What it brings along to be heard or watched.
    pub enclosure: Option<Enclosure>,
    /// Slugs of other articles.
    pub related: Vec<String>,
    /// Paths at which it stood before.
    pub aliases: Vec<String>,
    /// Questions, and answers in Markdown.
    pub faq: Vec<(String, String)>,
    /// To be shown under "Don't miss".
    pub featured: bool,
    /// Not public yet.
    pub draft: bool,
    /// Comes out without a mail.
    pub archive: bool,
    /// What the body is written in.
    pub form: Form,
    /// The body.
    pub body: String,
    /// The whole file instead, under its path: what came as a file of articles stays as it was.
    pub whole: Option<(String, String)>,
}

impl Piece {
    /// The name of its file without ending: its slug, or that of its title; `None` where neither has letters or digits.
    pub fn stem(&self) -> Option<Slug> {
        self.slug.as_deref().and_then(Slug::from_text).or_else(|| Slug::from_text(&self.title))
    }

    /// The ending of its file.
    pub fn ending(&self) -> &'static str {
        match self.form {
            Form::Markdown => "md",
            Form::Html => "html",
        }
    }

    /// The whole file.
    pub fn text(&self) -> String {
        if let Some((_, text)) = &self.whole {
            return text.clone();
        }
        let mut out = String::from("+++\n");
        let mut put = |key: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{key} = {value}");
        };
        put("title", &quoted(&self.title));
        for (key, value) in [("label", &self.label), ("place", &self.place), ("section", &self.section)] {
            if let Some(value) = value {
                put(key, &quoted(value));
            }
        }
        for (key, value) in [("date", &self.date), ("updated", &self.updated)] {
            if let Some(value) = value {
                put(key, value);
            }
        }
        for (key, value) in [("slug", &self.slug), ("language", &self.language), ("summary", &self.summary)] {
            if let Some(value) = value {
                put(key, &quoted(value));
            }
        }
        for (key, values) in
            [("authors", &self.authors), ("tags", &self.tags), ("related", &self.related), ("aliases", &self.aliases)]
        {
            if !values.is_empty() {
                put(key, &format!("[{}]", values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ")));
            }
        }
        for (key, value) in [("image", &self.image), ("image_alt", &self.image_alt)] {
            if let Some(value) = value {
                put(key, &quoted(value));
            }
        }
        if let Some(enclosure) = &self.enclosure {
            put("enclosure", &inline(enclosure));
        }
        for (key, value) in [("featured", self.featured), ("draft", self.draft), ("archive", self.archive)] {
            if value {
                put(key, "true");
            }
        }
        for (question, answer) in &self.faq {
            let answer = if answer.contains('\n') { paragraphs(answer) } else { quoted(answer) };
            let _ = write!(out, "\n[[faq]]\nquestion = {}\nanswer = {answer}\n", quoted(question));
        }
        out.push_str("+++\n");
        out.push_str(self.body.trim());
        out.push('\n');
        out
    }
}

/// A file that an export names beside a post; what has no address on the web is none.
pub(super) fn enclosure(url: &str, length: Option<u64>, kind: Option<&str>) -> Option<Enclosure> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    let length = length.filter(|length| *length > 0);
    let media_type = kind.map(str::to_ascii_lowercase).filter(|kind| is_media_type(kind));
    Some(Enclosure { url: bare(&url).into(), length, media_type, ..Enclosure::default() })
}

/// An enclosure as an inline table.
fn inline(enclosure: &Enclosure) -> String {
    let mut parts = vec![format!("url = {}", quoted(&enclosure.url))];
    parts.extend(enclosure.length.map(|length| format!("length = {length}")));
    parts.extend(enclosure.media_type.as_deref().map(|kind| format!("type = {}", quoted(kind))));
    parts.extend(enclosure.duration_s.map(|seconds| format!("duration = {seconds}")));
    format!("{{ {} }}", parts.join(", "))
}

/// A TOML string on one line (TOML 1.0, "basic strings").
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    escape(&mut out, text, false);
    out.push('"');
    out
}

/// A TOML string of several lines.
fn paragraphs(text: &str) -> String {
    let mut out = String::from("\"\"\"\n");
    escape(&mut out, text, true);
    out.push_str("\"\"\"");
    out
}

fn escape(out: &mut String, text: &str, keeps_lines: bool) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' if keeps_lines => out.push('\n'),
            '\t' => out.push('\t'),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}
