//! A letter to bytes: headers and a multipart/alternative body, ready for a relay (RFC 5322, RFC 2045–2047, RFC 8058).
//!
//! Pure: no clock, no random numbers, so the same letter is the same bytes on every retry. Nothing is signed here.

use std::time::SystemTime;

use chrono::{DateTime, Datelike, Utc};
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Message, MessageBuilder, MultiPart, SinglePart};

use super::header;
use crate::domain::address::{EmailAddress, Mailbox};
use crate::domain::text::clean;

/// Longest URL in a header in bytes: its line stays below the 998 of RFC 5322 §2.1.1.
const URL_MAX_BYTES: usize = 900;

/// Everything that one message says.
#[derive(Debug, Clone)]
pub struct Letter<'a> {
    /// `From`.
    pub from: &'a Mailbox,
    /// `Reply-To`.
    pub reply_to: Option<&'a Mailbox>,
    /// `To`: one reader.
    pub to: &'a Mailbox,
    /// `Subject`: one line of it, at most 200 characters, is used.
    pub subject: &'a str,
    /// The text part.
    pub text: &'a str,
    /// The HTML part.
    pub html: &'a str,
    /// `Message-ID` without its angle brackets: derived from the delivery, the same on every retry.
    pub message_id: &'a str,
    /// `Date`: 1970 to 9999.
    pub date: DateTime<Utc>,
    /// What sort of mail it is.
    pub kind: Kind<'a>,
}

/// What sort of mail a letter is, with the headers of that sort.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// Bulk mail to a subscriber. URLs are absolute, ASCII, at most 900 bytes.
    Digest {
        /// Name and host-like identifier, such as `news.lantern.example` (RFC 2919).
        list_id: (&'a str, &'a str),
        /// Where a POST ends this subscription (RFC 8058: https; plain http only serves trials on one machine).
        unsubscribe_url: &'a str,
        /// The same by mail: a `mailto:` URL.
        unsubscribe_mailto: Option<&'a str>,
        /// Where past digests stand (RFC 2369).
        archive_url: Option<&'a str>,
        /// Where a reader finds help or preferences (RFC 2369): `https:` or `mailto:`.
        help_url: Option<&'a str>,
        /// `a:b:c:SenderId`, nothing per person (Google's feedback loop).
        feedback_id: Option<&'a str>,
    },
    /// A confirmation or notice to one person who has just asked for it (RFC 3834).
    Notice,
}

/// Why a letter could not become a message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A value that its header cannot carry: not ASCII, blanks, brackets, another scheme, too long.
    #[error("header {0} cannot carry what was given for it")]
    Header(&'static str),
    /// A date before 1970 or after 9999.
    #[error("the date is out of range")]
    Date,
    /// lettre refused the whole.
    #[error("cannot build the message")]
    Build(#[source] lettre::error::Error),
}

/// The message as it goes over the wire, before dot-stuffing: CRLF only, and ASCII unless an address is not.
///
/// # Errors
/// [`MessageError`] where an identifier or URL does not fit into its header; names, subjects and bodies are cleaned and
/// never an error.
pub fn bytes(letter: &Letter<'_>) -> Result<Vec<u8>, MessageError> {
    let mut builder = Message::builder().envelope(envelope(letter)?).date(date(letter.date)?);
    builder = put(builder, "From", header::mailbox(letter.from, "From: ".len()), letter.from.address.as_str());
    if let Some(mailbox) = letter.reply_to {
        builder = put(builder, "Reply-To", header::mailbox(mailbox, "Reply-To: ".len()), "");
    }
    builder = put(builder, "To", header::mailbox(letter.to, "To: ".len()), "");
    builder = put(builder, "Subject", header::subject(letter.subject), "");
    builder = put(builder, "Message-ID", format!("<{}>", message_id(letter.message_id)?), "");
    builder = match letter.kind {
        Kind::Digest { .. } => digest_headers(builder, letter.kind)?,
        Kind::Notice => put(builder, "Auto-Submitted", "auto-generated".to_owned(), ""),
    };
    let body = MultiPart::alternative()
        .boundary(boundary(letter.message_id))
        .singlepart(part(letter.text, ContentType::TEXT_PLAIN))
        .singlepart(part(letter.html, ContentType::TEXT_HTML));
    Ok(builder.multipart(body).map_err(MessageError::Build)?.formatted())
}

/// A header whose value is already clean, encoded and folded; `raw` is what lettre itself reads back of it.
fn put(builder: MessageBuilder, name: &'static str, value: String, raw: &str) -> MessageBuilder {
    builder.raw_header(HeaderValue::dangerous_new_pre_encoded(
        HeaderName::new_from_ascii_str(name),
        raw.to_owned(),
        value,
    ))
}

fn digest_headers(mut builder: MessageBuilder, kind: Kind<'_>) -> Result<MessageBuilder, MessageError> {
    let Kind::Digest { list_id, unsubscribe_url, unsubscribe_mailto, archive_url, help_url, feedback_id } = kind else {
        return Ok(builder);
    };
    let (name, id) = list_id;
    if id.is_empty() || id.len() > 255 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return Err(MessageError::Header("List-Id"));
    }
    builder = put(builder, "List-Id", header::list_id(name, id), "");

    let mut unsubscribe = uri("List-Unsubscribe", unsubscribe_url, &["https://", "http://"])?;
    if let Some(mailto) = unsubscribe_mailto {
        unsubscribe.push_str(",\r\n ");
        unsubscribe.push_str(&uri("List-Unsubscribe", mailto, &["mailto:"])?);
    }
    builder = put(builder, "List-Unsubscribe", unsubscribe, "");
    builder = put(builder, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned(), "");
    if let Some(url) = archive_url {
        builder = put(builder, "List-Archive", uri("List-Archive", url, &["https://", "http://"])?, "");
    }
    if let Some(url) = help_url {
        builder = put(builder, "List-Help", uri("List-Help", url, &["https://", "http://", "mailto:"])?, "");
    }
    builder = put(builder, "Precedence", "bulk".to_owned(), "");
    if let Some(id) = feedback_id {
        if id.is_empty() || id.len() > 200 || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(MessageError::Header("Feedback-ID"));
        }
        builder = put(builder, "Feedback-ID", id.to_owned(), "");
    }
    Ok(builder)
}

