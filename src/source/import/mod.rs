//! Articles that people have elsewhere, on their way into files of the articles' folder.
//!
//! What comes out are [`Piece`]s, each of which can write itself as a file with TOML front matter, and an account of what
//! became of the rest. Nothing is written here, and nothing is asked: that is the task's.

mod mark;
mod pasted;
mod piece;

use std::borrow::Cow;

use crate::problem::Problem;

pub use self::piece::{Form, Piece};

/// What came out of what was brought.
#[derive(Debug, Default)]
pub struct Brought {
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

/// One article from a text that was copied from a page.
pub fn pasted(name: &str, bytes: &[u8], context: &super::Context<'_>, own_language: &str) -> Brought {
    pasted::read(name, &decoded(bytes), context, own_language)
}

/// Text in whatever encoding it is: UTF-8 or UTF-16 by its mark, UTF-8 if it can be that, else Windows-1252, as browsers
/// take it (WHATWG Encoding Standard).
fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    if let Some((encoding, length)) = encoding_rs::Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[length..]).0;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}
