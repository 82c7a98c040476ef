//! The SMTP dialogue with a relay (RFC 5321): one open, authenticated connection, and message after message over it.
//!
//! Our own dialogue rather than lettre's transport, for what a newsletter needs and that one cannot do: a time limit per
//! command, replies that are not UTF-8 or never end, PIPELINING and SIZE from EHLO, a connection that outlives a refused
//! reader, and knowing whether a failure came before or after the final dot. Pools, pace and retries belong to the caller.
//!
//! | Extension | Use |
//! |---|---|
//! | PIPELINING (RFC 2920) | MAIL, RCPT and DATA in one write |
//! | SIZE (RFC 1870) | declared; a message beyond it is refused here |
//! | 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531) | only for a message or address that needs it |
//! | ENHANCEDSTATUSCODES (RFC 2034) | read wherever a reply has one |
//! | STARTTLS (RFC 3207), AUTH (RFC 4954) PLAIN, LOGIN, XOAUTH2, OAUTHBEARER | on opening; credentials never in clear |

mod open;
mod tls;
mod wire;

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use self::wire::{Reply, Wire, WireFault};
use crate::domain::address::EmailAddress;
use crate::domain::delivery::{Enhanced, Outcome, Stage, said};

pub use crate::domain::relay::{Credentials, Secret, Tls};

/// How long to wait for a relay. The defaults are the minima of RFC 5321 §4.5.3.2 where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One TCP connection, or one TLS handshake: 1 minute (no minimum given).
    pub connect: Duration,
    /// The greeting, and each of EHLO, STARTTLS, AUTH, MAIL, RCPT and RSET: 5 minutes.
    pub command: Duration,
    /// DATA until 354: 2 minutes.
    pub data: Duration,
    /// Writing one block of the message: 3 minutes.
    pub block: Duration,
    /// From the final dot to its answer: 10 minutes. A shorter one makes duplicates.
    pub dot: Duration,
    /// QUIT, and a last word after a failed write: 5 seconds. Nothing depends on it.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_mins(1),
            command: Duration::from_mins(5),
            data: Duration::from_mins(2),
            block: Duration::from_mins(3),
            dot: Duration::from_mins(10),
            farewell: Duration::from_secs(5),
        }
    }
}

/// Where a relay is and how to talk to it.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Host name, which its certificate must bear; or an IP address.
    pub host: String,
    /// Port: 587 or 465, 25 between servers.
    pub port: u16,
    /// TLS.
    pub tls: Tls,
    /// Who we are to it.
    pub credentials: Option<Credentials>,
    /// Our own name for EHLO: by default this machine's full host name, else its address in brackets.
    pub hello: Option<String>,
    /// A PEM file with roots to trust besides this machine's.
    pub root_certificates: Option<PathBuf>,
    /// Time limits.
    pub limits: Limits,
}

impl RelaySettings {
    /// A relay without credentials, with the usual limits.
    pub fn new(host: impl Into<String>, port: u16, tls: Tls) -> Self {
        Self {
            host: host.into(),
            port,
            tls,
            credentials: None,
            hello: None,
            root_certificates: None,
            limits: Limits::default(),
        }
    }
}

/// What a relay said it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one keyword of EHLO; none excludes another")]
struct Offers {
    pipelining: bool,
    eight_bit: bool,
    smtputf8: bool,
    starttls: bool,
    /// Largest message in bytes; `Some(0)` where none is named.
    size: Option<u64>,
    auth_plain: bool,
    auth_login: bool,
    auth_xoauth2: bool,
    auth_oauthbearer: bool,
}

/// One open, authenticated SMTP session.
pub struct Connection {
    wire: Wire,
    limits: Limits,
    offers: Offers,
    is_secured: bool,
    /// Nothing can be sent over it any more. Set while a message is under way, so that a cancelled one leaves it set.
    broken: bool,
    /// A refused transaction stands open: RSET goes before the next one.
    needs_reset: bool,
    accepted: u32,
    /// The dot-stuffed message; kept for its memory.
    buffer: Vec<u8>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("offers", &self.offers)
            .field("is_secured", &self.is_secured)
            .field("broken", &self.broken)
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}

