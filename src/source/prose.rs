//! Words counted, and the plain text of sanitised HTML.

use std::borrow::Cow;

/// Counts words that come in pieces.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Words {
    spaced: u32,
    ideographs: u32,
    inside: bool,
}

/// Bits of [`CLASSES`]: a letter or digit begins a word, what is not blank continues it.
const LETTER: u8 = 1;
const SOLID: u8 = 2;
const FOREIGN: u8 = 6;

/// What each byte is to a counter of words.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte: u8 = 0;
    while byte < 0x80 {
        let letter = if byte.is_ascii_alphanumeric() { LETTER } else { 0 };
        let solid = if byte > b' ' { SOLID } else { 0 };
        classes[byte as usize] = letter | solid;
        byte += 1;
    }
    while byte < u8::MAX {
        classes[byte as usize] = FOREIGN;
        byte += 1;
    }
    classes
};

impl Words {
    /// Goes on with `text`; a word may have begun in the piece before.
    pub(super) fn add(&mut self, text: &str) {
        let mut rest = text;
        while let Some(foreign) = self.add_ascii(rest) {
            rest = &rest[foreign..];
            let mut chars = rest.chars();
            if let Some(c) = chars.next() {
                self.add_foreign(c);
            }
            rest = chars.as_str();
        }
    }

    /// Counts up to the first character that is not ASCII, and says where that is.
    fn add_ascii(&mut self, text: &str) -> Option<usize> {
        let (mut spaced, mut inside) = (0, u8::from(self.inside));
        let foreign = text.bytes().position(|byte| {
            let class = CLASSES[usize::from(byte)];
            let begins = class & LETTER & !inside;
            spaced += u32::from(begins);
            inside = (inside | begins) & (class >> 1);
            class == FOREIGN
        });
        self.spaced += spaced;
        self.inside = inside != 0;
        foreign
    }

    fn add_foreign(&mut self, c: char) {
        if is_ideograph(c) {
            self.ideographs += 1;
            self.inside = false;
        } else if c.is_whitespace() {
            self.inside = false;
        } else if !self.inside && !matches!(c, '\u{2010}'..='\u{2027}') && c.is_alphanumeric() {
            self.spaced += 1; // (dashes and quotation marks, the most frequent by far, need no look into the tables)
            self.inside = true;
        }
    }

    /// Whatever comes next begins a new word.
    pub(super) fn gap(&mut self) {
        self.inside = false;
    }

    /// Words so far. Scripts without blanks count two characters as a word.
    pub(super) fn count(&self) -> u32 {
        self.spaced + self.ideographs / 2
    }
}

/// Han, kana and bopomofo: written without blanks. (Korean has blanks.)
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3100}'..='\u{312F}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// What a body says, without its tags.
#[derive(Debug, Default)]
pub(super) struct Prose {
    /// The first paragraph with text in it, else the first text.
    pub(super) summary: Option<String>,
    pub(super) words: u32,
}

/// Elements that part words and paragraphs.
const BLOCKS: [&str; 32] = [
    "article",
    "aside",
    "blockquote",
    "br",
    "caption",
    "center",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "nav",
    "ol",
    "p",
    "pre",
    "summary",
    "table",
    "td",
    "th",
    "ul",
];

/// Reads sanitised HTML as a serialiser wrote it; on anything else it still ends, with less sense.
pub(super) fn of_html(html: &str) -> Prose {
    let mut words = Words::default();
    let (mut paragraph, mut text) = (String::new(), String::new());
    let (mut in_paragraph, mut first) = (false, None);
    for piece in pieces(html) {
        match piece {
            Piece::Text(piece) => {
                words.add(&piece);
                let wanted = if in_paragraph { &mut paragraph } else { &mut text };
                if wanted.len() < 4096 {
                    wanted.push_str(&piece);
                }
            }
            Piece::Tag { name, closes } if BLOCKS.contains(&name) => {
                words.gap();
                text.push(' ');
                paragraph.push(' ');
                if name == "p" && first.is_none() {
                    first = Some(crate::domain::text::one_line(&paragraph)).filter(|found| !found.is_empty());
                    in_paragraph = !closes && first.is_none();
                    paragraph.clear();
                }
            }
            Piece::Tag { .. } => {}
        }
    }
    let summary = first.or_else(|| Some(crate::domain::text::one_line(&text)).filter(|found| !found.is_empty()));
    Prose { summary, words: words.count() }
}

/// The text in a piece of sanitised HTML, on one line.
pub fn text_of(html: &str) -> String {
    let text: String = pieces(html)
        .map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Tag { name, .. } if BLOCKS.contains(&name) => Cow::Borrowed(" "),
            Piece::Tag { .. } => Cow::Borrowed(""),
        })
        .collect();
    crate::domain::text::one_line(&text)
}

enum Piece<'a> {
    Text(Cow<'a, str>),
    Tag { name: &'a str, closes: bool },
}

fn pieces(html: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = html;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(tag) = rest.strip_prefix('<') else {
            let (text, after) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
            rest = after;
            return Some(Piece::Text(unescape(text)));
        };
        let mut quoted = false;
        let end = tag.bytes().position(|byte| {
            quoted ^= byte == b'"';
            byte == b'>' && !quoted
        });
        let (inside, after) = end.map_or((tag, ""), |end| (&tag[..end], &tag[end + 1..]));
        rest = after;
        let closes = inside.starts_with('/');
        let inside = inside.trim_start_matches('/');
        let name = inside.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        Some(Piece::Tag { name, closes })
    })
}

/// Undoes the five references that an HTML serialiser writes.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = [("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&nbsp;", "\u{A0}")];
        let (written, meant) = known.into_iter().find(|(written, _)| rest.starts_with(written)).unwrap_or(("&", "&"));
        out.push_str(meant);
        rest = &rest[written.len()..];
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pieces: &[&str]) -> u32 {
        let mut words = Words::default();
        for piece in pieces {
            words.add(piece);
        }
        words.count()
    }

    #[test]
    fn words_are_counted_as_people_count_them() {
        assert_eq!(count(&["The lighthouse — lit again — isn’t old."]), 6);
        assert_eq!(count(&["un", "break", "able ", "“so”"]), 2);
        assert_eq!(count(&["Ещё не всё"]), 3);
        assert_eq!(count(&["灯台は再び光る"]), 3);
        assert_eq!(count(&[" * - ", "…"]), 0);
    }

    #[test]
    fn html_is_read_by_paragraph() {
        let prose =
            of_html("<h1>Title</h1><figure><img alt=\"a > b\"></figure><p> </p><p>One &amp; <b>t</b>wo</p><p>x</p>");
        assert_eq!(prose.summary.as_deref(), Some("One & two"));
        assert_eq!(prose.words, 4);
        assert_eq!(of_html("<div>bare</div>text").summary.as_deref(), Some("bare text"));
        assert_eq!(text_of("a<br>b<i>c</i>"), "a bc");
    }
}
