//! Bytes that came from elsewhere to text, whatever was declared, and whether or not that is true.
//!
//! A byte order mark goes before the charset of the answer, and that before what the document says of itself in its XML
//! declaration or its meta elements (RFC 7303 §3.2; WHATWG HTML, "determining the character encoding"). What is valid UTF-8
//! is UTF-8 all the same, whichever encoding of single bytes was declared: text in one of those hardly ever is by accident.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Bytes in which a document says how it is encoded (WHATWG HTML, "prescan a byte stream").
const PRESCAN: usize = 1024;

/// The text of a feed: without byte order mark and XML declaration, and whatever stands before the first `<` or `{`.
pub(super) fn document<'a>(bytes: &'a [u8], content_type: Option<&str>) -> Cow<'a, str> {
    match text(bytes, content_type) {
        Cow::Borrowed(text) => Cow::Borrowed(trimmed(text)),
        Cow::Owned(mut text) => {
            let length = trimmed(&text).len();
            text.drain(..text.len() - length);
            Cow::Owned(text)
        }
    }
}

/// The text, without byte order mark. `content_type` is what its server said.
pub(super) fn text<'a>(bytes: &'a [u8], content_type: Option<&str>) -> Cow<'a, str> {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[length..]).0;
    }
    // Two zeros out of four bytes, as in `<` of UTF-16 without a mark (XML 1.0 appendix F).
    match bytes {
        [0, b'<' | b'{', ..] => return UTF_16BE.decode_without_bom_handling(bytes).0,
        [b'<' | b'{', 0, ..] => return UTF_16LE.decode_without_bom_handling(bytes).0,
        _ => {}
    }
    let utf8 = std::str::from_utf8(bytes).ok();
    for encoding in [content_type.and_then(charset), declared(bytes)].into_iter().flatten() {
        // A document whose declaration could be read byte by byte is not in UTF-16, whatever it says.
        let is_wide = encoding == UTF_16BE || encoding == UTF_16LE;
        if let Some(text) = utf8
            && (encoding == UTF_8 || encoding.is_single_byte() || is_wide)
        {
            return Cow::Borrowed(text);
        }
        if !is_wide && let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes) {
            return text;
        }
    }
    if let Some(text) = utf8 {
        return Cow::Borrowed(text);
    }
    // Bytes that are nothing as a whole: UTF-8 with a few scars, or Western text that was never converted.
    let scarred = String::from_utf8_lossy(bytes);
    let scars = scarred.matches(char::REPLACEMENT_CHARACTER).count();
    let letters = scarred.chars().filter(|c| !c.is_ascii()).count() - scars;
    if scars * 4 <= letters { scarred } else { WINDOWS_1252.decode_without_bom_handling(bytes).0 }
}

/// The charset of a `Content-Type`.
fn charset(content_type: &str) -> Option<&'static Encoding> {
    let parameter = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })?;
    Encoding::for_label(parameter.trim().trim_matches(['"', '\'']).as_bytes())
}

/// The encoding that a document names: in its XML declaration, or in `<meta charset="…">` and its like.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..bytes.len().min(PRESCAN))?;
    in_declaration(head).or_else(|| in_meta(head))
}

fn in_meta(head: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.match_indices("<meta").find_map(|(at, _)| {
        let tag = head[at..].split('>').next()?;
        let label =
            tag.split_once("charset")?.1.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
        let label = label.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | ':' | '.')).next()?;
        Encoding::for_label(label.as_bytes())
    })
}

fn in_declaration(head: &[u8]) -> Option<&'static Encoding> {
    let start = head.windows(5).position(|window| window == b"<?xml")?;
    let end = head[start..].windows(2).position(|window| window == b"?>")? + start;
    let declaration = std::str::from_utf8(&head[start..end]).ok()?;
    let (_, behind) = declaration.split_once("encoding")?;
    let behind = behind.trim_start().strip_prefix('=')?.trim_start();
    let quote = behind.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Encoding::for_label(behind[1..].split(quote).next()?.trim().as_bytes())
}

fn trimmed(text: &str) -> &str {
    let begin = |text: &str| text.find(['<', '{']).unwrap_or(text.len());
    let text = &text[begin(text)..];
    match text.strip_prefix("<?xml").filter(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '?')) {
        Some(rest) => {
            let rest = rest.split_once("?>").map_or(rest, |(_, rest)| rest);
            &rest[begin(rest)..]
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_whatever_was_declared() {
        let utf8 = "<a>café — ё</a>";
        for (bytes, content_type, meant) in [
            (utf8.as_bytes().to_vec(), None, utf8),
            (utf8.as_bytes().to_vec(), Some("text/xml; charset=iso-8859-1"), utf8),
            (b"<a>caf\xE9</a>".to_vec(), Some("text/xml; charset=utf-8"), "<a>café</a>"),
            (b"<a>caf\xE9</a>".to_vec(), None, "<a>café</a>"),
            (b"<?xml version='1.0' encoding='windows-1251'?><a>\xB8</a>".to_vec(), None, "<a>ё</a>"),
            (
                b"<?xml version='1.0' encoding=\"koi8-r\"?><a>\xB8</a>".to_vec(),
                Some("application/xml; charset=\"windows-1251\""),
                "<a>ё</a>",
            ),
            (b"<?xml version=\"1.0\" encoding=\"shift_jis\"?><a>\x93\x94</a>".to_vec(), None, "<a>灯</a>"),
            ([b"\xEF\xBB\xBF", utf8.as_bytes()].concat(), Some("text/xml; charset=windows-1252"), utf8),
            (utf8.encode_utf16().flat_map(u16::to_le_bytes).collect(), None, utf8),
            (utf8.encode_utf16().flat_map(u16::to_be_bytes).collect(), None, utf8),
            (
                [0xFEFFu16].into_iter().chain(utf8.encode_utf16()).flat_map(u16::to_be_bytes).collect(),
                Some("text/xml"),
                utf8,
            ),
            (b"<?xml version=\"1.0\" encoding=\"utf-16\"?><a>x</a>".to_vec(), None, "<a>x</a>"),
            (b"<?xml version=\"1.0\" encoding=\"klingon\"?><a>x</a>".to_vec(), None, "<a>x</a>"),
            (b" \n junk <?xml version=\"1.0\"?>\n<a>x</a>".to_vec(), None, "<a>x</a>"),
            (b"<?xml-stylesheet href=\"x\"?><a>x</a>".to_vec(), None, "<?xml-stylesheet href=\"x\"?><a>x</a>"),
            (b"".to_vec(), None, ""),
            (b"<meta charset=KOI8-R><a>\xB8</a>".to_vec(), None, "<meta charset=KOI8-R><a>╦</a>"),
            (
                b"<meta http-equiv=x content=\"text/html; charset=windows-1251\">\xB8".to_vec(),
                Some("text/html"),
                "<meta http-equiv=x content=\"text/html; charset=windows-1251\">ё",
            ),
        ] {
            assert_eq!(document(&bytes, content_type), meant, "{content_type:?} {bytes:?}");
        }
    }

    #[test]
    fn a_few_scars_do_not_spoil_the_rest() {
        let mut bytes = "<a>Ещё не всё — ".as_bytes().to_vec();
        bytes.extend(b"\xD0</a>");
        assert_eq!(document(&bytes, None), "<a>Ещё не всё — \u{FFFD}</a>");
    }
}
