//! What the store knows of one reader's mail: bans, subscriptions with their dates, deliveries.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::subscribers::subscription;
use super::{Store, StoreError, id, instant, on};
use crate::domain::consent::Entry;
use crate::domain::delivery::DeliveryState;
use crate::domain::digest::{Digest, DigestId};
use crate::domain::subscription::{Subscriber, SubscriberId, Subscription};

/// Why no mail goes to an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ban {
    /// The cause, in a word.
    pub cause: String,
    /// What was said.
    pub detail: Option<String>,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// A subscription with its dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The subscription.
    pub subscription: Subscription,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was confirmed, if it was.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When it ended, if it has.
    pub ended_at: Option<DateTime<Utc>>,
    /// When its confirmation went out, if it has.
    pub confirmation_sent_at: Option<DateTime<Utc>>,
    /// The hour and day that they prefer, if any.
    pub preferred: Option<String>,
    /// Until when it is paused, where it ends by itself.
    pub paused_until: Option<DateTime<Utc>>,
}

/// A delivery as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Of which digest.
    pub digest: Digest,
    /// The reader's cursor before it.
    pub cursor_from: i64,
    /// Where it stands.
    pub state: DeliveryState,
    /// When it is tried next, or its claim ends.
    pub due_at: DateTime<Utc>,
    /// When it had its outcome.
    pub settled_at: Option<DateTime<Utc>>,
    /// When it was first tried.
    pub first_attempt_at: Option<DateTime<Utc>>,
    /// Why it was not sent, in words.
    pub outcome: Option<String>,
}

/// All that is held of a person, deliveries set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The person.
    pub subscriber: Subscriber,
    /// What they subscribed to, by feed.
    pub taken: Vec<Taken>,
    /// Why no mail goes there, if so.
    pub suppressed: Option<String>,
    /// What they agreed to and took back, the oldest first.
    pub consents: Vec<Entry>,
}

/// A digest that a reader was to get, for the reader's own eyes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Brought {
    /// Of which newsletter.
    pub newsletter: String,
    /// At which cadence.
    pub cadence: String,
    /// For when.
    pub slot: DateTime<Utc>,
    /// Where it stands.
    pub state: String,
    /// Since when.
    pub settled_at: Option<DateTime<Utc>>,
    /// Why it was not sent.
    pub outcome: Option<String>,
}

/// What came back from an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CameBack {
    /// What it was, in a word.
    pub kind: String,
    /// The code that it bore.
    pub code: Option<String>,
    /// What was said.
    pub text: String,
    /// When it came in.
    pub at: DateTime<Utc>,
}

type BroughtColumns = (String, String, i64, String, Option<i64>, Option<String>);
type HeldColumns =
    (String, String, String, String, i64, i64, Option<i64>, Option<i64>, Option<i64>, Option<String>, Option<i64>);
type Dates = (i64, Option<i64>, Option<i64>, Option<i64>, Option<String>, Option<i64>);
type DeliveryColumns = (String, i64, String, i64, Option<i64>, Option<i64>, Option<String>);

