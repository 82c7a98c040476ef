//! What comes back after a relay accepted a message, and what follows from it: bounces (RFC 3464), complaints (RFC 5965).
//!
//! Pure: it knows neither the bytes of a report nor the store.

use std::fmt;

use chrono::TimeDelta;
use serde::Serialize;

use super::delivery::{Enhanced, Fault, Outcome, Stage, fault};

/// What a report tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReportKind {
    /// The address does not exist: nobody writes there again.
    HardBounce,
    /// The mailbox did not take it, or could not be reached until the message was given up.
    SoftBounce,
    /// The message was refused for what is in it.
    ContentBounce,
    /// The message was refused for who we are: standing, authentication, policy.
    SenderBounce,
    /// The reader called it spam.
    Complaint,
    /// The reader asked by mail to leave.
    Leave,
}

impl ReportKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::HardBounce, Self::SoftBounce, Self::ContentBounce, Self::SenderBounce, Self::Complaint, Self::Leave];

    /// The word for it in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HardBounce => "hard_bounce",
            Self::SoftBounce => "soft_bounce",
            Self::ContentBounce => "content_bounce",
            Self::SenderBounce => "sender_bounce",
            Self::Complaint => "complaint",
            Self::Leave => "leave",
        }
    }

    /// The kind that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The kind of a bounce, by the same rules as a refusal during SMTP.
    ///
    /// `code` is the reply code where one was reported. A message was given up for good, so what would be "try again"
    /// during SMTP is a soft bounce here, and no code of class 4 is a hard one: the address may yet be mended. That the
    /// report came at all shows that our relay works; what it could not reach is the reader's side.
    pub fn of_bounce(stage: Stage, code: Option<u16>, enhanced: Option<Enhanced>) -> Self {
        let class = enhanced.map_or_else(|| code.map_or(5, |code| code / 100), |enhanced| u16::from(enhanced.0));
        let code = code.filter(|code| code / 100 == class).unwrap_or(class * 100 + 50);
        let text = String::new();
        let outcome = if class == 4 {
            Outcome::Deferred { stage, code: Some(code), enhanced, text }
        } else {
            Outcome::Refused { stage, code, enhanced, text }
        };
        match fault(&outcome) {
            Some(Fault::Address) if class == 5 => Self::HardBounce,
            Some(Fault::Content) => Self::ContentBounce,
            Some(Fault::Sender) => Self::SenderBounce,
            Some(Fault::Address | Fault::Mailbox | Fault::Relay) | None => Self::SoftBounce,
        }
    }
}

impl fmt::Display for ReportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came back of one digest: readers, not reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ReportCounts {
    /// Addresses that do not exist.
    pub bounced_hard: u64,
    /// Mailboxes that did not take it or could not be reached.
    pub bounced_soft: u64,
    /// Refused for its content.
    pub refused_content: u64,
    /// Refused for who we are.
    pub refused_sender: u64,
    /// Called spam.
    pub complained: u64,
    /// Asked by mail to leave.
    pub left: u64,
}

/// When an address that keeps bouncing softly is given up.
///
/// An event is a digest that came back, or whose recipient was refused for the mailbox's sake; several reports on one
/// digest are one event. What lies before the last digest that went a week without a report does not count, nor what
/// is older than [`SoftRule::FORGOTTEN_AFTER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftRule {
    /// So many events …
    pub events: u32,
    /// … over at least so long, from the first to the last.
    pub over: TimeDelta,
}

impl SoftRule {
    /// A delivery that nothing was heard of for so long was a success. Most mail servers give up after five days
    /// (RFC 5321 §4.5.4.1).
    pub const SUCCESS_AFTER: TimeDelta = TimeDelta::days(7);
    /// How long an event counts: the four of a monthly newsletter lie within it.
    pub const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(120);

    /// Whether so many events, the first and the last so far apart, are enough.
    pub fn is_met(&self, events: i64, apart: TimeDelta) -> bool {
        events >= i64::from(self.events) && apart >= self.over
    }
}

impl Default for SoftRule {
    fn default() -> Self {
        Self { events: 4, over: TimeDelta::days(7) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_words_and_back() {
        for kind in ReportKind::ALL {
            assert_eq!(ReportKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ReportKind::parse("Complaint"), None);
    }

    #[test]
    fn whose_fault_a_bounce_is_follows_the_rules_of_smtp() {
        use ReportKind::{ContentBounce, HardBounce, SenderBounce, SoftBounce};
        for (stage, code, enhanced, expected) in [
            (Stage::Rcpt, None, Some((5, 1, 1)), HardBounce),
            (Stage::Body, None, Some((5, 1, 1)), HardBounce),
            (Stage::Rcpt, None, Some((5, 1, 2)), HardBounce),
            (Stage::Rcpt, Some(550), Some((5, 1, 10)), HardBounce),
            (Stage::Rcpt, None, Some((4, 1, 1)), SoftBounce),
            (Stage::Rcpt, None, Some((5, 2, 2)), SoftBounce),
            (Stage::Rcpt, None, Some((4, 2, 2)), SoftBounce),
            (Stage::Rcpt, None, Some((4, 4, 7)), SoftBounce),
            (Stage::Rcpt, None, Some((4, 4, 1)), SoftBounce),
            (Stage::Rcpt, None, Some((5, 4, 4)), SoftBounce),
            (Stage::Rcpt, None, Some((5, 0, 0)), SoftBounce),
            (Stage::Rcpt, Some(550), None, SoftBounce),
            (Stage::Rcpt, None, None, SoftBounce),
            (Stage::Body, Some(554), None, ContentBounce),
            (Stage::Body, None, Some((5, 6, 0)), ContentBounce),
            (Stage::Rcpt, None, Some((5, 3, 4)), ContentBounce),
            (Stage::Body, None, Some((5, 7, 1)), SenderBounce),
            (Stage::Rcpt, Some(550), Some((5, 7, 26)), SenderBounce),
            (Stage::Rcpt, None, Some((4, 7, 0)), SenderBounce),
            (Stage::Mail, None, Some((5, 1, 8)), SenderBounce),
        ] {
            assert_eq!(ReportKind::of_bounce(stage, code, enhanced), expected, "{stage:?} {code:?} {enhanced:?}");
        }
        // A reply code of another class than the enhanced code is not believed.
        assert_eq!(ReportKind::of_bounce(Stage::Rcpt, Some(421), Some((5, 1, 1))), HardBounce);
    }

    #[test]
    fn an_address_is_given_up_after_enough_events_over_enough_time() {
        let rule = SoftRule::default();
        assert!(rule.is_met(4, TimeDelta::days(7)));
        assert!(!rule.is_met(3, TimeDelta::days(70)));
        assert!(!rule.is_met(40, TimeDelta::days(6)));
    }
}
