//! The SMTP dialogue with a relay (RFC 5321): one open, authenticated connection, and message after message over it.
//!
//! Our own dialogue rather than lettre's transport, for what a newsletter needs and that one cannot do: a time limit per
//! command, replies that are not UTF-8 or never end, PIPELINING and SIZE from EHLO, a connection that outlives a refused
//! reader, and knowing whether a failure came before or after the final dot. Pools, pace and retries belong to the caller.
//!
//! | Extension | Use |
//! |---|---|
//! | PIPELINING (RFC 2920) | MAIL, RCPT and DATA in one write, which also ends the message before |
//! | CHUNKING (RFC 3030) | several whole messages under way, where the relay's depth is set to more than 1 |
//! | SIZE (RFC 1870) | declared; a message beyond it is refused here |
//! | 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531) | only for a message or address that needs it |
//! | ENHANCEDSTATUSCODES (RFC 2034) | read wherever a reply has one |
//! | STARTTLS (RFC 3207), AUTH (RFC 4954) PLAIN, LOGIN, XOAUTH2, OAUTHBEARER | on opening; credentials never in clear |

mod envelope;
mod open;
pub(super) mod tls;
mod wire;

use std::collections::VecDeque;
use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use self::envelope::Envelope;
use self::wire::{Reply, Wire, WireFault};
use crate::domain::address::EmailAddress;
use crate::domain::delivery::{Enhanced, Outcome, Stage, said};

pub use self::envelope::Parcel;
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
    /// Messages sent over one connection before a new one is opened: some relays refuse more.
    pub messages_per_connection: u32,
}

/// Messages over one connection where nothing else is set.
pub const MESSAGES_PER_CONNECTION: u32 = 500;

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
            messages_per_connection: MESSAGES_PER_CONNECTION,
        }
    }
}

const RESET: &[u8] = b"RSET\r\n";
const DATA: &[u8] = b"DATA\r\n";

/// What a relay said it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one keyword of EHLO; none excludes another")]
struct Offers {
    pipelining: bool,
    eight_bit: bool,
    smtputf8: bool,
    starttls: bool,
    chunking: bool,
    /// Largest message in bytes; `Some(0)` where none is named.
    size: Option<u64>,
    auth_plain: bool,
    auth_login: bool,
    auth_xoauth2: bool,
    auth_oauthbearer: bool,
}

