//! Articles that people have elsewhere, on their way into files of the articles' folder.
//!
//! What comes out are [`Piece`]s, each of which can write itself as a file with TOML front matter, and an account of what
//! became of the rest. Nothing is written here, and nothing is asked: that is the task's.

mod folder;
mod ghost;
mod mark;
mod markup;
mod page;
mod pasted;
mod piece;
mod substack;
mod wordpress;

use chrono::{DateTime, Utc};

use super::{Context, decode};
use crate::problem::Problem;

pub(super) use self::page::body as body_of_page;
pub use self::piece::{Form, Piece};

/// What something that is brought can be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A text that was copied from a page.
    #[default]
    Text,
    /// A page of HTML.
    Page,
    /// The export of WordPress: "WXR", RSS with more in it.
    WordPress,
    /// The export of Ghost.
    Ghost,
    /// The export of Substack.
    Substack,
    /// A folder of Hugo, Jekyll or Zola, or of articles like ours.
    Folder,
}

impl Kind {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "a text copied from a page",
            Self::Page => "a web page",
            Self::WordPress => "an export of WordPress",
            Self::Ghost => "an export of Ghost",
            Self::Substack => "an export of Substack",
            Self::Folder => "a folder of articles",
        }
    }

    /// What a file is, by its first bytes; `Err` says what it is that cannot be read.
    ///
    /// # Errors
    /// When it is of a kind that is not read.
    pub fn of(name: &str, bytes: &[u8]) -> Result<Self, Box<Problem>> {
        /// As far as a beginning reaches: what a file is stands at its top.
        const BEGINNING: usize = 64 * 1024;
        let refused = |what: &str, hint: &str| Err(Box::new(Problem::new(name, what).hint(hint)));
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            return Ok(Self::Substack);
        }
        if [&b"\x1f\x8b"[..], b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"\xd0\xcf\x11\xe0"]
            .iter()
            .any(|magic| bytes.starts_with(magic))
        {
            return refused("neither text nor an export that is known", "unpack it, or copy its text and bring that");
        }
        let beginning = decode::text(&bytes[..bytes.len().min(BEGINNING)], None);
        let beginning = beginning.trim_start();
        if (beginning.starts_with("<?xml") && !beginning.contains("<html"))
            || beginning.starts_with("<rss")
            || beginning.starts_with("<feed")
        {
            if beginning.contains("wordpress.org/export/") {
                return Ok(Self::WordPress);
            }
            return refused("XML, but no export of WordPress", "in WordPress: Tools, Export, All content");
        }
        if beginning.starts_with('{')
            && beginning.contains("\"db\"")
            && ["\"posts\"", "\"meta\"", "\"data\""].iter().any(|key| beginning.contains(key))
        {
            return Ok(Self::Ghost);
        }
        let lower = beginning.to_ascii_lowercase();
        let is_named = [".html", ".htm", ".xhtml"].iter().any(|ending| name.to_lowercase().ends_with(ending));
        let is_page = lower.starts_with("<!doctype html")
            || lower.starts_with("<html")
            || (is_named && lower.contains('<'))
            || (lower.starts_with('<')
                && ["<head", "<body", "<article", "<title"].iter().any(|tag| lower.contains(tag)));
        Ok(if is_page { Self::Page } else { Self::Text })
    }
}

/// What came out of what was brought.
#[derive(Debug, Default)]
pub struct Brought {
    /// What it was.
    pub kind: Kind,
    /// The articles, in the order in which they came.
    pub pieces: Vec<Piece>,
    /// What became of each line or post that is not simply in them.
    pub account: Vec<Entry>,
    /// Everything wrong.
    pub problems: Vec<Problem>,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It stands in the article as it was.
    Kept,
    /// It was understood, and stands in the front matter in other words.
    Read,
    /// It is not in the article.
    Dropped,
}

/// One line of what was brought, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// Where it is, as problems name it.
    pub file: String,
    /// Its first line, from 1; 0 where there are no lines.
    pub line: usize,
    /// Its last line: a paragraph that was broken at a margin has several.
    pub through: usize,
    /// What it says.
    pub text: String,
    /// What became of it.
    pub fate: Fate,
    /// As what, or why.
    pub what: String,
    /// Whether a person should look at it.
    pub unsure: bool,
}

/// How something came that was fetched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way<'a> {
    /// Where it was found.
    pub url: Option<&'a url::Url>,
    /// The `Content-Type` that the server says.
    pub content_type: Option<&'a str>,
}

/// Whatever a file or an address holds.
pub fn read(name: &str, bytes: &[u8], way: Way<'_>, context: &Context<'_>, own_language: &str) -> Brought {
    let kind = match Kind::of(name, bytes) {
        Ok(kind) => kind,
        Err(problem) => return Brought { problems: vec![*problem], ..Brought::default() },
    };
    let brought = match kind {
        Kind::WordPress => wordpress::read(name, &decode::text(bytes, None), context, own_language),
        Kind::Ghost => ghost::read(name, &decode::text(bytes, None), context),
        Kind::Substack => substack::read(name, bytes, context),
        Kind::Page => page::read(name, bytes, way.content_type, way.url, context, own_language),
        Kind::Text | Kind::Folder => pasted(name, bytes, context, own_language),
    };
    Brought { kind, ..brought }
}

/// The articles in a folder of another program, with a section for those that have none, and as drafts where wanted.
pub fn folder(
    name: &str,
    path: &std::path::Path,
    section: Option<&str>,
    draft: bool,
    context: &Context<'_>,
) -> Brought {
    Brought { kind: Kind::Folder, ..folder::read(name, path, &folder::Added { section, draft }, context) }
}

/// An instant as TOML has it.
fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Something that was left out, or that a person should look at, where there are no lines.
fn said(file: String, line: usize, text: &str, fate: Fate, what: impl Into<String>) -> Entry {
    Entry { file, line, through: line, text: text.to_owned(), fate, what: what.into(), unsure: fate != Fate::Dropped }
}

/// One article from a text that was copied from a page.
pub fn pasted(name: &str, bytes: &[u8], context: &Context<'_>, own_language: &str) -> Brought {
    pasted::read(name, &decode::text(bytes, None), context, own_language)
}
