//! The lines of a copied text, made whole: white space, and lines that were broken at a margin.

use crate::domain::text::one_line;

/// What was one line before it was broken, if it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The lines of the text that it stood on, from 1.
    pub(super) numbers: Vec<usize>,
    /// What it says, on one line, without marks of Markdown's headings.
    pub(super) text: String,
    /// A blank line, or nothing, stands before it.
    pub(super) is_after_blank: bool,
}

/// Broken text is seldom broken farther out, in characters; lines of a browser are as long as their paragraphs.
const WIDEST: usize = 100;

/// Broken text is hardly ever narrower.
const NARROWEST: usize = 34;

/// The lines that say anything. `stands_alone` tells what is never the middle of a broken paragraph.
pub(super) fn read(text: &str, stands_alone: impl Fn(&str) -> bool) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut is_after_blank = true;
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for (at, line) in text.split('\n').enumerate() {
        let text = visible(line);
        if text.is_empty() {
            is_after_blank = true;
            continue;
        }
        lines.push(Line { numbers: vec![at + 1], text, is_after_blank });
        is_after_blank = false;
    }
    joined(lines, stands_alone)
}

/// A line without what is not seen: no-break spaces, soft hyphens, marks of zero width, controls.
fn visible(line: &str) -> String {
    let seen: String = line.chars().filter(|c| !matches!(c, '\u{AD}' | '\u{200B}' | '\u{2060}' | '\u{FEFF}')).collect();
    one_line(&seen)
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn starts_low(text: &str) -> bool {
    text.chars().next().is_some_and(char::is_lowercase)
}

fn ends_open(text: &str) -> bool {
    !text.ends_with(['.', '!', '?', ':', ';', '”', '"', '»', '…', ')', '“', '«'])
}

/// Puts lines together that were broken at a margin, where the text was.
fn joined(lines: Vec<Line>, stands_alone: impl Fn(&str) -> bool) -> Vec<Line> {
    let Some(width) = margin(&lines) else { return lines };
    let mut whole: Vec<Line> = Vec::with_capacity(lines.len());
    // How long the last line as it was read is: of a whole that is being put together only its end counts.
    let mut last = 0;
    for line in lines {
        let long = length(&line.text);
        let first_word = line.text.split(' ').next().map_or(0, length);
        if let Some(before) = whole.last_mut()
            && !line.is_after_blank
            && !stands_alone(&line.text)
            && !(before.numbers.len() == 1 && stands_alone(&before.text) && !starts_low(&line.text))
            && last <= WIDEST
            && (last + 1 + first_word > width || (starts_low(&line.text) && last * 2 > width))
        {
            let hyphenated = before.text.ends_with('-') && starts_low(&line.text);
            before.text.push_str(if hyphenated { "" } else { " " });
            before.text.push_str(&line.text);
            before.numbers.extend(line.numbers);
        } else {
            whole.push(line);
        }
        last = long;
    }
    whole
}

/// Where the text was broken, if it was: the longest line that goes on in the next.
fn margin(lines: &[Line]) -> Option<usize> {
    let mut continued = lines
        .windows(2)
        .filter(|pair| !pair[1].is_after_blank && starts_low(&pair[1].text) && ends_open(&pair[0].text))
        .map(|pair| length(&pair[0].text))
        .filter(|length| (NARROWEST..=WIDEST).contains(length))
        .collect::<Vec<_>>();
    let is_broken = continued.len() >= 2;
    continued.sort_unstable();
    // Almost the longest: a single line that stands out is not the margin.
    is_broken.then(|| continued[continued.len() * 9 / 10])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(Vec<usize>, String)> {
        read(text, |line| line.starts_with("1.")).into_iter().map(|line| (line.numbers, line.text)).collect()
    }

    #[test]
    fn what_is_not_seen_goes_and_lines_keep_their_numbers() {
        let found = texts("\u{feff}a\u{a0}b\r\n\r\n \u{200b}\u{a0}\r\n  c\td\re\u{ad}f");
        let line = |number, text: &str| (vec![number], text.to_owned());
        assert_eq!(found, [line(1, "a b"), line(4, "c d"), line(5, "ef")]);
    }

    #[test]
    fn paragraphs_that_were_broken_at_a_margin_are_whole_again() {
        let text = "The lighthouse on the headland is lit again,\nafter nine winters in which it was not. Four\nhundred people came to see it and stood there.\n\nNobody spoke.\n1. The long dark\nThe motor failed when salt water came into the\nroom below it, and nobody had the money.";
        let numbers: Vec<_> = texts(text).into_iter().map(|(numbers, _)| numbers).collect();
        assert_eq!(numbers, [vec![1, 2, 3], vec![5], vec![6], vec![7, 8]]);
    }

    #[test]
    fn lines_of_a_browser_stay_as_they_are() {
        let long = "word ".repeat(60);
        assert_eq!(texts(&format!("Title\n{long}\n{long}\nand low\n")).len(), 4);
    }
}
