//! What becomes of one message to one reader: the outcome of an attempt, whose fault it is, and what is next.
//!
//! Pure policy over SMTP's answers (RFC 5321 §4.2, RFC 3463). It knows no socket, no clock and no store.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::problem::printable;

pub use super::brakes::{Brakes, Share, brake};

/// Longest text kept of a relay's answer, in characters.
pub const TEXT_MAX: usize = 400;

/// An enhanced status code: class, subject, detail (RFC 3463 §2).
pub type Enhanced = (u8, u16, u16);

/// Where in the SMTP dialogue an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Name look-up, TCP, implicit TLS and the greeting.
    Connect,
    /// EHLO.
    Hello,
    /// STARTTLS and its handshake.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The message and its final dot.
    Body,
}

impl Stage {
    /// The word for it in the store, logs and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Hello => "hello",
            Self::StartTls => "starttls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Body => "body",
        }
    }
}

/// The verdict of one attempt. Every text is printable and at most [`TEXT_MAX`] characters long: see [`said`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The relay has taken the message over.
    Accepted {
        /// What it said, often with its queue id.
        reply: String,
    },
    /// A lasting no (5xx).
    Refused {
        /// Where.
        stage: Stage,
        /// Reply code.
        code: u16,
        /// Enhanced code, if any.
        enhanced: Option<Enhanced>,
        /// What was said.
        text: String,
    },
    /// Not now: a 4xx, or the connection failed before the final dot was sent.
    Deferred {
        /// Where.
        stage: Stage,
        /// Reply code; none where the connection failed.
        code: Option<u16>,
        /// Enhanced code, if any.
        enhanced: Option<Enhanced>,
        /// What was said, or how the connection failed.
        text: String,
    },
    /// The final dot was sent and no answer came: it may have been accepted or not.
    Unknown {
        /// How the connection failed.
        text: String,
    },
}

/// One attempt as it is kept: by which relay, how it ended, how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// By which relay, or `outbox`.
    pub relay: String,
    /// `accepted`, `refused`, `deferred` or `unknown`.
    pub verdict: String,
    /// Where in the dialogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Reply code, if there was a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Enhanced status code, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhanced: Option<String>,
    /// What was said.
    pub text: String,
    /// From the first command of the message to its answer, in milliseconds.
    pub ms: u64,
}

