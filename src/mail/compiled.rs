//! A letter to many readers, encoded once and patched for each (RFC 5322, RFC 2045–2047, RFC 8058).
//!
//! All that readers get alike, headers and bodies, is encoded when the letter is compiled; per message it is copied,
//! and only the reader's own headers and the values in the bodies' places are written anew. The bytes are ready for the
//! wire: dots need no stuffing, and DKIM's relaxed form of the body is the body.
//!
//! Pure: no clock, no random numbers, so the same letter is the same bytes on every retry. It knows no templates.

use std::io::Write as _;

use chrono::{DateTime, Utc};
use lettre::message::MultiPart;
use lettre::message::header::{ContentType, Headers, MIME_VERSION_1_0};

use super::body::{Body, Form};
use super::header;
use super::message::{Links, List, MessageError};
use crate::domain::address::Mailbox;

pub use super::body::Piece;

/// Longest boundary in bytes without its `=_`: RFC 2046 §5.1.1 allows 70 in all, and its line stays below 76.
const BOUNDARY_MAX: usize = 60;

/// What every reader of a letter gets.
#[derive(Debug, Clone)]
pub struct Common<'a> {
    /// `From`.
    pub from: &'a Mailbox,
    /// `Reply-To`.
    pub reply_to: Option<&'a Mailbox>,
    /// `Subject`: one line of it, at most 200 characters, is used.
    pub subject: &'a str,
    /// The list that it belongs to; none makes it a notice to one person who has just asked for it (RFC 3834).
    pub list: Option<List<'a>>,
    /// The text part. A reader's value stands in it as it is.
    pub text: &'a [Piece<'a>],
    /// The HTML part. A reader's value is escaped in it, for content and double-quoted attributes.
    pub html: &'a [Piece<'a>],
    /// What makes the boundary: the same on every retry. Its ASCII letters and digits are used, the first 60.
    pub boundary: &'a str,
}

/// What is one reader's own.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// `To`.
    pub to: &'a Mailbox,
    /// `Message-ID` without its angle brackets: derived from the delivery, the same on every retry.
    pub message_id: &'a str,
    /// `Date`: 1970 to 9999.
    pub date: DateTime<Utc>,
    /// Links in the headers of bulk mail.
    pub links: Option<Links<'a>>,
    /// What stands in the places of the bodies, by their numbers. What is missing is empty.
    pub values: &'a [&'a str],
}

/// A letter in which only a reader's own is left to be written.
#[derive(Debug)]
pub struct CompiledLetter {
    /// The headers after the reader's own, up to the beginning of the text part.
    head: Vec<u8>,
    text: Body,
    /// From the end of the text part to the beginning of the HTML part.
    between: Vec<u8>,
    html: Body,
    end: Vec<u8>,
}

impl CompiledLetter {
    /// Encodes what all readers get alike.
    ///
    /// # Errors
    /// [`MessageError`] where an identifier or URL does not fit into its header; names, subjects and bodies are cleaned
    /// and never an error.
    pub fn new(common: &Common<'_>) -> Result<Self, MessageError> {
        let unique = common.boundary.chars().filter(char::is_ascii_alphanumeric).take(BOUNDARY_MAX);
        let boundary = format!("=_{}", unique.collect::<String>());
        let text = Body::new(Form::Plain, common.text);
        let html = Body::new(Form::Html, common.html);
        let mut head = headers(common)?;
        head.set(MIME_VERSION_1_0);
        let mut head = head.to_string();
        head.push_str(&MultiPart::alternative().boundary(boundary.clone()).build().headers().to_string());
        let part = |body: &Body, kind: ContentType| {
            let mut headers = Headers::new();
            headers.set(kind);
            headers.set(body.encoding());
            format!("\r\n--{boundary}\r\n{headers}\r\n")
        };
        head.push_str(&part(&text, ContentType::TEXT_PLAIN));
        let between = part(&html, ContentType::TEXT_HTML);
        let end = format!("\r\n--{boundary}--\r\n");
        Ok(Self { head: head.into(), text, between: between.into(), html, end: end.into() })
    }

    /// Bytes that the HTML part takes with these values, as it goes over the wire.
    pub fn html_bytes(&self, values: &[&str]) -> usize {
        let mut out = vec![];
        self.html.write(values, &mut out);
        out.len()
    }

    /// Writes the message for one reader over what `out` holds: CRLF only, and ASCII unless an address is not.
    ///
    /// # Errors
    /// [`MessageError`] where the Message-ID, the date or a URL does not fit into its header; then `out` is of no use.
    pub fn write(&self, reader: &Reader<'_>, out: &mut Vec<u8>) -> Result<(), MessageError> {
        out.clear();
        // A reader's own is about this much; whatever is more, the buffer grows.
        out.reserve(self.head.len() + self.text.len() + self.between.len() + self.html.len() + 4096);
        // Writing to a vector does not fail.
        let _ = write!(out, "{}", own_headers(reader)?);
        out.extend_from_slice(&self.head);
        self.text.write(reader.values, out);
        out.extend_from_slice(&self.between);
        self.html.write(reader.values, out);
        out.extend_from_slice(&self.end);
        Ok(())
    }
}

/// Bytes that a text takes as an HTML part, as it goes over the wire.
pub fn html_bytes(html: &str) -> usize {
    let mut out = vec![];
    Body::new(Form::Html, &[Piece::Text(html)]).write(&[], &mut out);
    out.len()
}

/// The headers that all readers get alike.
fn headers(common: &Common<'_>) -> Result<Headers, MessageError> {
    let mut headers = Headers::with_capacity(10);
    header::put(&mut headers, "From", header::mailbox(common.from, "From: ".len()));
    if let Some(mailbox) = common.reply_to {
        header::put(&mut headers, "Reply-To", header::mailbox(mailbox, "Reply-To: ".len()));
    }
    header::put(&mut headers, "Subject", header::subject(common.subject));
    let Some(list) = common.list else {
        header::put(&mut headers, "Auto-Submitted", "auto-generated".to_owned());
        return Ok(headers);
    };
    header::put(&mut headers, "List-Id", header::list_id(list.id.0, list.id.1)?);
    header::put(&mut headers, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned());
    if let Some(url) = list.archive_url {
        header::put(&mut headers, "List-Archive", header::uri("List-Archive", url, &["https://", "http://"])?);
    }
    header::put(&mut headers, "Precedence", "bulk".to_owned());
    if let Some(id) = list.feedback_id {
        header::put(&mut headers, "Feedback-ID", header::feedback_id(id)?);
    }
    Ok(headers)
}

/// The headers of one reader. They stand first, so that the others are one copy with what follows.
fn own_headers(reader: &Reader<'_>) -> Result<Headers, MessageError> {
    let mut headers = Headers::with_capacity(5);
    headers.set(header::date(reader.date)?);
    header::put(&mut headers, "To", header::mailbox(reader.to, "To: ".len()));
    header::put(&mut headers, "Message-ID", header::message_id(reader.message_id)?);
    let Some(links) = reader.links else { return Ok(headers) };
    let mut unsubscribe = header::uri("List-Unsubscribe", links.unsubscribe_url, &["https://", "http://"])?;
    if let Some(mailto) = links.unsubscribe_mailto {
        unsubscribe.push_str(",\r\n ");
        unsubscribe.push_str(&header::uri("List-Unsubscribe", mailto, &["mailto:"])?);
    }
    header::put(&mut headers, "List-Unsubscribe", unsubscribe);
    if let Some(url) = links.help_url {
        header::put(&mut headers, "List-Help", header::uri("List-Help", url, &["https://", "http://", "mailto:"])?);
    }
    Ok(headers)
}
