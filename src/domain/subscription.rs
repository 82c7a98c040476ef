//! Subscribers and what they subscribed to.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use uuid::Uuid;

use super::address::EmailAddress;
use super::article::uuid_at;
use super::feed::FeedName;
use super::newsletter::Cadence;

/// Longest name of a reader that is kept, in characters.
pub const MAX_NAME: usize = 100;

/// One confirmation per address in this time, however often its form is posted.
pub const ONE_CONFIRMATION_PER: TimeDelta = TimeDelta::hours(24);

/// The identity of a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SubscriberId(pub Uuid);

impl SubscriberId {
    /// A new identity at `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self(uuid_at(now))
    }
}

impl fmt::Display for SubscriberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A person with one address, a language, a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// Identity.
    pub id: SubscriberId,
    /// Where mail goes, as typed.
    pub address: EmailAddress,
    /// What to call them; one line.
    pub name: Option<String>,
    /// Language tag, where it differs from the publication's.
    pub language: Option<String>,
    /// Their time zone, where it differs from the publication's.
    pub time_zone: Option<Tz>,
}

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscriptionState {
    /// Asked for, not confirmed: gets no digest.
    Pending,
    /// Gets digests.
    Active,
    /// No digest is composed for it until the reader takes it up again; the cursor stays.
    Paused,
    /// Left.
    Ended,
}

impl SubscriptionState {
    const ALL: [Self; 4] = [Self::Pending, Self::Active, Self::Paused, Self::Ended];

    /// The word for it in SQL and exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }

    /// The state that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Subscriber × feed, with its cadence and its cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The feed.
    pub feed: FeedName,
    /// How often.
    pub cadence: Cadence,
    /// Where it stands.
    pub state: SubscriptionState,
    /// Release number up to which it has been served.
    pub cursor: i64,
}