impl Attempt {
    /// The attempt that ended with `outcome`.
    pub fn new(outcome: &Outcome, relay: &str, at: DateTime<Utc>, took: Duration) -> Self {
        let (verdict, stage, code, enhanced, text) = match outcome {
            Outcome::Accepted { reply } => ("accepted", None, None, None, reply),
            Outcome::Refused { stage, code, enhanced, text } => ("refused", Some(*stage), Some(*code), *enhanced, text),
            Outcome::Deferred { stage, code, enhanced, text } => ("deferred", Some(*stage), *code, *enhanced, text),
            Outcome::Unknown { text } => ("unknown", Some(Stage::Body), None, None, text),
        };
        Self {
            at,
            relay: relay.to_owned(),
            verdict: verdict.to_owned(),
            stage: stage.map(|stage| stage.as_str().to_owned()),
            code,
            enhanced: enhanced.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}")),
            text: text.clone(),
            ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Whether an answer asks for a slower pace (RFC 3463 §3, and what the big providers say): not what a grey-listing host
/// or a full mailbox says, which is about one message.
pub fn asks_for_patience(outcome: &Outcome) -> bool {
    let Outcome::Deferred { code, enhanced, text, stage } = outcome else { return false };
    let text = text.to_ascii_lowercase();
    if text.contains("grey") || text.contains("gray") || matches!(stage, Stage::Connect) {
        return false;
    }
    *code == Some(421)
        || matches!(enhanced, Some((4, 7, 28 | 500..) | (4, 3, 2) | (4, 4, 5)))
        || ["too many", "rate limit", "too fast", "throttl", "unusual rate", "slow down"]
            .iter()
            .any(|words| text.contains(words))
}

/// Text of a relay fit to keep: printable, one line, at most [`TEXT_MAX`] characters.
pub fn said(text: &str) -> String {
    let line = text.split(['\r', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let mut kept = String::new();
    for (count, c) in printable(&line).chars().enumerate() {
        if count == TEXT_MAX - 1 {
            kept.push('…');
            break;
        }
        kept.push(c);
    }
    kept
}

/// The enhanced status code at the start of a reply's text, where its class agrees with the reply code (RFC 2034 §4).
pub fn enhanced(code: u16, text: &str) -> Option<Enhanced> {
    let word = text.split_ascii_whitespace().next()?;
    let mut parts = word.split('.').map(|part| {
        let digits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if digits { part.parse::<u16>().ok() } else { None }
    });
    let (class, subject, detail) = (parts.next()??, parts.next()??, parts.next()??);
    let class = u8::try_from(class).ok()?;
    (parts.next().is_none() && u16::from(class) == code / 100).then_some((class, subject, detail))
}

/// Whose fault it is that a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The address does not exist: suppress it at once if the refusal is lasting.
    Address,
    /// The mailbox exists but does not take this now (full, disabled, over its rate): suppress after several over days.
    Mailbox,
    /// This message: too big, or its content is refused.
    Content,
    /// Ours: credentials, TLS, standing, a blocked IP. Suppress nobody; tell the editor.
    Sender,
    /// The relay or the network.
    Relay,
}

/// Whose fault an outcome is: by the enhanced code first, then by reply code and stage; `None` for what was accepted.
pub fn fault(outcome: &Outcome) -> Option<Fault> {
    match outcome {
        Outcome::Accepted { .. } => None,
        Outcome::Unknown { .. } | Outcome::Deferred { code: None, .. } => Some(Fault::Relay),
        Outcome::Refused { stage, enhanced: Some(enhanced), .. }
        | Outcome::Deferred { stage, enhanced: Some(enhanced), .. } => Some(fault_by_enhanced(*stage, *enhanced)),
        Outcome::Refused { stage, code, enhanced: None, .. } => Some(fault_of_refusal(*stage, *code)),
        Outcome::Deferred { stage, code: Some(code), enhanced: None, .. } => Some(fault_of_deferral(*stage, *code)),
    }
}

/// RFC 3463 §3 with the additions of the IANA registry (RFC 5248, RFC 7293, RFC 7505).
///
/// What a relay says of one recipient at RCPT is never taken for a fault of ours, except for policy (x.7.x):
/// one odd address must not halt a digest.
fn fault_by_enhanced(stage: Stage, (class, subject, detail): Enhanced) -> Fault {
    match (subject, detail) {
        // Bad sender's address or system; before there is a recipient, any address complained about is ours.
        (1, 7 | 8) => Fault::Sender,
        (1, _) if !matches!(stage, Stage::Rcpt | Stage::Data | Stage::Body) => Fault::Sender,
        // No such mailbox or system, bad syntax, moved, null MX; owner of mailbox or domain changed.
        (1, 1..=3 | 6 | 10) | (7, 17 | 18) => Fault::Address,
        // Message too long for the mailbox or the system; content, media, non-ASCII address not carried.
        (2 | 6, 3) | (3, 4) | (6, _) => Fault::Content,
        // Disabled, full, list expansion; some other trouble with an address, maybe with ours: nobody is suppressed for
        // that.
        (1 | 2, _) | (7, 2) => Fault::Mailbox,
        // Security and policy.
        (7, _) => Fault::Sender,
        // Routing and protocol: permanent and about one recipient.
        (0 | 3 | 4 | 5, _) if stage == Stage::Rcpt && class == 5 => Fault::Mailbox,
        // Our commands were not understood.
        (5, _) if class == 5 => Fault::Sender,
        (0, _) if class == 5 => fault_of_refusal(stage, 554),
        _ => Fault::Relay,
    }
}

/// A 5xx without an enhanced code (RFC 5321 §4.2.3, RFC 4954 §6): nobody is suppressed at once on so little.
fn fault_of_refusal(stage: Stage, code: u16) -> Fault {
    match (stage, code) {
        (_, 530 | 534 | 535 | 538) | (Stage::Connect | Stage::Hello | Stage::StartTls | Stage::Auth, _) => {
            Fault::Sender
        }
        (Stage::Mail | Stage::Data | Stage::Body, 552) | (Stage::Body, _) => Fault::Content,
        (Stage::Rcpt, _) => Fault::Mailbox,
        (Stage::Mail | Stage::Data, _) => Fault::Sender,
    }
}

/// A 4xx without an enhanced code.
fn fault_of_deferral(stage: Stage, code: u16) -> Fault {
    match (stage, code) {
        (_, 421) => Fault::Relay,
        (Stage::StartTls, _) => Fault::Sender,
        (Stage::Rcpt, 450 | 452) => Fault::Mailbox,
        (Stage::Connect | Stage::Hello | Stage::Auth | Stage::Mail | Stage::Rcpt | Stage::Data | Stage::Body, _) => {
            Fault::Relay
        }
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Waits for its turn.
    Queued,
    /// A worker has it.
    Claimed,
    /// A relay accepted it.
    Sent,
    /// Waits for another attempt.
    Deferred,
    /// A lasting no.
    Refused,
    /// Given up after its life.
    Failed,
    /// Not sent on purpose: the reader left or was suppressed meanwhile.
    Skipped,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Claimed, Self::Sent, Self::Deferred, Self::Refused, Self::Failed, Self::Skipped];

    /// The word for it in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The state that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Claimed | Self::Deferred => false,
            Self::Sent | Self::Refused | Self::Failed | Self::Skipped => true,
        }
    }
}

/// When to try again, and when to give up (RFC 5321 §4.5.4.1: retries at growing intervals, for at least 4–5 days).
///
/// The RFC asks for 30 minutes between attempts and allows better strategies; the first one here comes after
/// 15 to 30 minutes, which is what grey-listing hosts wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Shortest wait before the second attempt; it doubles with each further one.
    pub first: Duration,
    /// Longest wait between two attempts.
    pub cap: Duration,
    /// How long after the first attempt a message is given up.
    pub life: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_mins(15), cap: Duration::from_hours(4), life: Duration::from_hours(4 * 24) }
    }
}