impl Store {
    /// The ban on an address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ban(&self, address_hash: &str) -> Result<Option<Ban>, StoreError> {
        let sql = "SELECT cause, detail, created_at FROM suppressions WHERE address_hash = $1";
        let row: Option<(String, Option<String>, i64)> =
            on!(self.database, pool => sqlx::query_as(sql).bind(address_hash).fetch_optional(pool).await)?;
        row.map(|(cause, detail, at)| Ok(Ban { cause, detail, at: instant(at)? })).transpose()
    }

    /// What someone subscribed to and when, by feed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn taken_by(&self, who: SubscriberId) -> Result<Vec<Taken>, StoreError> {
        let sql = "SELECT created_at, confirmed_at, ended_at, confirmation_sent_at, preferred, paused_until FROM subscriptions \
                   WHERE subscriber = $1 AND feed = $2";
        let mut taken = vec![];
        for subscription in self.subscriptions_of(who).await? {
            let feed = subscription.feed.as_str();
            let dates: Option<Dates> = on!(self.database, pool => {
                sqlx::query_as(sql).bind(who.to_string()).bind(feed).fetch_optional(pool).await
            })?;
            let Some((created_at, confirmed_at, ended_at, confirmation_sent_at, preferred, paused_until)) = dates
            else {
                continue;
            };
            taken.push(Taken {
                created_at: instant(created_at)?,
                confirmed_at: confirmed_at.map(instant).transpose()?,
                ended_at: ended_at.map(instant).transpose()?,
                confirmation_sent_at: confirmation_sent_at.map(instant).transpose()?,
                preferred,
                paused_until: paused_until.map(instant).transpose()?,
                subscription,
            });
        }
        Ok(taken)
    }

    /// A page of people with all that is held of them, in the order of their ids, from `after` on; the ledger only where asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held(
        &self,
        after: Option<SubscriberId>,
        limit: usize,
        has_consents: bool,
    ) -> Result<Vec<Held>, StoreError> {
        let people = self.subscribers(None, after, limit).await?;
        let ids: Vec<SubscriberId> = people.iter().map(|person| person.subscriber.id).collect();
        let mut consents = if has_consents { self.consents(&ids).await? } else { HashMap::new() };
        let sql = format!(
            "SELECT subscriber, feed, cadence, state, cursor, created_at, confirmed_at, ended_at, confirmation_sent_at, preferred, paused_until \
             FROM subscriptions WHERE subscriber IN {} ORDER BY subscriber, feed",
            self.database.list(1)
        );
        let ids = super::json(&ids);
        let rows: Vec<HeldColumns> =
            on!(self.database, pool => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(pool).await)?;
        let mut rows = rows.into_iter().peekable();
        let mut held = vec![];
        for person in people {
            let key = person.subscriber.id.to_string();
            let mut taken = vec![];
            while let Some((
                _,
                feed,
                cadence,
                state,
                cursor,
                created_at,
                confirmed_at,
                ended_at,
                sent_at,
                preferred,
                paused_until,
            )) = rows.next_if(|row| row.0 == key)
            {
                taken.push(Taken {
                    subscription: subscription(&feed, &cadence, &state, cursor)?,
                    created_at: instant(created_at)?,
                    confirmed_at: confirmed_at.map(instant).transpose()?,
                    ended_at: ended_at.map(instant).transpose()?,
                    confirmation_sent_at: sent_at.map(instant).transpose()?,
                    preferred,
                    paused_until: paused_until.map(instant).transpose()?,
                });
            }
            let consents = consents.remove(&person.subscriber.id).unwrap_or_default();
            held.push(Held { subscriber: person.subscriber, taken, suppressed: person.suppressed, consents });
        }
        Ok(held)
    }

    /// The deliveries to someone, the newest first; only that of `digest` where given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliveries_to(
        &self,
        who: SubscriberId,
        digest: Option<DigestId>,
        limit: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let sql = "SELECT d.digest, d.cursor_from, d.state, d.due_at, d.settled_at, d.first_attempt_at, d.outcome FROM digests g \
                   CROSS JOIN deliveries d WHERE d.digest = g.id AND d.subscriber = $1 AND ($2 = '' OR g.id = $2) ORDER BY g.id DESC LIMIT $3";
        let digest = digest.map(|digest| digest.to_string()).unwrap_or_default();
        let rows: Vec<DeliveryColumns> = on!(self.database, pool => {
            sqlx::query_as(sql).bind(who.to_string()).bind(&digest).bind(limit).fetch_all(pool).await
        })?;
        let mut deliveries = vec![];
        for (digest, cursor_from, state, due_at, settled_at, first_attempt_at, outcome) in rows {
            let Some(digest) = self.digest(DigestId(id(&digest)?)).await? else { continue };
            let corrupt = || StoreError::Corrupt(format!("state {state} of a delivery"));
            deliveries.push(Delivery {
                digest,
                cursor_from,
                state: DeliveryState::parse(&state).ok_or_else(corrupt)?,
                due_at: instant(due_at)?,
                settled_at: settled_at.map(instant).transpose()?,
                first_attempt_at: first_attempt_at.map(instant).transpose()?,
                outcome,
            });
        }
        Ok(deliveries)
    }

    /// Every digest that someone was to get, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn brought_to(&self, who: SubscriberId) -> Result<Vec<Brought>, StoreError> {
        let sql = "SELECT g.newsletter, g.cadence, g.slot, d.state, d.settled_at, d.outcome FROM digests g \
                   CROSS JOIN deliveries d WHERE d.digest = g.id AND d.subscriber = $1 ORDER BY g.id DESC";
        let rows: Vec<BroughtColumns> =
            on!(self.database, pool => sqlx::query_as(sql).bind(who.to_string()).fetch_all(pool).await)?;
        let brought = |(newsletter, cadence, slot, state, settled_at, outcome): BroughtColumns| {
            let settled_at = settled_at.map(instant).transpose()?;
            Ok(Brought { newsletter, cadence, slot: instant(slot)?, state, settled_at, outcome })
        };
        rows.into_iter().map(brought).collect()
    }

    /// What came back from someone's address, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reports_to(&self, who: SubscriberId, address_hash: &str) -> Result<Vec<CameBack>, StoreError> {
        let sql = "SELECT kind, code, text, created_at FROM reports WHERE subscriber = $1 OR address_hash = $2 \
                   ORDER BY created_at DESC, id";
        let rows: Vec<(String, Option<String>, String, i64)> = on!(self.database, pool => {
            sqlx::query_as(sql).bind(who.to_string()).bind(address_hash).fetch_all(pool).await
        })?;
        rows.into_iter().map(|(kind, code, text, at)| Ok(CameBack { kind, code, text, at: instant(at)? })).collect()
    }
}
