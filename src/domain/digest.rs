//! Digests: one composed sending of a newsletter.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::article::uuid_at;
use super::feed::FeedName;
use super::newsletter::Cadence;
use super::segment::SegmentName;
use super::trial::Trial;

/// The identity of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DigestId(pub Uuid);

impl DigestId {
    /// A new identity at `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self(uuid_at(now))
    }
}

impl fmt::Display for DigestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a digest stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum DigestState {
    /// Composed, waiting for an editor's yes, or for its time.
    Held {
        /// Why it waits.
        why: String,
        /// When it goes out by itself; `None` is when an editor says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
    },
    /// Its deliveries are going out.
    Sending,
    /// An editor stopped it for a while.
    Paused,
    /// It stopped by itself.
    Halted {
        /// What the editor has to mend.
        why: String,
    },
    /// Every delivery has its outcome.
    Sent,
    /// An editor ended it; what was not sent will not be.
    Cancelled,
}

impl DigestState {
    /// The word for it and the reason, as the store keeps them.
    pub fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Held { why, .. } => ("held", Some(why)),
            Self::Sending => ("sending", None),
            Self::Paused => ("paused", None),
            Self::Halted { why } => ("halted", Some(why)),
            Self::Sent => ("sent", None),
            Self::Cancelled => ("cancelled", None),
        }
    }

    /// When it goes out by itself, if it is held until then.
    pub fn held_until(&self) -> Option<DateTime<Utc>> {
        if let Self::Held { until, .. } = self { *until } else { None }
    }

    /// The same, where it is held: until then.
    #[must_use]
    pub fn until(self, until: Option<DateTime<Utc>>) -> Self {
        if let Self::Held { why, .. } = self { Self::Held { why, until } } else { self }
    }

    /// The state that the store kept as `parts`.
    pub fn from_parts(word: &str, why: Option<String>) -> Option<Self> {
        let why = why.unwrap_or_default();
        Some(match word {
            "held" => Self::Held { why, until: None },
            "sending" => Self::Sending,
            "paused" => Self::Paused,
            "halted" => Self::Halted { why },
            "sent" => Self::Sent,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}

impl fmt::Display for DigestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(until) = self.held_until() {
            write!(f, "held until {}: ", until.format("%Y-%m-%d %H:%M UTC"))?;
            return f.write_str(self.parts().1.unwrap_or_default());
        }
        match self.parts() {
            (word, None) => f.write_str(word),
            (word, Some(why)) => write!(f, "{word}: {why}"),
        }
    }
}

/// What makes a digest the one that it is: there is at most one for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DigestKey {
    /// The feed whose mail side it is.
    pub newsletter: FeedName,
    /// Whom it is for: the readers of one cadence, or of every cadence when an editor sends by hand.
    pub cadence: Option<Cadence>,
    /// The instant that it was scheduled for.
    pub slot: DateTime<Utc>,
    /// The segment whose people alone get it, if an editor said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentName>,
}

/// One composed sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// Identity.
    pub id: DigestId,
    /// Newsletter, cadence, slot.
    #[serde(flatten)]
    pub key: DigestKey,
    /// Release number up to which it brings articles.
    pub cut_off: i64,
    /// Where it stands.
    #[serde(flatten)]
    pub state: DigestState,
    /// An editor's words at the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Subjects that are tried on a part of its readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// Where it stands in the archive, below its newsletter: `2026-11-20`, or `2026-11-20-2` where that was taken.
    pub page: String,
    /// When it was composed.
    pub created_at: DateTime<Utc>,
    /// When the last delivery had its outcome.
    pub finished_at: Option<DateTime<Utc>>,
}

/// How many deliveries of a digest stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Not tried yet, or in the hands of a worker.
    pub queued: u64,
    /// Accepted by the relay.
    pub sent: u64,
    /// Put off by the relay; will be tried again.
    pub deferred: u64,
    /// Refused by the relay for good.
    pub refused: u64,
    /// Given up.
    pub failed: u64,
    /// Left before it was sent.
    pub skipped: u64,
}

impl Tally {
    /// All of them.
    pub fn total(self) -> u64 {
        self.queued + self.sent + self.deferred + self.refused + self.failed + self.skipped
    }

    /// Those that still wait for an outcome.
    pub fn open(self) -> u64 {
        self.queued + self.deferred
    }
}