/// The answer to one command, sorted: an unexpected one is a failure of the relay, and nothing after it can be trusted.
enum Verdict {
    Yes,
    No(Outcome),
    Nonsense(Outcome),
}

impl Connection {
    /// Connects, greets, secures and authenticates.
    ///
    /// # Errors
    /// Why not: [`Outcome::Refused`] or [`Outcome::Deferred`], with the stage.
    pub async fn open(settings: &RelaySettings) -> Result<Self, Outcome> {
        open::open(settings).await
    }

    /// Messages that the relay accepted over this connection.
    pub fn accepted(&self) -> u32 {
        self.accepted
    }

    /// Whether TLS is on.
    pub fn is_secured(&self) -> bool {
        self.is_secured
    }

    /// Whether another message can be tried over it: nothing broke, and the relay has not said goodbye meanwhile.
    pub fn is_usable(&mut self) -> bool {
        self.broken = self.broken || !self.wire.is_quiet();
        !self.broken
    }

    /// Sends one message to one recipient. `from` is the envelope's sender, `""` for none.
    ///
    /// A refused recipient leaves the connection open for the next. Bare CR and LF in `message` become CRLF, so that no
    /// relay can be made to see two messages in one.
    pub async fn send(&mut self, from: &str, to: &EmailAddress, message: &[u8]) -> Outcome {
        if !self.is_usable() {
            return deferred(Stage::Mail, "the relay had closed the connection");
        }
        let commands = match self.envelope_commands(from, to, message) {
            Ok(commands) => commands,
            Err(refusal) => return refusal,
        };
        self.broken = true;
        if let Err(outcome) = self.transaction(&commands).await {
            return outcome;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        stuff(message, &mut buffer);
        let outcome = self.body(&buffer).await;
        self.buffer = buffer;
        outcome
    }

    /// Says goodbye and closes.
    pub async fn quit(mut self) {
        if self.is_usable() && self.wire.write(b"QUIT\r\n", self.limits.farewell).await.is_ok() {
            // Whatever it answers, the connection is closed.
            let _ = self.wire.reply(self.limits.farewell).await;
        }
        self.wire.close(self.limits.farewell).await;
    }

    /// MAIL, RCPT and DATA for one message, or the refusal that needs no relay to know.
    fn envelope_commands(
        &self,
        from: &str,
        to: &EmailAddress,
        message: &[u8],
    ) -> Result<[(Stage, String); 3], Outcome> {
        if from.len() > 254 || from.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>')) {
            return Err(refused(Stage::Mail, 553, (5, 1, 7), "the envelope sender is not an address"));
        }
        let mut mail = format!("MAIL FROM:<{from}>");
        if let Some(max) = self.offers.size {
            let size = message.len() as u64;
            if max > 0 && size > max {
                let text = format!("the message has {size} bytes, the relay takes {max} at most");
                return Err(refused(Stage::Mail, 552, (5, 3, 4), &text));
            }
            // Writing to a String cannot fail.
            let _ = write!(mail, " SIZE={size}");
        }
        let utf8 = to.needs_smtputf8() || !from.is_ascii();
        if utf8 && !self.offers.smtputf8 {
            let text = "the address is not ASCII and the relay does not offer SMTPUTF8";
            return Err(refused(Stage::Rcpt, 553, (5, 6, 7), text));
        }
        if utf8 || !message.is_ascii() {
            if !self.offers.eight_bit {
                let text = "the message is not ASCII and the relay does not offer 8BITMIME";
                return Err(refused(Stage::Mail, 554, (5, 6, 3), text));
            }
            mail.push_str(" BODY=8BITMIME");
        }
        if utf8 {
            mail.push_str(" SMTPUTF8");
        }
        mail.push_str("\r\n");
        Ok([(Stage::Mail, mail), (Stage::Rcpt, format!("RCPT TO:<{to}>\r\n")), (Stage::Data, "DATA\r\n".to_owned())])
    }

