//! Writing HTML into a string: what is text stays text.

use std::fmt::Write;

/// `" name="value`: closes the attribute before and leaves its own open.
pub(super) fn attribute(html: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        push(html, format_args!("\" {name}=\""));
        escape(html, value);
    }
}

/// Adds formatted text.
pub(super) fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    let written = html.write_fmt(text);
    debug_assert!(written.is_ok(), "a String takes whatever is written");
}

/// Text for content and for double-quoted attributes.
pub(super) fn escape(html: &mut String, text: &str) {
    let special = |byte: u8| matches!(byte, b'<' | b'>' | b'&' | b'"');
    // Without an early exit the compiler turns this into vector instructions.
    if !text.bytes().fold(false, |found, byte| found | special(byte)) {
        return html.push_str(text);
    }
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let reference = match byte {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            b'"' => "&quot;",
            _ => continue,
        };
        html.push_str(&text[from..at]);
        html.push_str(reference);
        from = at + 1;
    }
    html.push_str(&text[from..]);
}
