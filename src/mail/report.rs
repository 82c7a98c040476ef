//! Reports in: the bytes of a message to what it reports of one that we sent.
//!
//! | Shape | Where it is defined |
//! |---|---|
//! | delivery status notification | RFC 3464 within RFC 6522, RFC 6533 |
//! | feedback report | RFC 5965 |
//! | a mail server's own words: qmail (QSBMF), Exim and Gmail (`X-Failed-Recipients`), Exchange | nowhere |
//! | automatic reply, disposition notification | RFC 3834, RFC 8098: no report |
//!
//! Whom it is about is read from tokens alone ([`Traces`]), never from addresses. Whether a token is ours this room
//! cannot know. Bounded: of a report its first [`MAX_BYTES`] are read, and whatever is in them, it ends.

mod status;
mod traces;
mod words;

use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use crate::domain::delivery::{Enhanced, said};
use crate::domain::report::ReportKind;

pub use traces::Traces;
use words::Said;

/// What is read of a report, in bytes: far more than any report needs, and as much as a server returns of a message.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Messages within messages, from which on a report is not taken apart: each is a step deeper for whoever drops it.
const MAX_NESTED: usize = 50;

/// What a message reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it is.
    pub finding: Finding,
    /// The enhanced code, if any.
    pub code: Option<Enhanced>,
    /// What was said, printable and short.
    pub text: String,
    /// Whom it may be about.
    pub traces: Traces,
    /// Its own identity, if it has one: the same report may come twice.
    pub id: Option<String>,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// A report that something follows from.
    Of(ReportKind),
    /// It arrived, or was handed on.
    Delivered,
    /// It is still being tried.
    Delayed,
    /// A machine answered for a person.
    AutoReply,
    /// No report at all.
    NoReport,
}

impl Finding {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Of(kind) => kind.as_str(),
            Self::Delivered => "delivered",
            Self::Delayed => "delayed",
            Self::AutoReply => "auto_reply",
            Self::NoReport => "no_report",
        }
    }
}

/// Reads a message. `recipient` is the address that it was delivered to, where the caller knows it.
pub fn read(bytes: &[u8], recipient: Option<&str>) -> Report {
    let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
    let mut traces = Traces::default();
    traces.look_in(recipient.unwrap_or_default().as_bytes());
    let message = if nested(bytes) > MAX_NESTED { None } else { MessageParser::default().parse(bytes) };
    let Some(message) = message else {
        traces.look_in(bytes);
        return Report { finding: Finding::NoReport, code: None, text: String::new(), traces, id: None };
    };
    traces.look_in(headers_of(&message));
    for part in &message.parts {
        if let Some(returned) = returned(part) {
            traces.look_in(returned);
        } else if is_kind(part, "message", None) {
            traces.look_in(part.contents());
        }
    }
    let id = message.message_id().map(str::to_owned);
    let judged = judge(&message);
    if traces.is_empty() {
        // In a server's own words, the returned message stands in the text; encoded, or in no part at all.
        for part in &message.parts {
            traces.look_in(part.contents());
        }
        traces.look_in(bytes);
    }
    Report { finding: judged.finding, code: judged.code, text: said(&judged.text), traces, id }
}

/// What a bounce says that a provider reports in fields of its own: the status as `5.1.1`, where there is one, and the
/// receiving server's words.
pub(super) fn bounce(status: &str, diagnostic: &str) -> (ReportKind, Option<Enhanced>) {
    let heard = status::heard(words::code(status.trim()), words::of_diagnostic(diagnostic));
    (heard.kind(), heard.code)
}

/// A verdict on the way.
struct Judged {
    finding: Finding,
    code: Option<Enhanced>,
    text: String,
}

impl From<Finding> for Judged {
    fn from(finding: Finding) -> Self {
        Self { finding, code: None, text: String::new() }
    }
}

impl From<Said> for Judged {
    fn from(said: Said) -> Self {
        Self { finding: Finding::Of(said.kind()), code: said.code, text: said.text }
    }
}

fn judge(message: &Message<'_>) -> Judged {
    if let Some(part) = message.parts.iter().find(|part| is_kind(part, "message", Some("feedback-report"))) {
        return feedback(&status::fields(part.contents()));
    }
    if let Some(part) = message.parts.iter().find(|part| is_status(part)) {
        return status::judge(part.contents(), &human_text(message));
    }
    if message.parts.iter().any(|part| is_kind(part, "message", Some("disposition-notification"))) {
        return Finding::AutoReply.into();
    }
    let subject = message.subject().unwrap_or_default().to_lowercase();
    let text = human_text(message);
    if is_bounce_in_words(message, &subject, &text) {
        if words::tells_of_delay(&subject, &text) {
            return Finding::Delayed.into();
        }
        return words::of_text(&text).into();
    }
    if is_auto_reply(message, &subject) {
        return Finding::AutoReply.into();
    }
    // What Microsoft's Junk Mail Reporting Program sent for long: the message in full, without a report part.
    if subject.starts_with("complaint about message from") && message.parts.iter().any(|part| returned(part).is_some())
    {
        let text = "abuse".to_owned();
        return Judged { finding: Finding::Of(ReportKind::Complaint), code: None, text };
    }
    if subject.trim().starts_with("unsubscribe") {
        return Finding::Of(ReportKind::Leave).into();
    }
    Finding::NoReport.into()
}

