//! Plain text written as Markdown, so that it reads as it did.

/// Text of one line, at whose beginning a block could begin, in which nothing means anything to Markdown.
pub(super) fn escaped(text: &str) -> String {
    escape(text, true)
}

/// Text of a heading.
pub(super) fn heading(level: usize, text: &str) -> String {
    let text = escape(text, false);
    // Marks at its end would be taken for the other end of the heading.
    let text = text.strip_suffix('#').map_or(text.clone(), |text| format!("{text}\\#"));
    format!("{} {text}", "#".repeat(level.clamp(1, 6)))
}

fn escape(text: &str, begins_block: bool) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    // Where a line begins, more signs mean something.
    let head = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    let is_number =
        (1..=9).contains(&head) && matches!(&text.as_bytes()[head..], [b'.' | b')'] | [b'.' | b')', b' ', ..]);
    let mut at = 0;
    while let Some(c) = rest.next() {
        let next = rest.peek().copied().unwrap_or(' ');
        let is_special = match c {
            '\\' | '*' | '`' | '[' | ']' | '~' => true,
            '_' => !(before.is_alphanumeric() && next.is_alphanumeric()),
            // A tag, or an address, which may begin with nearly any sign (CommonMark 0.31 §6.5).
            '<' => !next.is_whitespace(),
            '&' => next.is_ascii_alphabetic() || next == '#',
            '{' => matches!(next, '{' | '%'),
            '!' => next == '[',
            '#' | '>' | '-' | '+' | '=' => begins_block && at == 0,
            '.' | ')' => begins_block && is_number && at == head,
            _ => false,
        };
        if is_special {
            out.push('\\');
        }
        out.push(c);
        (before, at) = (c, at + 1);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Parser, Tag, TagEnd};

    use super::*;

    /// What Markdown reads, as text, without the typography.
    fn read(markdown: &str) -> Result<String, String> {
        let mut options = super::super::super::markdown::options();
        options.remove(pulldown_cmark::Options::ENABLE_SMART_PUNCTUATION);
        let mut text = String::new();
        for event in Parser::new_ext(markdown, options) {
            match event {
                Event::Text(piece) => text.push_str(&piece),
                Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph) => {}
                other => return Err(format!("{other:?}")),
            }
        }
        Ok(text)
    }

    proptest! {
        #[test]
        fn whatever_is_escaped_reads_as_it_was(text in "[-a-z0-9 *_`\\[\\]()<>&;#!~|\\\\{}%=+.:/\"'$^@]{1,60}") {
            let text = crate::domain::text::one_line(&text);
            prop_assume!(!text.is_empty());
            let written = escaped(&text);
            prop_assert_eq!(read(&written), Ok(text), "{}", written);
        }
    }
}
