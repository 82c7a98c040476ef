//! Small rules over text that every way out shares: escaping, cleaning, shortening, plain text from HTML.

/// Text that is legal in XML 1.0 (§2.2 Char) and readable: characters that XML forbids and the
/// controls U+007F–9F that it discourages are dropped. Borrowed where nothing had to go.
pub fn clean(text: &str) -> std::borrow::Cow<'_, str> {
    // Nearly every text passes the coarse look, which the compiler turns into vector instructions.
    if !text.bytes().fold(false, |found, byte| found | is_suspect(byte)) || text.chars().all(is_clean) {
        text.into()
    } else {
        text.chars().filter(|c| is_clean(*c)).collect::<String>().into()
    }
}

/// Whether a byte of UTF-8 can be part of a character that is not clean: controls are bytes of their own below U+0080
/// and begin with C2 above it; U+FFFE and its like begin with EF or more.
fn is_suspect(byte: u8) -> bool {
    (byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0x7F || byte == 0xC2 || byte >= 0xEF
}

fn is_clean(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{7E}' | '\u{A0}'..='\u{FFFD}')
        || (c >= '\u{10000}' && (c as u32) & 0xFFFE != 0xFFFE)
}

/// Bytes as letters and digits, two each.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The bytes that [`hex`] wrote; `None` where it is something else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// One line of clean text: runs of white space (line ends included) become one blank, bidi controls go.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        let word = clean(word);
        let mut left = word.chars().filter(|c| !crate::problem::is_deceptive(*c)).peekable();
        if left.peek().is_none() {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(left);
    }
    out
}

/// Text for HTML content and double-quoted attributes.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The beginning of `text`, at most `max` characters, cut between words and closed with an ellipsis.
pub fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let cut: String = text.chars().take(max.saturating_sub(1)).collect();
    let cut = match cut.rfind(char::is_whitespace) {
        Some(at) if at > cut.len() / 2 => &cut[..at],
        _ => &cut,
    };
    format!("{}…", cut.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '.' | '-' | '–')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_forbids_is_dropped() {
        assert_eq!(clean("a\u{1f}b\u{fffe}c\u{85}d\u{1fffe}e\u{1F600}\tf"), "abcde\u{1F600}\tf");
        assert!(matches!(clean("plain"), std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn one_line_has_no_line_end_in_any_disguise() {
        assert_eq!(one_line(" a\r\nBcc: x\u{2028}y\0z\u{202e}w "), "a Bcc: x y zw");
    }

    #[test]
    fn shortening_cuts_between_words() {
        assert_eq!(shorten("one two three", 9), "one two…");
        assert_eq!(shorten("one", 9), "one");
        assert_eq!(shorten("unbreakable", 5), "unbr…");
    }
}
