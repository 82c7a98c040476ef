//! A letter to bytes: headers and a multipart/alternative body, ready for a relay (RFC 5322, RFC 2045–2047, RFC 8058).
//!
//! Pure: no clock, no random numbers, so the same letter is the same bytes on every retry. Nothing is signed here.

use chrono::{DateTime, Utc};

use super::compiled::{Common, CompiledLetter, Piece, Reader};
use crate::domain::address::Mailbox;

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
    /// Bulk mail to a subscriber.
    Digest(List<'a>, Links<'a>),
    /// A confirmation or notice to one person who has just asked for it (RFC 3834).
    Notice,
}

/// Headers of bulk mail that all its readers get alike. URLs are absolute, ASCII, at most 900 bytes.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// Name and host-like identifier, such as `news.lantern.example` (RFC 2919).
    pub id: (&'a str, &'a str),
    /// Where past digests stand (RFC 2369).
    pub archive_url: Option<&'a str>,
    /// `a:b:c:SenderId`, nothing per person (Google's feedback loop).
    pub feedback_id: Option<&'a str>,
}

/// Headers of bulk mail that are one reader's own. URLs are absolute, ASCII, at most 900 bytes.
#[derive(Debug, Clone, Copy)]
pub struct Links<'a> {
    /// Where a POST ends this subscription (RFC 8058: https; plain http only serves trials on one machine).
    pub unsubscribe_url: &'a str,
    /// The same by mail: a `mailto:` URL.
    pub unsubscribe_mailto: Option<&'a str>,
    /// Where a reader finds help or preferences (RFC 2369): `https:` or `mailto:`.
    pub help_url: Option<&'a str>,
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
}

/// The message as it goes over the wire, as [`CompiledLetter::write`] makes it.
///
/// # Errors
/// [`MessageError`] where an identifier or URL does not fit into its header; names, subjects and bodies are cleaned and
/// never an error.
pub fn bytes(letter: &Letter<'_>) -> Result<Vec<u8>, MessageError> {
    let (list, links) = match letter.kind {
        Kind::Digest(list, links) => (Some(list), Some(links)),
        Kind::Notice => (None, None),
    };
    let compiled = CompiledLetter::new(&Common {
        from: letter.from,
        reply_to: letter.reply_to,
        subject: letter.subject,
        list,
        text: &[Piece::Text(letter.text)],
        html: &[Piece::Text(letter.html)],
        boundary: letter.message_id,
    })?;
    let (to, message_id, date) = (letter.to, letter.message_id, letter.date);
    let mut out = vec![];
    compiled.write(&Reader { to, message_id, date, links, values: &[] }, &mut out)?;
    Ok(out)
}
