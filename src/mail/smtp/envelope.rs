//! A message for one recipient as it goes over the wire, and the commands before it.

use std::fmt::Write as _;

use super::{DATA, Offers, refused};
use crate::domain::address::EmailAddress;
use crate::domain::delivery::{Outcome, Stage};

/// One message to one recipient.
#[derive(Debug, Clone, Copy)]
pub struct Parcel<'a> {
    /// The envelope's sender, `""` for none.
    pub from: &'a str,
    /// The envelope's recipient.
    pub to: &'a EmailAddress,
    /// The message.
    pub message: &'a [u8],
    /// Whether it is fit for the wire as it is: CRLF only, CRLF at its end, no line that begins with a dot.
    pub is_stuffed: bool,
}

impl Parcel<'_> {
    /// The message as it goes over the wire: CRLF line ends only and, with `dots` for DATA (RFC 5321 §4.5.2), dots at line
    /// starts doubled. `room` holds it where it is not like that already.
    pub(super) fn in_lines<'r>(&'r self, dots: bool, room: &'r mut Vec<u8>) -> &'r [u8] {
        let message = self.message;
        if self.is_stuffed {
            return message;
        }
        room.clear();
        room.reserve(message.len() + message.len() / 32 + 8);
        let mut line = |line: &[u8]| {
            if dots && line.first() == Some(&b'.') {
                room.push(b'.');
            }
            room.extend_from_slice(line);
            room.extend_from_slice(b"\r\n");
        };
        let mut start = 0;
        for at in memchr::memchr2_iter(b'\r', b'\n', message) {
            // The LF of a CRLF was passed with its CR.
            if at >= start {
                line(&message[start..at]);
                start = at + if message[at..].starts_with(b"\r\n") { 2 } else { 1 };
            }
        }
        if start < message.len() {
            line(&message[start..]);
        }
        room
    }

    /// Whether it is ASCII. Of what is stuffed the bodies are, however they were encoded.
    fn is_ascii(&self) -> bool {
        let head = self.is_stuffed.then(|| memchr::memmem::find(self.message, b"\r\n\r\n")).flatten();
        self.message[..head.unwrap_or(self.message.len())].is_ascii()
    }
}

impl Offers {
    /// MAIL and RCPT for one message, or the refusal that needs no relay to know.
    pub(super) fn envelope(&self, parcel: &Parcel<'_>) -> Result<Envelope, Outcome> {
        let Parcel { from, to, message, .. } = parcel;
        if from.len() > 254 || from.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>')) {
            return Err(refused(Stage::Mail, 553, (5, 1, 7), "the envelope sender is not an address"));
        }
        let mut mail = format!("MAIL FROM:<{from}>");
        if let Some(max) = self.size {
            let size = message.len() as u64;
            if max > 0 && size > max {
                let text = format!("the message has {size} bytes, the relay takes {max} at most");
                return Err(refused(Stage::Mail, 552, (5, 3, 4), &text));
            }
            // Writing to a String cannot fail.
            let _ = write!(mail, " SIZE={size}");
        }
        let utf8 = to.needs_smtputf8() || !from.is_ascii();
        if utf8 && !self.smtputf8 {
            let text = "the address is not ASCII and the relay does not offer SMTPUTF8";
            return Err(refused(Stage::Rcpt, 553, (5, 6, 7), text));
        }
        if utf8 || !parcel.is_ascii() {
            if !self.eight_bit {
                let text = "the message is not ASCII and the relay does not offer 8BITMIME";
                return Err(refused(Stage::Mail, 554, (5, 6, 3), text));
            }
            mail.push_str(" BODY=8BITMIME");
        }
        if utf8 {
            mail.push_str(" SMTPUTF8");
        }
        mail.push_str("\r\n");
        Ok(Envelope { mail, rcpt: format!("RCPT TO:<{to}>\r\n") })
    }
}

/// The commands before a message.
pub(super) struct Envelope {
    mail: String,
    rcpt: String,
}

impl Envelope {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.mail.as_bytes());
        out.extend_from_slice(self.rcpt.as_bytes());
    }

    pub(super) fn line(&self, stage: Stage) -> &[u8] {
        match stage {
            Stage::Mail => self.mail.as_bytes(),
            Stage::Rcpt => self.rcpt.as_bytes(),
            _ => DATA,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_and_no_bare_line_end_is_left() {
        let to = EmailAddress::parse("a@b.example").unwrap();
        let put = |message: &str, dots| {
            let parcel = Parcel { from: "", to: &to, message: message.as_bytes(), is_stuffed: false };
            String::from_utf8(parcel.in_lines(dots, &mut vec![]).to_vec()).unwrap()
        };
        let stuffed = |message: &str| put(message, true);
        assert_eq!(put("a\n.b\rc", false), "a\r\n.b\r\nc\r\n");
        assert_eq!(stuffed("a\r\n.b\r\n"), "a\r\n..b\r\n");
        assert_eq!(stuffed(".\r\n..x\r\n"), "..\r\n...x\r\n");
        assert_eq!(stuffed("a\n.\r\nMAIL FROM:<x>"), "a\r\n..\r\nMAIL FROM:<x>\r\n");
        assert_eq!(stuffed("a\r.\rb\r\n\r\nc"), "a\r\n..\r\nb\r\n\r\nc\r\n");
        assert_eq!(stuffed("a\r\r\n.\n\rb"), "a\r\n\r\n..\r\n\r\nb\r\n");
        assert_eq!(stuffed(""), "");
    }
}
