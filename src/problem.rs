//! A complaint to a person about something that they wrote: file, line, what is wrong, how to mend it.
//!
//! Faults in people's files are collected, never thrown: one bad article does not stop the rest.
//! This module knows nothing of what is being read.

use std::fmt;

/// One fault in one file, with its remedy.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file as the person knows it, relative to the publication where possible.
    pub file: String,
    /// Line in that file, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, in words.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A fault somewhere in `file`.
    pub fn new(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, what: what.into(), hint: None }
    }

    /// The same, at a line (from 1).
    #[must_use]
    pub fn at(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// The same, with a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", printable(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", printable(&self.what))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {}", printable(hint))?;
        }
        Ok(())
    }
}

/// Text made safe for a terminal or a log: control and bidirectional-override characters become `\u{…}`.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) && c != '\t' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that change how a line reads or where it ends: controls, U+2028/2029 and bidi controls.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The known word nearest to `written`, if it is near enough to be what was meant.
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&written.to_lowercase(), word), word))
        .filter(|(distance, word)| *distance <= word.len().max(written.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_file_line_and_remedy() {
        let problem =
            Problem::new("articles/spring.md", "date is not a date: \"03/02/2026\"").at(3).hint("write 2026-03-02");
        assert_eq!(
            problem.to_string(),
            "articles/spring.md:3: date is not a date: \"03/02/2026\"\n  hint: write 2026-03-02"
        );
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\r\nb\u{202e}"), "a\\u{1b}[31m\\u{d}\\u{a}b\\u{202e}");
    }

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(did_you_mean("titel", ["title", "url"]), Some("title"));
        assert_eq!(did_you_mean("colour", ["title", "url"]), None);
    }
}
