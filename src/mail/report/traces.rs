//! What in a report may name the message that it is about: tokens, signed links, message ids.

use crate::domain::link::BounceToken;

/// Candidates kept of each kind: a report is about one message.
const MAX: usize = 16;
/// What stands before the token of a signed link.
const LINK: &[u8] = b"/unsubscribe/";
/// Characters of a signed link's token, at least and at most.
const LINK_CHARACTERS: std::ops::RangeInclusive<usize> = 40..=400;
/// Characters of the left part of our message ids: hexadecimal.
const ID_CHARACTERS: usize = 32;

/// Candidates, the most trustworthy first; each still has to be checked against the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces {
    /// What may be bounce tokens.
    pub tokens: Vec<String>,
    /// What may be tokens of links to leave by.
    pub links: Vec<String>,
    /// What may be left parts of message ids.
    pub message_ids: Vec<String>,
}

impl Traces {
    /// Whether nothing was found that could name a reader.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.links.is_empty()
    }

    /// Looks through headers, fields or text.
    ///
    /// A token is a run of letters and digits of just its length, whatever is around it: so it is found in
    /// `bounces+TOKEN@…`, in what SRS and BATV make of that, and in a field of one's own.
    pub fn look_in(&mut self, text: &[u8]) {
        let mut at = 0;
        while at < text.len() {
            if text[at].is_ascii_alphanumeric() {
                let run = run(&text[at..], |b| b.is_ascii_alphanumeric());
                if run.len() == BounceToken::CHARACTERS && run.bytes().all(|b| !matches!(b, b'0' | b'1' | b'8' | b'9'))
                {
                    keep(&mut self.tokens, run);
                } else if run.len() == ID_CHARACTERS
                    && text.get(at + run.len()) == Some(&b'@')
                    && run.bytes().all(|b| b.is_ascii_hexdigit())
                {
                    keep(&mut self.message_ids, run);
                }
                at += run.len();
            } else if text[at..].starts_with(LINK) {
                at += LINK.len();
                let run = run(&text[at..], |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
                if LINK_CHARACTERS.contains(&run.len()) {
                    keep(&mut self.links, run);
                }
            } else {
                at += 1;
            }
        }
    }
}

fn run(text: &[u8], belongs: impl Fn(u8) -> bool) -> &str {
    let end = text.iter().position(|b| !belongs(*b)).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).unwrap_or_default()
}

fn keep(kept: &mut Vec<String>, run: &str) {
    if kept.len() < MAX && !kept.iter().any(|known| known == run) {
        kept.push(run.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_wherever_it_stands() {
        let token = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst";
        for text in [
            format!("Return-Path: <bounces+{token}@b.example>"),
            format!("Return-Path: <{token}@b.example>"),
            format!("Return-Path: <SRS0=HHHH=TT=b.example=bounces+{token}@forward.example>"),
            format!("<prvs=1234abcdef=bounces+{token}@b.example>"),
            format!("X-PM-Metadata-tidings: {token}"),
            format!("{{\"unique_args\":{{\"tidings\":\"{token}\"}}}}"),
            token.to_owned(),
        ] {
            let mut traces = Traces::default();
            traces.look_in(text.as_bytes());
            assert_eq!(traces.tokens, [token], "{text}");
        }
        let mut traces = Traces::default();
        traces.look_in(format!("{token}a {} {}", &token[1..], token.replace('2', "8")).as_bytes());
        assert!(traces.is_empty());
    }

    #[test]
    fn links_and_message_ids_are_found_and_few_are_kept() {
        let mut traces = Traces::default();
        traces.look_in(b"Message-ID: <0123456789abcdef0123456789abcdef@lantern.example>\r\n");
        traces.look_in(format!("<https://l.example/unsubscribe/{}>", "aB_-".repeat(15)).as_bytes());
        traces.look_in(b"https://l.example/unsubscribe/short");
        assert_eq!((traces.message_ids.len(), traces.links.len(), traces.tokens.len()), (1, 1, 0));
        for n in 0..1000 {
            traces.look_in(format!("/unsubscribe/{n:060}").as_bytes());
        }
        assert_eq!(traces.links.len(), MAX);
    }
}