/// One open, authenticated SMTP session.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
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
    /// Messages after which a new connection is due.
    most: u32,
    /// What is still to be read belongs to nothing any more.
    is_lost: bool,
    /// Messages handed over whose answer was not read yet.
    under_way: VecDeque<UnderWay>,
    /// The envelope of a relay without PIPELINING, said command by command.
    in_turns: Option<Envelope>,
    /// What is written next; kept for its memory.
    buffer: Vec<u8>,
    /// A message before its length is known; kept for its memory.
    chunk: Vec<u8>,
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

    /// Messages that may still be sent over it before a new connection is due.
    pub fn room(&self) -> usize {
        usize::try_from(self.most.saturating_sub(self.accepted)).unwrap_or(usize::MAX)
    }

    /// Whether what is still under way over it will have no answer.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether another message may follow the one that is about to be handed over.
    pub fn has_room_after_this(&self) -> bool {
        self.room() > 1
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

    /// Sends one message to one recipient, and nothing else meanwhile.
    ///
    /// A refused recipient leaves the connection open for the next. Bare CR and LF in a message become CRLF, so that no
    /// relay can be made to see two messages in one.
    pub async fn send(&mut self, from: &str, to: &EmailAddress, message: &[u8]) -> Outcome {
        let parcel = &Parcel { from, to, message, is_stuffed: false };
        if let Err(outcome) = self.offer(parcel).await {
            return outcome;
        }
        if let Err(outcome) = self.permitted().await {
            return outcome;
        }
        self.hand_over(parcel, None).await;
        self.verdict().await
    }

    /// Says MAIL, RCPT and DATA for a message; [`Self::permitted`] reads the answers.
    ///
    /// # Errors
    /// What is known without them: the relay cannot take this message, or the connection is lost.
    pub async fn offer(&mut self, parcel: &Parcel<'_>) -> Result<(), Outcome> {
        if !self.is_usable() {
            return Err(deferred(Stage::Mail, "the relay had closed the connection"));
        }
        let envelope = self.offers.envelope(parcel)?;
        self.buffer.clear();
        if self.needs_reset {
            self.buffer.extend_from_slice(RESET);
        }
        self.broken = true;
        if self.offers.pipelining {
            envelope.put(&mut self.buffer);
            self.buffer.extend_from_slice(DATA);
        } else {
            self.in_turns = Some(envelope);
        }
        let limit = self.limits.command;
        self.wire.write(&self.buffer, limit).await.map_err(|fault| lost(Stage::Mail, &fault))
    }

    /// Waits until the relay asks for the message that was offered.
    ///
    /// # Errors
    /// The first refusal, or how the connection was lost.
    pub async fn permitted(&mut self) -> Result<(), Outcome> {
        if self.is_lost {
            return Err(deferred(Stage::Mail, "the connection was lost"));
        }
        self.broken = true;
        if self.needs_reset {
            self.reset_answered().await?;
        }
        let in_turns = self.in_turns.take();
        let mut refusal: Option<Outcome> = None;
        let mut recipient_taken = false;
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Data] {
            if let Some(envelope) = &in_turns {
                let written = self.wire.write(envelope.line(stage), self.limits.command).await;
                written.map_err(|fault| lost(stage, &fault))?;
            }
            let limit = if stage == Stage::Data { self.limits.data } else { self.limits.command };
            let reply = match self.wire.reply(limit).await {
                Ok(reply) => reply,
                Err(fault) => return Err(refusal.unwrap_or_else(|| lost(stage, &fault))),
            };
            match sorted(stage, if stage == Stage::Data { 3 } else { 2 }, &reply) {
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
                    if in_turns.is_some() {
                        break;
                    }
                }
            }
        }
        if refusal.is_none() && self.wire.surplus().is_some_and(|first| !matches!(first, b'4' | b'5')) {
            // A yes too many would be taken for the one to the message. A no may be in a hurry.
            return Err(deferred(Stage::Data, "the relay said more than it was asked"));
        }
        let Some(refusal) = refusal else { return Ok(()) };
        self.needs_reset = true;
        self.broken = false;
        Err(refusal)
    }

    async fn reset_answered(&mut self) -> Result<(), Outcome> {
        let reply = self.wire.reply(self.limits.command).await.map_err(|fault| lost(Stage::Mail, &fault))?;
        match sorted(Stage::Mail, 2, &reply) {
            Verdict::Yes => {
                self.needs_reset = false;
                Ok(())
            }
            // A refused RSET says nothing of this message: the connection is done, the message is not.
            Verdict::No(_) | Verdict::Nonsense(_) => Err(deferred(Stage::Mail, &reply.text())),
        }
    }

    /// Writes the message with its final dot and, in the same breath, the envelope of the next one. Returns whether that
    /// one is offered now. [`Self::verdict`] reads the answer to the first, then [`Self::permitted`] those to the other.
    ///
    /// RFC 2920 §3.1 lets commands follow the dot without waiting for its answer; it saves a round trip a message.
    pub async fn hand_over(&mut self, parcel: &Parcel<'_>, next: Option<&Parcel<'_>>) -> bool {
        let message = parcel.in_lines(true, &mut self.chunk);
        self.buffer.clear();
        self.buffer.extend_from_slice(b".\r\n");
        let until_dot = message.len() + self.buffer.len();
        let is_hasty = self.wire.surplus().is_some();
        let envelope =
            next.filter(|_| self.offers.pipelining && !is_hasty).and_then(|next| self.offers.envelope(next).ok());
        if let Some(envelope) = &envelope {
            envelope.put(&mut self.buffer);
            self.buffer.extend_from_slice(DATA);
        }
        let written = self.wire.write_both(message, &self.buffer, self.limits.block).await;
        self.under_way.push_back(UnderWay {
            is_chunk: false,
            is_hasty,
            fault: written.err().map(|fault| (fault, self.wire.written() >= until_dot)),
        });
        envelope.is_some()
    }

    /// Whether the relay takes messages that follow one another without waiting for answers (RFC 3030 with RFC 2920).
    pub fn takes_chunks(&self) -> bool {
        self.offers.chunking && self.offers.pipelining
    }

    /// Writes envelope and message at once (BDAT, RFC 3030), without waiting for anything. Several may be under way;
    /// [`Self::verdict`] reads their answers in their order.
    ///
    /// # Errors
    /// What is known without an answer: the relay cannot take this message, or the connection was lost before.
    pub async fn post(&mut self, parcel: &Parcel<'_>) -> Result<(), Outcome> {
        if self.under_way.is_empty() && !self.is_usable() {
            return Err(deferred(Stage::Mail, "the relay had closed the connection"));
        }
        if self.is_lost || self.under_way.iter().any(|one| one.fault.is_some()) {
            return Err(deferred(Stage::Mail, "the connection was lost"));
        }
        let envelope = self.offers.envelope(parcel)?;
        self.buffer.clear();
        // What a refused chunk leaves open differs from relay to relay: each begins anew.
        self.buffer.extend_from_slice(RESET);
        envelope.put(&mut self.buffer);
        let message = parcel.in_lines(false, &mut self.chunk);
        // Writing to a Vec cannot fail.
        let _ = write!(&mut self.buffer, "BDAT {} LAST\r\n", message.len());
        self.broken = true;
        let written = self.wire.write_both(&self.buffer, message, self.limits.block).await;
        let fault = written.err().map(|fault| (fault, self.wire.written() >= self.buffer.len() + message.len()));
        self.under_way.push_back(UnderWay { is_chunk: true, is_hasty: false, fault });
        Ok(())
    }

    /// The relay's answer to the oldest message that is under way.
    pub async fn verdict(&mut self) -> Outcome {
        let Some(one) = self.under_way.pop_front() else {
            return deferred(Stage::Body, "no message is under way");
        };
        if self.is_lost {
            return unanswered(true, &WireFault::Closed);
        }
        if one.is_chunk {
            return self.chunk_answered(one).await;
        }
        let outcome = self.dot_answered(one).await;
        // An answer that comes too late is not the one to the envelope that rode along.
        self.is_lost = self.broken;
        outcome
    }

    async fn dot_answered(&mut self, one: UnderWay) -> Outcome {
        let reply = match &one.fault {
            None => self.wire.reply(self.limits.dot).await,
            // A relay that closes early may have said why before it did.
            Some((WireFault::Closed | WireFault::Io(_), _)) => self.wire.reply(self.limits.farewell).await,
            Some((fault, is_whole)) => return unanswered(*is_whole, fault),
        };
        let reply = match (reply, &one.fault) {
            (Ok(reply), _) => reply,
            (Err(_), Some((fault, is_whole))) => return unanswered(*is_whole, fault),
            (Err(fault), None) => return unanswered(true, &fault),
        };
        match sorted(Stage::Body, 2, &reply) {
            Verdict::Yes if one.fault.as_ref().is_none_or(|(_, is_whole)| *is_whole) => {
                self.broken = one.fault.is_some() || one.is_hasty;
                self.accepted += 1;
                Outcome::Accepted { reply: reply.text() }
            }
            Verdict::No(outcome) => {
                self.broken = reply.is_closing() || one.fault.is_some() || one.is_hasty;
                outcome
            }
            Verdict::Yes | Verdict::Nonsense(_) => {
                self.broken = true;
                Outcome::Unknown { text: reply.text() }
            }
        }
    }

    /// Reads the answers to RSET, MAIL, RCPT and BDAT.
    async fn chunk_answered(&mut self, one: UnderWay) -> Outcome {
        let mut refusal = None;
        for stage in [None, Some(Stage::Mail), Some(Stage::Rcpt)] {
            let outcome = match self.wire.reply(self.limits.command).await {
                // The message went with its commands: where an answer to those is missing, it may have been taken.
                Err(fault) => unanswered(one.fault.as_ref().is_none_or(|(_, is_whole)| *is_whole), &fault),
                Ok(reply) => match sorted(stage.unwrap_or(Stage::Mail), 2, &reply) {
                    Verdict::Yes => continue,
                    Verdict::No(outcome) if stage.is_some() && !reply.is_closing() => {
                        refusal.get_or_insert(outcome);
                        continue;
                    }
                    // A refused RSET says nothing of this message, which may be taken all the same.
                    Verdict::No(_) if stage.is_none() && !reply.is_closing() => Outcome::Unknown { text: reply.text() },
                    Verdict::No(outcome) | Verdict::Nonsense(outcome) => outcome,
                },
            };
            self.is_lost = true;
            return refusal.unwrap_or(outcome);
        }
        let outcome = self.dot_answered(one).await;
        self.is_lost = self.broken;
        self.broken |= !self.under_way.is_empty();
        refusal.unwrap_or(outcome)
    }

    /// Says goodbye and closes.
    pub async fn quit(mut self) {
        if self.is_usable() && self.wire.write(b"QUIT\r\n", self.limits.farewell).await.is_ok() {
            // Whatever it answers, the connection is closed.
            let _ = self.wire.reply(self.limits.farewell).await;
        }
        self.wire.close(self.limits.farewell).await;
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
}

/// A message whose last byte was written, or was to be.
struct UnderWay {
    is_chunk: bool,
    /// Its answer came before it was written: who knows what the relay makes of the rest.
    is_hasty: bool,
    /// How writing it failed, and whether all of the message may have gone out before.
    fault: Option<(WireFault, bool)>,
}

/// No answer to a message came: whether it may have been taken depends on whether all of it went out.
fn unanswered(is_whole: bool, fault: &WireFault) -> Outcome {
    if is_whole { Outcome::Unknown { text: said(&fault.to_string()) } } else { lost(Stage::Body, fault) }
}

/// Sorts a reply: `yes` is the first digit hoped for.
fn sorted(stage: Stage, yes: u16, reply: &Reply) -> Verdict {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let mut settings = RelaySettings::new("smtp.lantern.example", 587, Tls::Required);
        settings.credentials =
            Some(Credentials::Password { user: "lantern".to_owned(), password: Secret::new("hunter2") });
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