/// What follows from an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Done.
    Sent,
    /// Try again then.
    RetryAt(DateTime<Utc>),
    /// A lasting no for this reader.
    Refused,
    /// Its life is over.
    Failed,
    /// Our own fault: stop the digest, tell the editor, keep the delivery queued.
    HaltDigest,
}

impl RetryPolicy {
    /// What follows from `outcome`, which ended attempt number `attempts` (from 1).
    ///
    /// `jitter` from 0 to 1 spreads the waits between the interval and twice the interval, so that what failed
    /// together does not come back together. An unknown outcome is tried again: a reader is never lost, and a second
    /// copy bears the same Message-ID. The last attempt falls on the end of the life.
    pub fn next(
        &self,
        outcome: &Outcome,
        attempts: u32,
        first_attempt_at: DateTime<Utc>,
        now: DateTime<Utc>,
        jitter: f64,
    ) -> Next {
        match outcome {
            Outcome::Accepted { .. } => Next::Sent,
            Outcome::Refused { .. } if fault(outcome) == Some(Fault::Sender) => Next::HaltDigest,
            Outcome::Refused { .. } => Next::Refused,
            Outcome::Deferred { .. } | Outcome::Unknown { .. } => {
                let life = TimeDelta::from_std(self.life).unwrap_or(TimeDelta::MAX);
                let end = first_attempt_at.checked_add_signed(life).unwrap_or(DateTime::<Utc>::MAX_UTC);
                if now >= end {
                    return Next::Failed;
                }
                let wait = TimeDelta::from_std(self.wait(attempts, jitter)).unwrap_or(TimeDelta::MAX);
                Next::RetryAt(now.checked_add_signed(wait).unwrap_or(end).min(end))
            }
        }
    }