    /// Everything before the message itself: in one write where the relay takes that, else command by command.
    async fn transaction(&mut self, commands: &[(Stage, String); 3]) -> Result<(), Outcome> {
        let reset = if self.needs_reset { "RSET\r\n" } else { "" };
        let [mail, rcpt, data] = commands;
        let limit = self.limits.command;
        if self.offers.pipelining {
            let batch = [reset, &mail.1, &rcpt.1, &data.1].concat();
            self.wire.write(batch.as_bytes(), limit).await.map_err(|fault| lost(Stage::Mail, &fault))?;
        } else if self.needs_reset {
            self.wire.write(reset.as_bytes(), limit).await.map_err(|fault| lost(Stage::Mail, &fault))?;
        }
        if self.needs_reset {
            let reply = self.wire.reply(limit).await.map_err(|fault| lost(Stage::Mail, &fault))?;
            match verdict(Stage::Mail, 2, &reply) {
                Verdict::Yes => self.needs_reset = false,
                // A refused RSET says nothing of this message: the connection is done, the message is not.
                Verdict::No(_) | Verdict::Nonsense(_) => return Err(deferred(Stage::Mail, &reply.text())),
            }
        }
        self.envelope_replies(commands).await
    }

    /// Reads the answers to MAIL, RCPT and DATA; the first refusal is the outcome.
    async fn envelope_replies(&mut self, commands: &[(Stage, String); 3]) -> Result<(), Outcome> {
        let mut refusal: Option<Outcome> = None;
        let mut recipient_taken = false;
        for (stage, command) in commands {
            let stage = *stage;
            if !self.offers.pipelining {
                let written = self.wire.write(command.as_bytes(), self.limits.command).await;
                written.map_err(|fault| lost(stage, &fault))?;
            }
            let limit = if stage == Stage::Data { self.limits.data } else { self.limits.command };
            let reply = match self.wire.reply(limit).await {
                Ok(reply) => reply,
                Err(fault) => return Err(refusal.unwrap_or_else(|| lost(stage, &fault))),
            };
            match verdict(stage, if stage == Stage::Data { 3 } else { 2 }, &reply) {
                Verdict::Yes if stage == Stage::Rcpt => recipient_taken = true,
                Verdict::Yes if stage == Stage::Data && refusal.is_some() => {
                    self.end_empty(recipient_taken).await;
                    return refusal.map_or(Ok(()), Err);
                }
                Verdict::Yes => {}
                Verdict::Nonsense(outcome) => return Err(refusal.unwrap_or(outcome)),
                Verdict::No(outcome) if reply.is_closing() => return Err(refusal.unwrap_or(outcome)),
                Verdict::No(outcome) => {
                    refusal.get_or_insert(outcome);
                    if !self.offers.pipelining {
                        break;
                    }
                }
            }
        }
        let Some(refusal) = refusal else { return Ok(()) };
        self.needs_reset = true;
        self.broken = false;
        Err(refusal)
    }

    /// Ends a message that a relay asks for although it refused sender or recipient (RFC 2920 §3.1): with a lone dot,
    /// which it must refuse. Where it took the recipient, nothing is sent and the connection is given up.
    async fn end_empty(&mut self, recipient_taken: bool) {
        if recipient_taken || self.wire.write(b".\r\n", self.limits.block).await.is_err() {
            return;
        }
        if let Ok(reply) = self.wire.reply(self.limits.command).await {
            self.broken = reply.is_closing();
            self.needs_reset = true;
        }
    }

