//! Header values: cleaned, encoded and folded (RFC 5322 §2.2.3, RFC 2047).
//!
//! lettre's encoder lets encoded-word look-alikes and ASCII words of any length through, and panics on a line end in a
//! name; what people write is therefore encoded here. Every line stays within [`LINE_MAX`] wherever it can be folded.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike as _, Utc};
use lettre::message::header::{Date, HeaderName, HeaderValue, Headers};

use super::message::MessageError;
use crate::domain::address::Mailbox;
use crate::domain::text::{one_line, shorten};

/// Longest line with an encoded word, without its CRLF (RFC 2047 §2).
pub(super) const LINE_MAX: usize = 76;

/// Longest encoded word (RFC 2047 §2).
const ENCODED_WORD_MAX: usize = 75;

/// Longest display name in characters; what goes beyond is shortened.
const NAME_MAX: usize = 120;

/// Longest subject in characters; what goes beyond is shortened.
const SUBJECT_MAX: usize = 200;

/// Longest URL in a header in bytes: its line stays below the 998 of RFC 5322 §2.1.1.
const URL_MAX_BYTES: usize = 900;

const PREFIX_Q: &str = "=?utf-8?Q?";
const PREFIX_B: &str = "=?utf-8?B?";
const SUFFIX: &str = "?=";

/// Adds a header whose value is already clean, encoded and folded.
pub(super) fn put(headers: &mut Headers, name: &'static str, value: String) {
    let name = HeaderName::new_from_ascii_str(name);
    headers.insert_raw(HeaderValue::dangerous_new_pre_encoded(name, String::new(), value));
}

/// The value of a `Date` header, in the type of lettre, whose formatting panics outside these years: 1970 to 9999.
pub(super) fn date(date: DateTime<Utc>) -> Result<Date, MessageError> {
    if (1970..=9999).contains(&date.year()) { Ok(SystemTime::from(date).into()) } else { Err(MessageError::Date) }
}

/// A URL in angle brackets (RFC 2369 §2): ASCII without blanks or brackets, of one of these schemes.
pub(super) fn uri(name: &'static str, url: &str, schemes: &[&str]) -> Result<String, MessageError> {
    let fits = url.len() <= URL_MAX_BYTES
        && url.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b))
        && schemes.iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len());
    if fits { Ok(format!("<{url}>")) } else { Err(MessageError::Header(name)) }
}

/// The value of a `Message-ID` header (RFC 5322 §3.6.4): two dot-atoms around one `@`, together at most 250 bytes.
pub(super) fn message_id(id: &str) -> Result<String, MessageError> {
    let atoms = |text: &str| {
        text.split('.').all(|atom| {
            !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
        })
    };
    match id.split_once('@') {
        Some((left, right)) if id.len() <= 250 && atoms(left) && atoms(right) => Ok(format!("<{id}>")),
        _ => Err(MessageError::Header("Message-ID")),
    }
}

/// The value of a `Feedback-ID` header: printable ASCII, at most 200 bytes.
pub(super) fn feedback_id(id: &str) -> Result<String, MessageError> {
    let fits = !id.is_empty() && id.len() <= 200 && id.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(id.to_owned()) } else { Err(MessageError::Header("Feedback-ID")) }
}

/// The value of a `Subject` header, folded.
pub(super) fn subject(text: &str) -> String {
    let text = shorten(&one_line(text), SUBJECT_MAX);
    let text = if text.is_empty() { "(no subject)" } else { &text };
    let used = "Subject: ".len();
    if is_plain(text) { fold(text, used) } else { encoded_words(text, used) }
}

/// The value of a header that holds one mailbox, folded; `used` is what stands before it on its line, in bytes.
pub(super) fn mailbox(mailbox: &Mailbox, used: usize) -> String {
    let address = mailbox.address.as_str();
    match mailbox.name.as_deref().map(|name| phrase(name, used)).filter(|phrase| !phrase.is_empty()) {
        Some(phrase) => with_angle(phrase, address, used),
        None => address.to_owned(),
    }
}

/// The value of a `List-Id` header (RFC 2919 §3), folded: the list's name and its host-like identifier.
pub(super) fn list_id(name: &str, id: &str) -> Result<String, MessageError> {
    if id.is_empty() || id.len() > 255 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return Err(MessageError::Header("List-Id"));
    }
    let used = "List-Id: ".len();
    let phrase = phrase(name, used);
    Ok(if phrase.is_empty() { format!("<{id}>") } else { with_angle(phrase, id, used) })
}

/// `phrase <inner>`, folded before the bracket where the line would get too long.
fn with_angle(mut phrase: String, inner: &str, used: usize) -> String {
    let line = phrase.rfind("\r\n").map_or(used + phrase.len(), |at| phrase.len() - at - 2);
    phrase.push_str(if line + 3 + inner.len() > LINE_MAX { "\r\n <" } else { " <" });
    phrase.push_str(inner);
    phrase.push('>');
    phrase
}

