//! Deliveries: a row per reader, claimed with a lease before the network is touched, settled under a fence.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::digests::UNDER_WAY;
use super::subscribers::{UNSUPPRESSED, WHOSE_BAN, address_of};
use super::{Store, StoreError, id, instant, json, ledger, millis, on};
use crate::domain::address::EmailAddress;
use crate::domain::article::ArticleId;
use crate::domain::attributes::Attributes;
use crate::domain::delivery::{Attempt, DeliveryState};
use crate::domain::digest::DigestId;
use crate::domain::feed::FeedName;
use crate::domain::subscription::SubscriberId;

/// What waits for its outcome; the words are those of the index `deliveries_open`.
pub(super) const OPEN: &str = "d.settled_at IS NULL";

/// What waits and is due at `$2` for whoever holds the claim `$1`: nobody has it in hand, or somebody whose lease is over.
const DUE: &str =
    "d.settled_at IS NULL AND d.due_at <= $2 AND (d.claim IS NULL OR (d.lease_until <= $2 AND d.claim <> $1))";

/// A delivery in the hands of this worker.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Of which digest.
    pub digest: DigestId,
    /// Of which newsletter; none if its name is none any more.
    pub newsletter: Option<FeedName>,
    /// To whom.
    pub subscriber: SubscriberId,
    /// Where to.
    pub address: EmailAddress,
    /// What to call them.
    pub name: Option<String>,
    /// Language tag, if it is not the publication's.
    pub language: Option<String>,
    /// Their cursor before this digest: they get what was released after it.
    pub cursor_from: i64,
    /// Attempts made before this one.
    pub attempts: u32,
    /// When the first of them was.
    pub first_attempt_at: Option<DateTime<Utc>>,
    /// Articles of it that an instant digest brought them before, in order; see [`Store::mark_alerted`].
    pub alerted: Vec<ArticleId>,
    /// What else is known of the reader, where the template asks; see [`Store::attributes_of`].
    pub attributes: Attributes,
}

/// A claimed row as it stands, with the newsletter of its digest.
struct ClaimedRow {
    digest: String,
    subscriber: String,
    cursor_from: i64,
    attempts: i64,
    first_attempt_at: Option<i64>,
    newsletter: String,
}

/// Address, name and language.
type Person = (String, Option<String>, Option<String>);

/// The same after subscriber and newsletter.
type PersonRow = (String, String, String, Option<String>, Option<String>);

/// Those who still want what they are about to get, by subscriber and newsletter.
type Wanted<'a> = HashMap<(&'a str, &'a str), Person>;

/// What became of a claimed delivery.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Of which digest.
    pub digest: DigestId,
    /// To whom.
    pub subscriber: SubscriberId,
    /// Where it stands now: settled, or put off until `due_at`.
    pub state: DeliveryState,
    /// When to try again, for what was put off; otherwise when it was settled.
    pub at: DateTime<Utc>,
    /// The attempt, if a relay was tried at all.
    pub attempt: Option<Attempt>,
    /// Whether it counts: not where it was a fault of ours that halted the digest.
    pub counts: bool,
    /// Why it was not sent, in words; for what was sent the attempt says it all.
    pub outcome: Option<String>,
}

/// An outcome as a row for [`Store::settle`]; its attempt is a line of the log.
pub(super) fn values(row: &Settled) -> impl serde::Serialize + use<'_> {
    let settled_at = row.state.is_final().then(|| millis(row.at));
    let entry = row.attempt.as_ref().map(|attempt| json(attempt) + "\n");
    let (digest, subscriber) = (row.digest.to_string(), row.subscriber.to_string());
    (
        digest,
        subscriber,
        row.state.as_str(),
        millis(row.at),
        settled_at,
        row.outcome.as_deref(),
        entry,
        u8::from(row.counts),
    )
}

fn day(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(24 * 3600)
}