/// RFC 5965 §7.3 and the registry of feedback types; what is unknown is "other", and that is no complaint.
fn feedback(groups: &[status::Group]) -> Judged {
    let field = |name: &str| groups.iter().find_map(|group| group.field(name));
    let kind = field("feedback-type").unwrap_or_default().to_lowercase();
    let finding = match kind.split([' ', ';', '(']).next().unwrap_or_default() {
        "abuse" | "fraud" => Finding::Of(ReportKind::Complaint),
        "opt-out" | "opt-out-list" => Finding::Of(ReportKind::Leave),
        _ => Finding::NoReport,
    };
    let text = match field("user-agent") {
        Some(agent) => format!("{kind}, reported by {agent}"),
        None => kind,
    };
    Judged { finding, code: None, text }
}

/// Whether a part is of this type; without a subtype, of any.
fn is_kind(part: &MessagePart<'_>, kind: &str, subtype: Option<&str>) -> bool {
    part.content_type().is_some_and(|found| {
        found.ctype().eq_ignore_ascii_case(kind)
            && subtype.is_none_or(|subtype| found.subtype().is_some_and(|found| found.eq_ignore_ascii_case(subtype)))
    })
}

/// Whether a part is a delivery status: by its type, or, where a server calls it text, by its fields.
fn is_status(part: &MessagePart<'_>) -> bool {
    const LOOK_AT: usize = 16 * 1024;
    if is_kind(part, "message", Some("delivery-status")) || is_kind(part, "message", Some("global-delivery-status")) {
        return true;
    }
    let PartType::Text(text) = &part.body else { return false };
    if is_kind(part, "text", Some("rfc822-headers")) {
        return false;
    }
    let start = text[..text.floor_char_boundary(LOOK_AT)].to_ascii_lowercase();
    let has = |field: &str| start.starts_with(field) || start.contains(&format!("\n{field}"));
    has("reporting-mta:") && has("final-recipient:") && has("action:")
}

/// The head of a returned message, if the part holds one.
fn returned<'a>(part: &'a MessagePart<'_>) -> Option<&'a [u8]> {
    match &part.body {
        PartType::Message(message) => Some(headers_of(message)),
        _ if is_kind(part, "text", Some("rfc822-headers"))
            || is_kind(part, "message", Some("rfc822"))
            || is_kind(part, "message", Some("rfc822-headers"))
            || is_kind(part, "message", Some("global"))
            || is_kind(part, "message", Some("global-headers")) =>
        {
            Some(part.contents())
        }
        _ => None,
    }
}

/// The bytes of a message's own headers.
fn headers_of<'a>(message: &'a Message<'_>) -> &'a [u8] {
    let Some(root) = message.parts.first() else { return &[] };
    message.raw_message.get(root.offset_header as usize..root.offset_body as usize).unwrap_or_default()
}

/// What a person would read of a report, without the message that it returns.
fn human_text(message: &Message<'_>) -> String {
    (0..4)
        .find_map(|at| message.body_text(at))
        .map(|text| words::without_returned(&text).to_owned())
        .unwrap_or_default()
}

/// How many messages lie within one another at most.
fn nested(bytes: &[u8]) -> usize {
    let mut count = 0;
    for at in memchr::memchr_iter(b'/', bytes) {
        let is = |from: Option<usize>, to: usize, word: &[u8]| {
            from.and_then(|from| bytes.get(from..to)).is_some_and(|found| found.eq_ignore_ascii_case(word))
        };
        let is_message = is(at.checked_sub(7), at, b"message");
        // Its parts are messages by default (RFC 2046 §5.1.5).
        let is_digest = is(Some(at + 1), at + 7, b"digest");
        count += usize::from(is_message || is_digest);
    }
    count
}

fn header<'a>(message: &'a Message<'_>, name: &'a str) -> Option<&'a str> {
    message.header_raw(name).map(str::trim)
}

/// Whether a mail server speaks: it says so itself, or it writes as one and under the subject of one.
fn is_bounce_in_words(message: &Message<'_>, subject: &str, text: &str) -> bool {
    if header(message, "X-Failed-Recipients").is_some() || words::is_qmail(text) {
        return true;
    }
    let from_nobody = header(message, "Return-Path").is_some_and(|path| path == "<>");
    (from_nobody || is_daemon(message.from())) && words::is_subject_of_bounce(subject)
}

fn is_daemon(from: Option<&Address<'_>>) -> bool {
    let address = from.and_then(Address::first).and_then(|from| from.address.as_deref()).unwrap_or_default();
    let local = address.split('@').next().unwrap_or_default().to_ascii_lowercase();
    matches!(local.as_str(), "mailer-daemon" | "mailerdaemon" | "mail-daemon" | "mdaemon" | "postmaster")
        || local.starts_with("microsoftexchange")
}

/// RFC 3834 §5, and what programs wrote before it.
fn is_auto_reply(message: &Message<'_>, subject: &str) -> bool {
    let submitted = header(message, "Auto-Submitted").unwrap_or("no").to_ascii_lowercase();
    let precedence = header(message, "Precedence").unwrap_or_default().to_ascii_lowercase();
    !submitted.starts_with("no")
        || header(message, "X-Autoreply").is_some()
        || header(message, "X-Autorespond").is_some()
        || header(message, "X-Auto-Reply-From").is_some()
        || matches!(precedence.as_str(), "auto_reply" | "auto-reply" | "bulk" | "junk")
        || is_daemon(message.from())
        || words::is_subject_of_auto_reply(subject)
}