    /// The message with its final dot, and the verdict on it.
    async fn body(&mut self, stuffed: &[u8]) -> Outcome {
        let written = self.wire.write(stuffed, self.limits.block).await;
        let reply = match &written {
            Ok(()) => self.wire.reply(self.limits.dot).await,
            // A relay that closes early may have said why before it did.
            Err(WireFault::Closed | WireFault::Io(_)) => self.wire.reply(self.limits.farewell).await,
            Err(fault) => return lost(Stage::Body, fault),
        };
        let reply = match (reply, &written) {
            (Ok(reply), _) => reply,
            (Err(_), Err(fault)) => return lost(Stage::Body, fault),
            (Err(fault), Ok(())) => return Outcome::Unknown { text: said(&fault.to_string()) },
        };
        match verdict(Stage::Body, 2, &reply) {
            Verdict::Yes if written.is_ok() => {
                self.broken = false;
                self.accepted += 1;
                Outcome::Accepted { reply: reply.text() }
            }
            Verdict::No(outcome) => {
                self.broken = reply.is_closing() || written.is_err();
                outcome
            }
            Verdict::Yes | Verdict::Nonsense(_) => Outcome::Unknown { text: reply.text() },
        }
    }
}

/// Sorts a reply: `yes` is the first digit hoped for.
fn verdict(stage: Stage, yes: u16, reply: &Reply) -> Verdict {
    match reply.code / 100 {
        digit if digit == yes => Verdict::Yes,
        4 => Verdict::No(Outcome::Deferred {
            stage,
            code: Some(reply.code),
            enhanced: reply.enhanced(),
            text: reply.text(),
        }),
        5 => Verdict::No(Outcome::Refused { stage, code: reply.code, enhanced: reply.enhanced(), text: reply.text() }),
        _ => Verdict::Nonsense(deferred(stage, &format!("unexpected answer {}: {}", reply.code, reply.text()))),
    }
}

/// The connection failed before the message was handed over.
fn lost(stage: Stage, fault: &WireFault) -> Outcome {
    deferred(stage, &fault.to_string())
}

fn deferred(stage: Stage, text: &str) -> Outcome {
    Outcome::Deferred { stage, code: None, enhanced: None, text: said(text) }
}

/// A refusal of our own, in a relay's words.
fn refused(stage: Stage, code: u16, enhanced: Enhanced, text: &str) -> Outcome {
    Outcome::Refused { stage, code, enhanced: Some(enhanced), text: said(text) }
}

/// The message as DATA carries it (RFC 5321 §4.5.2): dots at line starts doubled, CRLF line ends only, the final dot.
fn stuff(message: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(message.len() + message.len() / 32 + 8);
    let mut start = 0;
    for at in memchr::memchr2_iter(b'\r', b'\n', message) {
        // The LF of a CRLF was passed with its CR.
        if at >= start {
            stuff_line(&message[start..at], out);
            start = at + if message[at..].starts_with(b"\r\n") { 2 } else { 1 };
        }
    }
    if start < message.len() {
        stuff_line(&message[start..], out);
    }
    out.extend_from_slice(b".\r\n");
}

fn stuff_line(line: &[u8], out: &mut Vec<u8>) {
    if line.first() == Some(&b'.') {
        out.push(b'.');
    }
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_and_no_bare_line_end_is_left() {
        let stuffed = |message: &str| {
            let mut out = Vec::new();
            stuff(message.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(stuffed("a\r\n.b\r\n"), "a\r\n..b\r\n.\r\n");
        assert_eq!(stuffed(".\r\n..x\r\n"), "..\r\n...x\r\n.\r\n");
        assert_eq!(stuffed("a\n.\r\nMAIL FROM:<x>"), "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n");
        assert_eq!(stuffed("a\r.\rb\r\n\r\nc"), "a\r\n..\r\nb\r\n\r\nc\r\n.\r\n");
        assert_eq!(stuffed("a\r\r\n.\n\rb"), "a\r\n\r\n..\r\n\r\nb\r\n.\r\n");
        assert_eq!(stuffed(""), ".\r\n");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let mut settings = RelaySettings::new("smtp.lantern.example", 587, Tls::Required);
        settings.credentials =
            Some(Credentials::Password { user: "lantern".to_owned(), password: Secret::new("hunter2") });
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