impl Store {
    /// Claims up to `limit` deliveries that are due, for the worker that holds `claim`, until `lease_until`.
    ///
    /// A delivery whose worker died becomes due again when its lease ends; a worker is never given again what it still
    /// holds. What a reader left, and an address that was suppressed meanwhile, is skipped here, the last moment before
    /// it would go out. Only digests that are sending are looked at. Nothing is returned only where nothing is due.
    ///
    /// # Errors
    /// When the database fails; then what was claimed waits for the end of its lease.
    pub async fn claim(
        &self,
        claim: &str,
        lease_until: DateTime<Utc>,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claimed>, StoreError> {
        loop {
            let rows = self.claim_rows(claim, lease_until, limit, now).await?;
            let wanted = self.wanted(&rows).await?;
            let (mut claimed, mut unwanted) = (vec![], vec![]);
            for row in &rows {
                let (digest, subscriber) = (DigestId(id(&row.digest)?), SubscriberId(id(&row.subscriber)?));
                let person = wanted.get(&(row.subscriber.as_str(), row.newsletter.as_str()));
                let Some((address, name, language)) = person else {
                    let outcome = Some("left or suppressed".to_owned());
                    let state = DeliveryState::Skipped;
                    unwanted.push(Settled {
                        digest,
                        subscriber,
                        state,
                        at: now,
                        attempt: None,
                        counts: false,
                        outcome,
                    });
                    continue;
                };
                let Ok(address) = address_of(address, &row.subscriber) else {
                    // One row that cannot be read stops nobody else.
                    let outcome = Some("the address cannot be read".to_owned());
                    let state = DeliveryState::Failed;
                    unwanted.push(Settled {
                        digest,
                        subscriber,
                        state,
                        at: now,
                        attempt: None,
                        counts: false,
                        outcome,
                    });
                    continue;
                };
                claimed.push(Claimed {
                    digest,
                    newsletter: FeedName::parse(&row.newsletter),
                    subscriber,
                    address,
                    name: name.clone(),
                    language: language.clone(),
                    cursor_from: row.cursor_from,
                    attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
                    first_attempt_at: row.first_attempt_at.map(instant).transpose()?,
                    alerted: vec![],
                    attributes: Attributes::default(),
                });
            }
            self.settle(claim, &unwanted, now).await?;
            if !claimed.is_empty() || rows.is_empty() {
                return Ok(claimed);
            }
        }
    }

    /// The claim itself, from the oldest digest to the newest.
    async fn claim_rows(
        &self,
        claim: &str,
        lease_until: DateTime<Utc>,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<ClaimedRow>, StoreError> {
        // No ORDER BY: it would sort everything that is due for the sake of a few. The index yields each digest's
        // deliveries in the order in which they are due.
        let sql = format!(
            "WITH due AS MATERIALIZED (SELECT d.digest, d.subscriber FROM digests g CROSS JOIN deliveries d \
              WHERE g.state = 'sending' AND d.digest = g.id AND {DUE} LIMIT $4 {}) \
             UPDATE deliveries SET state = 'claimed', claim = $1, lease_until = $3 FROM due \
             WHERE deliveries.digest = due.digest AND deliveries.subscriber = due.subscriber \
             RETURNING deliveries.digest, deliveries.subscriber, cursor_from, attempts, \
             first_attempt_at, (SELECT g.newsletter FROM digests g WHERE g.id = deliveries.digest)",
            self.database.skip_locked()
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<(String, String, i64, i64, Option<i64>, String)> =
            self.database.claims(&sql, claim, [millis(now), millis(lease_until), limit]).await?;
        let row = |(digest, subscriber, cursor_from, attempts, first_attempt_at, newsletter)| ClaimedRow {
            digest,
            subscriber,
            cursor_from,
            attempts,
            first_attempt_at,
            newsletter,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Address, name and language of those who still want what they are about to get, by subscriber and newsletter.
    async fn wanted<'a>(&self, rows: &'a [ClaimedRow]) -> Result<Wanted<'a>, StoreError> {
        if rows.is_empty() {
            return Ok(Wanted::new());
        }
        let sql = format!(
            "SELECT n.subscriber, n.feed, s.address, s.name, s.language FROM subscriptions n JOIN subscribers s ON s.id = n.subscriber \
             WHERE n.subscriber IN {} AND n.state IN ('active', 'paused') AND {UNSUPPRESSED}",
            self.database.list(1)
        );
        let ids = json(&rows.iter().map(|row| &row.subscriber).collect::<Vec<_>>());
        let found: Vec<PersonRow> =
            ledger!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(ids).fetch_all(pool).await)?;
        let person = |(who, feed, address, name, language): PersonRow| ((who, feed), (address, name, language));
        let mut found: HashMap<(String, String), Person> = found.into_iter().map(person).collect();
        Ok(rows
            .iter()
            .filter_map(|row| {
                let person = found.remove(&(row.subscriber.clone(), row.newsletter.clone()))?;
                Some(((row.subscriber.as_str(), row.newsletter.as_str()), person))
            })
            .collect())
    }

    /// Records outcomes, in one commit. A delivery that this worker no longer holds is left alone; returns how many
    /// were recorded.
    ///
    /// # Errors
    /// When the database fails; then none is recorded.
    pub async fn settle(&self, claim: &str, settled: &[Settled], now: DateTime<Utc>) -> Result<u64, StoreError> {
        if settled.is_empty() {
            return Ok(0);
        }
        self.enter(claim, json(&settled.iter().map(values).collect::<Vec<_>>()), now).await
    }

    /// The same for a list of [`values`].
    pub(super) async fn enter(&self, claim: &str, rows: String, now: DateTime<Utc>) -> Result<u64, StoreError> {
        const COLUMNS: [(&str, &str); 8] = [
            ("digest", "TEXT"),
            ("subscriber", "TEXT"),
            ("state", "TEXT"),
            ("at", "BIGINT"),
            ("settled_at", "BIGINT"),
            ("outcome", "TEXT"),
            ("entry", "TEXT"),
            ("counts", "BIGINT"),
        ];
        // One statement, so that a commit costs one way to the database and back.
        let sql = format!(
            "UPDATE deliveries SET state = v.state, due_at = v.at, settled_at = v.settled_at, claim = NULL, lease_until = NULL, outcome = v.outcome, \
             log = CASE WHEN v.entry IS NULL THEN deliveries.log ELSE COALESCE(deliveries.log, '') || v.entry END, \
             attempts = deliveries.attempts + v.counts, \
             first_attempt_at = COALESCE(deliveries.first_attempt_at, CASE WHEN v.counts = 1 THEN $3 END) \
             FROM {} AS v WHERE deliveries.digest = v.digest AND deliveries.subscriber = v.subscriber AND deliveries.claim = $2",
            self.database.rows(1, &COLUMNS)
        );
        Ok(ledger!(self.database, pool => {
            sqlx::query(AssertSqlSafe(sql)).bind(rows).bind(claim).bind(millis(now)).execute(pool).await.map(|done| done.rows_affected())
        })?)
    }

    /// Counts what a relay accepted on the day of `now` (UTC).
    ///
    /// # Errors
    /// When the database fails; then it is not counted.
    pub async fn count_accepted(&self, relay: &str, accepted: u64, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "INSERT INTO relay_days (relay, day, accepted) VALUES ($1, $2, $3) \
                   ON CONFLICT (relay, day) DO UPDATE SET accepted = relay_days.accepted + excluded.accepted";
        let accepted = accepted.cast_signed();
        on!(self.database, pool => sqlx::query(sql).bind(relay).bind(day(now)).bind(accepted).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// How many messages a relay accepted on the day of `now` (UTC), from every process that sends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accepted_today(&self, relay: &str, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let sql = "SELECT accepted FROM relay_days WHERE relay = $1 AND day = $2";
        let accepted: Option<i64> =
            on!(self.database, pool => sqlx::query_scalar(sql).bind(relay).bind(day(now)).fetch_optional(pool).await)?;
        Ok(accepted.unwrap_or(0).cast_unsigned())
    }

    /// Every attempt to deliver a digest to someone, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attempts(&self, digest: DigestId, subscriber: SubscriberId) -> Result<Vec<Attempt>, StoreError> {
        let sql = "SELECT COALESCE(log, '') FROM deliveries WHERE digest = $1 AND subscriber = $2";
        let log: Option<String> = on!(self.database, pool => {
            sqlx::query_scalar(sql).bind(digest.to_string()).bind(subscriber.to_string()).fetch_optional(pool).await
        })?;
        let corrupt = |_| StoreError::Corrupt("the log of a delivery".into());
        log.unwrap_or_default().lines().map(|line| serde_json::from_str(line).map_err(corrupt)).collect()
    }

    /// What was said of a digest's deliveries that were not sent: state, outcome, how many; the most frequent first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outcomes(&self, digest: DigestId, limit: i64) -> Result<Vec<(String, String, i64)>, StoreError> {
        let sql = "SELECT state, COALESCE(outcome, ''), COUNT(*) AS n FROM deliveries WHERE digest = $1 AND state <> 'sent' \
                   AND outcome IS NOT NULL GROUP BY state, outcome ORDER BY n DESC, state, outcome LIMIT $2";
        Ok(on!(self.database, pool => sqlx::query_as(sql).bind(digest.to_string()).bind(limit).fetch_all(pool).await)?)
    }

    /// Whether a delivery is due that nobody has in hand.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_anything_due(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 AS one FROM digests g CROSS JOIN deliveries d \
             WHERE g.state = 'sending' AND d.digest = g.id AND {DUE} LIMIT 1) AS due"
        );
        let due: i64 = on!(self.database, pool => {
            sqlx::query_scalar(AssertSqlSafe(sql)).bind("").bind(millis(now)).fetch_one(pool).await
        })?;
        Ok(due > 0)
    }

    /// Marks as skipped what waits for someone whose address is suppressed. Returns how many.
    ///
    /// [`Self::claim`] does that too, one by one; this tells the editor at once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn skip_unwanted(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let sql = format!(
            "UPDATE deliveries SET state = 'skipped', settled_at = $1, outcome = 'suppressed' \
             WHERE digest IN (SELECT id FROM digests WHERE state IN {UNDER_WAY}) AND subscriber IN \
             (SELECT s.id FROM suppressions p CROSS JOIN subscribers s WHERE {WHOSE_BAN}) AND state IN ('queued', 'deferred')"
        );
        Ok(
            on!(self.database, pool => sqlx::query(AssertSqlSafe(sql)).bind(millis(now)).execute(pool).await.map(|done| done.rows_affected()))?,
        )
    }
}