/// A URL in angle brackets (RFC 2369 §2): ASCII without blanks or brackets, of one of these schemes.
fn uri(name: &'static str, url: &str, schemes: &[&str]) -> Result<String, MessageError> {
    let fits = url.len() <= URL_MAX_BYTES
        && url.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b))
        && schemes.iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len());
    if fits { Ok(format!("<{url}>")) } else { Err(MessageError::Header(name)) }
}

/// A message id (RFC 5322 §3.6.4): two dot-atoms around one `@`, together at most 250 bytes.
fn message_id(id: &str) -> Result<&str, MessageError> {
    let atoms = |text: &str| {
        text.split('.').all(|atom| {
            !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
        })
    };
    match id.split_once('@') {
        Some((left, right)) if id.len() <= 250 && atoms(left) && atoms(right) => Ok(id),
        _ => Err(MessageError::Header("Message-ID")),
    }
}

/// The envelope that lettre asks for; the one that is used belongs to the sending.
fn envelope(letter: &Letter<'_>) -> Result<Envelope, MessageError> {
    // Both were parsed at the door, by rules at least as strict as lettre's.
    let address = |address: &EmailAddress| Address::new_dangerous(address.local_part(), address.domain());
    Envelope::new(Some(address(&letter.from.address)), vec![address(&letter.to.address)]).map_err(MessageError::Build)
}

/// The date in the type of lettre, whose formatting panics outside these years.
fn date(date: DateTime<Utc>) -> Result<SystemTime, MessageError> {
    if (1970..=9999).contains(&date.year()) { Ok(SystemTime::from(date)) } else { Err(MessageError::Date) }
}

/// A boundary that the parts cannot contain: `=_` occurs in neither quoted-printable nor base64 (RFC 2045 §6.7).
fn boundary(message_id: &str) -> String {
    let unique: String = message_id.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    format!("=_{unique}")
}

/// One part in quoted-printable or base64, whichever is shorter.
fn part(content: &str, kind: ContentType) -> SinglePart {
    let content = crlf(&clean(content));
    let escaped = content.bytes().filter(|b| !matches!(b, b' '..=b'<' | b'>'..=b'~' | b'\t' | b'\r' | b'\n')).count();
    // Each escape costs two bytes more; base64 a third and a line end every 76 bytes.
    let encoding = if escaped * 2 > content.len() * 37 / 100 {
        ContentTransferEncoding::Base64
    } else {
        ContentTransferEncoding::QuotedPrintable
    };
    let body = Body::new_with_encoding(content, encoding)
        .unwrap_or_else(|content| Body::new(String::from_utf8_lossy(&content).into_owned()));
    SinglePart::builder().content_type(kind).body(body)
}

/// Text with CRLF at every line end, whatever it had.
fn crlf(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        out.push_str(&rest[..at]);
        out.push_str("\r\n");
        rest = rest[at..].strip_prefix("\r\n").unwrap_or(&rest[at + 1..]);
    }
    out.push_str(rest);
    out
}
