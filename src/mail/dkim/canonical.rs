//! The relaxed canonical forms (RFC 6376 §3.4.2, §3.4.4).

use aws_lc_rs::digest::{Context, Digest, SHA256};

/// Bytes that are looked at together: enough for vector instructions, few enough to be read twice.
const BLOCK: usize = 128;

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The fields of a header, each with its folded lines and its line end.
pub(super) fn fields(head: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::with_capacity(24);
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', head).map(|at| at + 1) {
        if !head.get(end).copied().is_some_and(is_blank) {
            fields.push(&head[start..end]);
            start = end;
        }
    }
    fields
}

/// Whether a field has this name, in whatever case.
pub(super) fn is_named(field: &[u8], name: &str) -> bool {
    let Some((start, rest)) = field.split_at_checked(name.len()) else { return false };
    start.eq_ignore_ascii_case(name.as_bytes()) && rest.trim_ascii_start().first() == Some(&b':')
}

/// Appends a field: its name in small letters, its value on one line, blanks one by one and none at the ends.
pub(super) fn field(field: &[u8], out: &mut Vec<u8>) {
    let colon = memchr::memchr(b':', field).unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let value = value.get(1..).unwrap_or_default();
    let words = value.split(|byte| is_blank(*byte) || matches!(byte, b'\r' | b'\n')).filter(|word| !word.is_empty());
    for (place, word) in words.enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out.extend_from_slice(b"\r\n");
}

/// The hash of a body: empty lines at its end go, blanks at line ends go, the others become one each.
///
/// A body as [`crate::mail::message`] writes it is canonical already, or nearly so: what is, is hashed where it lies.
pub(super) fn body_hash(body: &[u8]) -> Digest {
    let mut hashed = Context::new(&SHA256);
    let last = body.iter().rposition(|byte| !is_blank(*byte) && !matches!(byte, b'\r' | b'\n'));
    let Some(last) = last else { return hashed.finish() };
    let body = &body[..=last];
    let mut from = 0;
    while let Some(run) = next_run(body, from) {
        // The body ends with something that is not blank.
        let end = run + body[run..].iter().position(|byte| !is_blank(*byte)).unwrap_or(0);
        hashed.update(&body[from..run]);
        if body[end] != b'\r' {
            hashed.update(b" ");
        }
        from = end;
    }
    hashed.update(&body[from..]);
    hashed.update(b"\r\n");
    hashed.finish()
}

/// The first blanks from `from` on that are anything else than one space between two words.
fn next_run(body: &[u8], from: usize) -> Option<usize> {
    /// Whether a byte and the one after it begin such a run.
    fn begins(byte: u8, next: u8) -> bool {
        matches!((byte, next), (b'\t', _) | (b' ', b' ' | b'\t' | b'\r'))
    }
    let mut at = from;
    while at + 1 < body.len() {
        let end = (at + BLOCK).min(body.len() - 1);
        let pairs = || body[at..end].iter().zip(&body[at + 1..=end]);
        // Without a way out in its middle: the compiler makes vectors of it.
        if pairs().fold(false, |found, (byte, next)| found | begins(*byte, *next)) {
            return pairs().position(|(byte, next)| begins(*byte, *next)).map(|place| at + place);
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::digest;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    /// The rules of RFC 6376 §3.4.4, one after another, as they are written there.
    fn slow(body: &str) -> String {
        let mut lines: Vec<String> = body
            .split("\r\n")
            .map(|line| {
                let line = line.replace('\t', " ");
                let mut words = line.trim_end().split(' ').peekable();
                let mut out = String::new();
                if words.peek().is_some_and(|first| first.is_empty()) && !line.trim_end().is_empty() {
                    out.push(' ');
                }
                out + &words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines.push(String::new());
        lines.join("\r\n")
    }

    #[test]
    fn the_example_of_the_rfc_has_its_canonical_form() {
        // RFC 6376 §3.4.5.
        let mut out = vec![];
        for one in fields(b"A: X\r\nB : Y\t\r\n\tZ  \r\n") {
            field(one, &mut out);
        }
        assert_eq!(out, b"a:X\r\nb:Y Z\r\n");
        let expected = digest(&SHA256, b" C\r\nD E\r\n");
        assert_eq!(body_hash(b" C \r\nD \t E\r\n\r\n\r\n").as_ref(), expected.as_ref());
    }

    #[test]
    fn the_body_of_rfc_8463_has_its_hash() {
        // RFC 8463 §A.3.
        let body = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
        assert_eq!(STANDARD.encode(body_hash(body)), "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    }

    #[test]
    fn a_body_of_nothing_is_nothing() {
        for body in ["", "\r\n", "\r\n\r\n", "  \r\n\t\r\n", " "] {
            assert_eq!(body_hash(body.as_bytes()).as_ref(), digest(&SHA256, b"").as_ref(), "{body:?}");
        }
    }

    #[test]
    fn names_are_compared_whole_and_in_any_case() {
        assert!(is_named(b"list-id: x\r\n", "List-Id") && is_named(b"List-Id : x\r\n", "List-Id"));
        assert!(!is_named(b"List-Id-2: x\r\n", "List-Id") && !is_named(b"List", "List-Id"));
    }

    proptest! {
        #[test]
        fn any_body_is_hashed_as_the_rules_say(pieces in prop::collection::vec(
            prop_oneof![Just(" "), Just("  "), Just("\t"), Just("\r\n"), Just("a"), Just("word and word "), Just("é")],
            0..200,
        )) {
            let body = pieces.concat();
            let (ours, expected) = (body_hash(body.as_bytes()), digest(&SHA256, slow(&body).as_bytes()));
            prop_assert_eq!(ours.as_ref(), expected.as_ref());
        }
    }
}
