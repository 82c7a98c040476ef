//! Mail servers' own words: codes in running text, and the few phrases that are beyond doubt.

use crate::domain::delivery::{Enhanced, Stage};
use crate::domain::report::ReportKind;

/// What is read of a text, in bytes: what matters stands before the returned message.
const MAX_TEXT: usize = 32 * 1024;

/// Where servers begin the message that they return.
const RETURNED: [&str; 10] = [
    "--- below this line is a copy of the message",
    "------ this is a copy of",
    "----- original message",
    "-----original message",
    "----- unsent message",
    "----- message header",
    "--- message from mail delivery",
    "original message headers",
    "--- the header of the original message",
    "the following is the original message",
];

/// Phrases that blame the sender: whoever is told so suppresses nobody, whatever else is said.
const OURS: [&str; 22] = [
    "spam",
    "blocked",
    "blacklist",
    "block list",
    "blocklist",
    "dnsbl",
    "reputation",
    "policy",
    "dmarc",
    "dkim",
    "spf check",
    "spf validation",
    "fails spf",
    "unauthenticated",
    "unsolicited",
    "not authorized",
    "not permitted",
    "access denied",
    "banned",
    "poor standing",
    "too many connections",
    "rate limit",
];

const TOO_LARGE: [&str; 4] =
    ["message too large", "message size exceeds", "exceeds the maximum message size", "exceeds size limit"];

const FULL: [&str; 10] = [
    "mailbox is full",
    "mailbox full",
    "over quota",
    "overquota",
    "quota exceeded",
    "exceeded storage",
    "out of storage",
    "exceeds quota",
    "inbox is full",
    "disk quota",
];

const DISABLED: [&str; 5] = [
    "disabled or discontinued",
    "account is disabled",
    "account has been disabled",
    "inactive user",
    "mailbox disabled",
];

/// Phrases that say without any doubt that there is no such mailbox or domain.
const NOBODY: [&str; 22] = [
    "user unknown",
    "unknown user",
    "unknown recipient",
    "recipient unknown",
    "no such user",
    "no such recipient",
    "no such mailbox",
    "no mailbox here by that name",
    "user doesn't exist",
    "user does not exist",
    "account that you tried to reach does not exist",
    "account does not exist",
    "address does not exist",
    "mailbox does not exist",
    "mailbox not found",
    "recipient not found",
    "recipnotfound",
    "recipientnotfound",
    "wasn't found at",
    "couldn't be found",
    "doesn't have a yahoo.com account",
    "invalid recipient",
];

const NO_HOST: [&str; 3] = ["couldn't find any host named", "domain name not found", "unrouteable mail domain"];

const SUBJECTS: [&str; 24] = [
    "undeliver",
    "delivery status notification",
    "delivery failure",
    "delivery failed",
    "delivery has failed",
    "delivery notification",
    "delivery delay",
    "delivery problem",
    "mail delivery",
    "returned mail",
    "return to sender",
    "failure notice",
    "failure delivery",
    "non-deliver",
    "nondeliver",
    "not delivered",
    "could not be delivered",
    "mail system error",
    "delayed",
    "could not send message",
    "unzustellbar",
    "non remis",
    "no entregado",
    "não entregue",
];

const AUTO_REPLIES: [&str; 9] = [
    "out of office",
    "out of the office",
    "automatic reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "automatische antwort",
    "réponse automatique",
    "resposta automática",
];

/// What was understood of words.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    pub(super) code: Option<Enhanced>,
    pub(super) reply: Option<u16>,
    pub(super) stage: Option<Stage>,
    pub(super) text: String,
}

impl Said {
    pub(super) fn kind(&self) -> ReportKind {
        ReportKind::of_bounce(self.stage.unwrap_or(Stage::Rcpt), self.reply, self.code)
    }
}

/// What a receiving server said, as a delivery status quotes it.
pub(super) fn of_diagnostic(text: &str) -> Said {
    understood(text, codes(text).next().map(|(code, _)| code), text)
}

/// What a report in words says. Only a code that is marked as one counts: a text holds versions and addresses too.
pub(super) fn of_text(text: &str) -> Said {
    let text = &text[..text.floor_char_boundary(MAX_TEXT)];
    let found = codes(text).find(|(code, at)| is_marked(&text[..*at], code.0));
    let shown = match found.map(|(_, at)| at).or_else(|| phrase(text).map(|(_, at)| at)) {
        // The line with the code, and what belongs to it.
        Some(at) => {
            let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
            &text[start..]
        }
        None => text.trim_start(),
    };
    let end = shown.find("\n\n").or_else(|| shown.find("\r\n\r\n")).unwrap_or(shown.len());
    understood(text, found.map(|(code, _)| code), &shown[..end])
}

fn understood(text: &str, code: Option<Enhanced>, shown: &str) -> Said {
    let blames = phrase(text).map(|(code, _)| code);
    let said = Said { code: code.or(blames), reply: reply(shown), stage: stage(text), text: shown.trim().to_owned() };
    // A code that condemns the address beside words that blame us: the words are believed.
    match blames {
        Some(ours @ (5, 7, 1)) if said.kind() == ReportKind::HardBounce => Said { code: Some(ours), ..said },
        // A code that says nothing.
        Some(blames) if code.is_some_and(|code| (code.1, code.2) == (0, 0)) => Said { code: Some(blames), ..said },
        _ => said,
    }
}