/// A display name as atoms, a quoted string or encoded words, whichever is the plainest that carries it.
fn phrase(name: &str, used: usize) -> String {
    let name = shorten(&one_line(name), NAME_MAX);
    let atoms = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~ ".contains(c);
    if !is_plain(&name) || used + name.len() + 2 > LINE_MAX {
        encoded_words(&name, used)
    } else if name.chars().all(atoms) {
        name
    } else {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Whether text can stand as it is: printable ASCII, no word that a reader would take for an encoded one or cannot fold.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
        && !text.contains("=?")
        && text.split(' ').all(|word| word.len() <= LINE_MAX - "Subject: ".len())
}

/// Plain text folded at its blanks.
fn fold(text: &str, used: usize) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut line = used;
    for word in text.split(' ') {
        if !out.is_empty() {
            if line + 1 + word.len() > LINE_MAX {
                out.push_str("\r\n");
                line = 0;
            }
            out.push(' ');
            line += 1;
        }
        out.push_str(word);
        line += word.len();
    }
    out
}

/// Text as encoded words of UTF-8, one a line, each decodable alone (RFC 2047 §5: no character is split).
fn encoded_words(text: &str, used: usize) -> String {
    let quoted: usize = text.chars().map(quoted_len).sum();
    let base64 = quoted > text.len().div_ceil(3) * 4;
    let mut out = String::with_capacity(text.len() * 2);
    let mut word = String::new();
    let mut cost = 0;
    // The first word shares its line with the header's name.
    let mut room = ENCODED_WORD_MAX.min(LINE_MAX - used) - PREFIX_Q.len() - SUFFIX.len();
    for c in text.chars() {
        let more = if base64 { (word.len() + c.len_utf8()).div_ceil(3) * 4 } else { cost + quoted_len(c) };
        if more > room && !word.is_empty() {
            push_word(&mut out, &word, base64);
            word.clear();
            cost = 0;
            room = ENCODED_WORD_MAX - PREFIX_Q.len() - SUFFIX.len();
        }
        word.push(c);
        cost += quoted_len(c);
    }
    if !word.is_empty() {
        push_word(&mut out, &word, base64);
    }
    out
}

fn push_word(out: &mut String, word: &str, base64: bool) {
    if !out.is_empty() {
        out.push_str("\r\n ");
    }
    if base64 {
        out.push_str(PREFIX_B);
        STANDARD.encode_string(word, out);
    } else {
        out.push_str(PREFIX_Q);
        for byte in word.bytes() {
            if byte == b' ' {
                out.push('_');
            } else if is_q_safe(byte) {
                out.push(char::from(byte));
            } else {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('=');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    out.push_str(SUFFIX);
}

/// Bytes that a character takes in a "Q" encoded word.
fn quoted_len(c: char) -> usize {
    if c == ' ' || u8::try_from(c).is_ok_and(is_q_safe) { 1 } else { 3 * c.len_utf8() }
}

/// The characters that stand for themselves in a "Q" word within a phrase (RFC 2047 §5 (3)).
fn is_q_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!*+-/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_subjects_stay_plain_and_fold_at_blanks() {
        assert_eq!(subject("The lighthouse is lit again"), "The lighthouse is lit again");
        let long = subject(&"word ".repeat(30));
        assert!(long.split("\r\n").all(|line| line.len() <= LINE_MAX), "{long}");
        assert_eq!(long.replace("\r\n", ""), "word ".repeat(30).trim());
    }

    #[test]
    fn other_subjects_become_encoded_words_of_the_shorter_kind() {
        assert_eq!(subject("The café is open"), "=?utf-8?Q?The_caf=C3=A9_is_open?=");
        assert_eq!(subject("灯台"), "=?utf-8?B?54Gv5Y+w?=");
        assert_eq!(subject("=?utf-8?Q?x?="), "=?utf-8?B?PT91dGYtOD9RP3g/PQ==?=");
        assert_eq!(subject("\r\n\0"), "(no subject)");
    }

    #[test]
    fn names_are_atoms_quoted_strings_or_encoded_words() {
        let value = |text: &str| mailbox(&Mailbox::parse(text).unwrap(), "From: ".len());
        assert_eq!(value("Mara Quill <m@example.org>"), "Mara Quill <m@example.org>");
        assert_eq!(value("Quill, M. <m@example.org>"), "\"Quill, M.\" <m@example.org>");
        assert_eq!(value("Måra Quill <m@example.org>"), "=?utf-8?Q?M=C3=A5ra_Quill?= <m@example.org>");
        assert_eq!(value("m@example.org"), "m@example.org");
    }
}