    /// The wait after attempt number `attempts` (from 1): never beyond `cap`, jitter included.
    fn wait(&self, attempts: u32, jitter: f64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let least = self.first.saturating_mul(1 << doublings).min(self.cap / 2);
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
        least + least.mul_f64(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stage: Stage, code: u16, text: &str) -> Outcome {
        Outcome::Refused { stage, code, enhanced: enhanced(code, text), text: said(text) }
    }

    fn deferred(stage: Stage, code: u16, text: &str) -> Outcome {
        Outcome::Deferred { stage, code: Some(code), enhanced: enhanced(code, text), text: said(text) }
    }

    #[test]
    fn enhanced_codes_are_read_where_they_agree_with_the_reply_code() {
        assert_eq!(enhanced(550, "5.1.1 no such user"), Some((5, 1, 1)));
        assert_eq!(enhanced(550, "5.1.10"), Some((5, 1, 10)));
        for text in
            ["", "no such user", "4.1.1 x", "5.1 x", "5.1.1.1 x", "5.1000.1 x", "5.-1.1 x", "5..1 x", "127.0.0.1 x"]
        {
            assert_eq!(enhanced(550, text), None, "{text}");
        }
    }

    #[test]
    fn what_is_kept_of_a_reply_is_one_short_printable_line() {
        assert_eq!(said("one\r\n two \u{1b}[0m\u{202e}\n"), "one two \\u{1b}[0m\\u{202e}");
        let long = said(&"\u{7}".repeat(5000));
        assert_eq!(long.chars().count(), TEXT_MAX);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn the_enhanced_code_says_whose_fault_it_is() {
        for (stage, code, text, expected) in [
            (Stage::Rcpt, 550, "5.1.1 no such user", Fault::Address),
            (Stage::Rcpt, 550, "5.1.2 no such domain", Fault::Address),
            (Stage::Rcpt, 556, "5.1.10 null MX", Fault::Address),
            (Stage::Rcpt, 551, "5.1.6 moved", Fault::Address),
            (Stage::Mail, 553, "5.1.8 no such sender", Fault::Sender),
            (Stage::Rcpt, 550, "5.2.1 disabled", Fault::Mailbox),
            (Stage::Rcpt, 552, "5.2.2 full", Fault::Mailbox),
            (Stage::Body, 552, "5.2.3 too long", Fault::Content),
            (Stage::Mail, 552, "5.3.4 too big", Fault::Content),
            (Stage::Rcpt, 550, "5.4.1 no answer", Fault::Mailbox),
            (Stage::Rcpt, 501, "5.5.2 syntax", Fault::Mailbox),
            (Stage::Mail, 501, "5.5.4 syntax", Fault::Sender),
            (Stage::Rcpt, 553, "5.6.7 not ASCII", Fault::Content),
            (Stage::Body, 554, "5.6.0 content", Fault::Content),
            (Stage::Body, 550, "5.7.1 spam", Fault::Sender),
            (Stage::Body, 550, "5.7.26 not authenticated", Fault::Sender),
            (Stage::Body, 550, "5.7.515 access denied", Fault::Sender),
            (Stage::Rcpt, 550, "5.7.17 new owner", Fault::Address),
            (Stage::Auth, 535, "5.7.8 wrong password", Fault::Sender),
            (Stage::Rcpt, 550, "5.0.0 no", Fault::Mailbox),
            (Stage::Body, 550, "5.0.0 no", Fault::Content),
        ] {
            assert_eq!(fault(&refused(stage, code, text)), Some(expected), "{code} {text}");
        }
    }

    #[test]
    fn without_an_enhanced_code_nobody_is_suppressed_at_once() {
        for stage in [
            Stage::Connect,
            Stage::Hello,
            Stage::StartTls,
            Stage::Auth,
            Stage::Mail,
            Stage::Rcpt,
            Stage::Data,
            Stage::Body,
        ] {
            for code in 500..600 {
                assert_ne!(fault(&refused(stage, code, "no")), Some(Fault::Address), "{stage:?} {code}");
            }
            for code in 400..500 {
                assert_ne!(fault(&deferred(stage, code, "later")), Some(Fault::Address), "{stage:?} {code}");
            }
        }
        for (stage, code, expected) in [
            (Stage::Connect, 554, Fault::Sender),
            (Stage::Auth, 535, Fault::Sender),
            (Stage::Mail, 530, Fault::Sender),
            (Stage::Rcpt, 530, Fault::Sender),
            (Stage::Rcpt, 550, Fault::Mailbox),
            (Stage::Mail, 552, Fault::Content),
            (Stage::Body, 554, Fault::Content),
        ] {
            assert_eq!(fault(&refused(stage, code, "no")), Some(expected), "{stage:?} {code}");
        }
        assert_eq!(fault(&deferred(Stage::Rcpt, 450, "busy")), Some(Fault::Mailbox));
        assert_eq!(fault(&deferred(Stage::Rcpt, 421, "closing")), Some(Fault::Relay));
    }

    #[test]
    fn states_are_words_and_back() {
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.as_str()), Some(state));
        }
        assert_eq!(DeliveryState::parse("Sent"), None);
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    #[test]
    fn waits_double_from_a_quarter_of_an_hour_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let outcome = deferred(Stage::Rcpt, 451, "4.7.1 later");
        for (attempts, least, most) in
            [(0, 15, 30), (1, 15, 30), (2, 30, 60), (3, 60, 120), (4, 120, 240), (5, 120, 240), (u32::MAX, 120, 240)]
        {
            let next = |jitter| policy.next(&outcome, attempts, at(0), at(100), jitter);
            assert_eq!(next(0.0), Next::RetryAt(at(100 + least)), "{attempts}");
            assert_eq!(next(1.0), Next::RetryAt(at(100 + most)), "{attempts}");
            assert_eq!(next(f64::NAN), Next::RetryAt(at(100 + least)));
            assert_eq!(next(9.0), Next::RetryAt(at(100 + most)));
        }
    }

    #[test]
    fn a_message_is_given_up_at_the_end_of_its_life_after_a_last_attempt() {
        let policy = RetryPolicy::default();
        let life = 4 * 24 * 60;
        for outcome in [deferred(Stage::Rcpt, 451, "later"), Outcome::Unknown { text: String::new() }] {
            assert_eq!(policy.next(&outcome, 9, at(0), at(life - 1), 0.5), Next::RetryAt(at(life)));
            assert_eq!(policy.next(&outcome, 9, at(0), at(life), 0.5), Next::Failed);
        }
        let endless = RetryPolicy { first: Duration::MAX, cap: Duration::MAX, life: Duration::MAX };
        let next = endless.next(&deferred(Stage::Rcpt, 451, "later"), 40, at(0), at(1), 1.0);
        assert!(matches!(next, Next::RetryAt(_)), "{next:?}");
    }

    #[test]
    fn what_is_next_follows_from_whose_fault_it_is() {
        let next = |outcome: &Outcome| RetryPolicy::default().next(outcome, 1, at(0), at(0), 0.0);
        assert_eq!(next(&Outcome::Accepted { reply: String::new() }), Next::Sent);
        assert_eq!(next(&refused(Stage::Rcpt, 550, "5.1.1 no such user")), Next::Refused);
        assert_eq!(next(&refused(Stage::Rcpt, 552, "5.2.2 full")), Next::Refused);
        assert_eq!(next(&refused(Stage::Body, 550, "5.7.1 blocked")), Next::HaltDigest);
        assert_eq!(next(&refused(Stage::Auth, 535, "5.7.8 wrong password")), Next::HaltDigest);
        // A 4xx is tried again whoever is at fault: grey-listing says 4.7.1.
        assert_eq!(next(&deferred(Stage::Rcpt, 451, "4.7.1 grey-listed")), Next::RetryAt(at(15)));
        let lost = Outcome::Deferred { stage: Stage::Mail, code: None, enhanced: None, text: String::new() };
        assert_eq!(next(&lost), Next::RetryAt(at(15)));
    }
}