/// What a phrase stands for, and where it stands; what is milder first.
fn phrase(text: &str) -> Option<(Enhanced, usize)> {
    let text = text.to_ascii_lowercase();
    let find = |phrases: &[&str]| phrases.iter().find_map(|phrase| text.find(phrase));
    let table: [(&[&str], Enhanced); 6] = [
        (&OURS, (5, 7, 1)),
        (&TOO_LARGE, (5, 3, 4)),
        (&FULL, (5, 2, 2)),
        (&DISABLED, (5, 2, 1)),
        (&NOBODY, (5, 1, 1)),
        (&NO_HOST, (5, 1, 2)),
    ];
    table.iter().find_map(|(phrases, code)| Some((*code, find(phrases)?)))
}

/// An enhanced code and nothing else.
pub(super) fn code(word: &str) -> Option<Enhanced> {
    let (code, at) = codes(word).next()?;
    (at == 0 && word.bytes().all(|b| b.is_ascii_digit() || b == b'.')).then_some(code)
}

/// Enhanced codes of classes 2, 4 and 5 in running text, with their places: no part of an IP address or a version with
/// more numbers or larger ones.
fn codes(text: &str) -> impl Iterator<Item = (Enhanced, usize)> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'.', bytes).filter_map(move |dot| {
        let at = dot.checked_sub(1)?;
        let before = at.checked_sub(1).map(|before| bytes[before]);
        if !matches!(bytes[at], b'2' | b'4' | b'5') || before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'.') {
            return None;
        }
        let (subject, end) = number(bytes, dot + 1)?;
        if bytes.get(end) != Some(&b'.') || subject > 7 {
            return None;
        }
        let (detail, end) = number(bytes, end + 1)?;
        let after = bytes.get(end).copied();
        let goes_on = after == Some(b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if goes_on || after.is_some_and(|b| b.is_ascii_alphabetic() || b == b'@') {
            return None;
        }
        Some(((bytes[at] - b'0', subject, detail), at))
    })
}

fn number(bytes: &[u8], at: usize) -> Option<(u16, usize)> {
    let end = (at..at + 4).find(|at| !bytes.get(*at).is_some_and(u8::is_ascii_digit))?;
    let text = std::str::from_utf8(bytes.get(at..end)?).ok()?;
    Some((text.parse().ok()?, end))
}

/// Whether what stands before a code marks it as one: a reply code of the same class, or `#`.
fn is_marked(before: &str, class: u8) -> bool {
    let trimmed = before.trim_end_matches([' ', '-', '\t']);
    trimmed.ends_with('#')
        || trimmed.get(trimmed.len().saturating_sub(3)..).is_some_and(|last| {
            last.len() == 3 && last.bytes().all(|b| b.is_ascii_digit()) && last.as_bytes()[0] == class + b'0'
        })
        || before.to_ascii_lowercase().ends_with("status: ")
}

/// The first reply code of class 4 or 5.
fn reply(text: &str) -> Option<u16> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 3 <= bytes.len() {
        if bytes[at].is_ascii_alphanumeric() {
            let end = bytes[at..].iter().position(|b| !b.is_ascii_alphanumeric()).map_or(bytes.len(), |len| at + len);
            let alone = at.checked_sub(1).is_none_or(|before| !matches!(bytes[before], b'.' | b'@' | b'-' | b'+'));
            let ends_well = bytes.get(end).is_none_or(|b| matches!(b, b' ' | b'-' | b'\r' | b'\n' | b'\t' | b':'));
            if end - at == 3 && alone && ends_well && matches!(bytes[at], b'4' | b'5') {
                return text[at..end].parse().ok();
            }
            at = end;
        }
        at += 1;
    }
    None
}

/// Where in the dialogue it was said, as Exim ("after end of data") and Postfix ("in reply to RCPT TO") tell.
fn stage(text: &str) -> Option<Stage> {
    let text = text.to_ascii_lowercase();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    if has(&["end of data", "end-of-data", "after data", "reply to data"]) {
        Some(Stage::Body)
    } else if has(&["after mail from", "after pipelined mail from", "reply to mail from"]) {
        Some(Stage::Mail)
    } else {
        None
    }
}

/// A text up to the message that it returns.
pub(super) fn without_returned(text: &str) -> &str {
    let lower = text[..text.floor_char_boundary(MAX_TEXT)].to_ascii_lowercase();
    let end = RETURNED.iter().filter_map(|mark| lower.find(mark)).min().unwrap_or(lower.len());
    &text[..end]
}

/// The qmail-send Bounce Message Format.
pub(super) fn is_qmail(text: &str) -> bool {
    let start = text.trim_start();
    start.starts_with("Hi. This is the") && start[..start.floor_char_boundary(300)].contains("deliver")
}

pub(super) fn is_subject_of_bounce(subject: &str) -> bool {
    SUBJECTS.iter().any(|phrase| subject.contains(phrase))
}

pub(super) fn is_subject_of_auto_reply(subject: &str) -> bool {
    AUTO_REPLIES.iter().any(|phrase| subject.contains(phrase))
}

/// A warning that a message is still being tried.
pub(super) fn tells_of_delay(subject: &str, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    subject.contains("delay")
        || subject.starts_with("warning: could not send")
        || [
            "will be retried",
            "will keep trying",
            "this is a warning message only",
            "no action is required on your part",
        ]
        .iter()
        .any(|phrase| text.contains(phrase))
}
