//! Deliveries: a row per reader, claimed with a lease before the network is touched, settled under a fence.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, QueryBuilder};

use super::{Store, StoreError, begin, id, instant, millis, on};
use crate::domain::address::EmailAddress;
use crate::domain::delivery::DeliveryState;
use crate::domain::digest::DigestId;
use crate::domain::subscription::SubscriberId;

const ROWS_PER_STATEMENT: usize = 200;

/// A delivery in the hands of this worker.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Of which digest.
    pub digest: DigestId,
    /// To whom.
    pub subscriber: SubscriberId,
    /// Where to.
    pub address: EmailAddress,
    /// What to call them.
    pub name: Option<String>,
    /// Their cursor before this digest: they get what was released after it.
    pub cursor_from: i64,
    /// Attempts made before this one.
    pub attempts: u32,
    /// When the first of them was.
    pub first_attempt_at: Option<DateTime<Utc>>,
    /// Whether the reader left or was suppressed since it was queued: nothing must be sent.
    pub is_unwanted: bool,
}

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
    /// Whether the relay was tried at all.
    pub attempted: bool,
    /// The relay's verdict in words.
    pub outcome: String,
}

impl Store {
    /// Claims up to `limit` deliveries that are due, for the worker that holds `claim`, until `lease_until`.
    ///
    /// A delivery whose worker died becomes due again when its lease ends. One whose reader left or was suppressed
    /// meanwhile says so; one whose reader was removed is gone. Only digests that are sending are looked at.
    ///
    /// # Errors
    /// When the database fails; then none is claimed.
    pub async fn claim(
        &self,
        claim: &str,
        lease_until: DateTime<Utc>,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claimed>, StoreError> {
        let sql = format!(
            "UPDATE deliveries SET state = 'claimed', claim = $1, due_at = $2 WHERE (digest, subscriber) IN \
             (SELECT d.digest, d.subscriber FROM deliveries d JOIN digests g ON g.id = d.digest \
              WHERE d.state IN ('queued', 'deferred', 'claimed') AND d.due_at <= $3 AND g.state = 'sending' \
              ORDER BY d.due_at LIMIT $4 {}) \
             RETURNING digest, subscriber, cursor_from, attempts, first_attempt_at",
            match self.database.skip_locked() {
                "" => "",
                _ => "FOR UPDATE OF d SKIP LOCKED",
            }
        );
        type Row = (String, String, i64, i64, Option<i64>);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<Row> = begin!(self.database, tx => {
            let rows = sqlx::query_as(AssertSqlSafe(sql))
                .bind(claim).bind(millis(lease_until)).bind(millis(now)).bind(limit)
                .fetch_all(&mut *tx).await?;
            tx.commit().await?;
            rows
        });
        if rows.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<&str> = rows.iter().map(|row| row.1.as_str()).collect();
        // Leaving and suppression skip only what nobody holds, so what a dead worker held is looked at here.
        let people = format!(
            "SELECT d.digest, s.id, s.address, s.name, CASE WHEN EXISTS (SELECT 1 FROM subscriptions n \
             WHERE n.subscriber = s.id AND n.feed = g.newsletter AND n.state IN ('active', 'paused')) \
             AND NOT EXISTS (SELECT 1 FROM suppressions p WHERE p.address_hash = s.address_hash) THEN 0 ELSE 1 END \
             FROM deliveries d JOIN digests g ON g.id = d.digest JOIN subscribers s ON s.id = d.subscriber \
             WHERE d.claim = $2 AND d.state = 'claimed' AND d.subscriber IN {}",
            self.database.list(1)
        );
        type Person = (String, String, String, Option<String>, i32);
        let people: Vec<Person> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(people))
                .bind(serde_json::to_string(&ids).unwrap_or_default()).bind(claim)
                .fetch_all(pool).await
        })?;
        let mut people: HashMap<_, _> = people
            .into_iter()
            .map(|(digest, id, address, name, unwanted)| ((digest, id), (address, name, unwanted == 1)))
            .collect();
        rows.into_iter()
            .filter_map(|(digest, who, cursor_from, attempts, first)| {
                let key = (digest, who);
                let person = people.remove(&key)?;
                Some((key, cursor_from, attempts, first, person))
            })
            .map(|((digest, who), cursor_from, attempts, first, (address, name, is_unwanted))| {
                Ok(Claimed {
                    digest: DigestId(id(&digest)?),
                    subscriber: SubscriberId(id(&who)?),
                    address: EmailAddress::parse(&address)
                        .map_err(|_| StoreError::Corrupt(format!("the address of subscriber {who}")))?,
                    name,
                    cursor_from,
                    attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                    first_attempt_at: first.map(instant).transpose()?,
                    is_unwanted,
                })
            })
            .collect()
    }

    /// Records outcomes, in one commit. A delivery that this worker no longer holds is left alone; returns how many
    /// were recorded.
    ///
    /// # Errors
    /// When the database fails; then none is recorded.
    pub async fn settle(&self, claim: &str, settled: &[Settled], now: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut recorded = 0;
        begin!(self.database, tx => {
            for rows in settled.chunks(ROWS_PER_STATEMENT) {
                let mut update = QueryBuilder::new("WITH v (digest, subscriber, state, due_at, settled_at, attempted, outcome) AS (");
                update.push_values(rows, |mut values, row| {
                    let open = !row.state.is_final();
                    values
                        .push_bind(row.digest.to_string())
                        .push_bind(row.subscriber.to_string())
                        .push_bind(row.state.as_str().to_owned())
                        .push_bind(millis(row.at))
                        .push_bind((!open).then(|| millis(row.at)))
                        .push_bind(i64::from(row.attempted))
                        .push_bind(row.outcome.clone());
                });
                update
                    .push(") UPDATE deliveries SET state = v.state, due_at = v.due_at, settled_at = v.settled_at, claim = NULL, \
                           outcome = v.outcome, attempts = deliveries.attempts + v.attempted, \
                           first_attempt_at = COALESCE(deliveries.first_attempt_at, CASE WHEN v.attempted = 1 THEN CAST(")
                    .push_bind(millis(now))
                    .push(" AS BIGINT) END) FROM v WHERE deliveries.digest = v.digest AND deliveries.subscriber = v.subscriber \
                           AND deliveries.claim = ")
                    .push_bind(claim.to_owned());
                recorded += update.build().persistent(rows.len() == ROWS_PER_STATEMENT).execute(&mut *tx).await?.rows_affected();
            }
            tx.commit().await?;
        });
        Ok(recorded)
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

    /// When the next delivery is due, if one waits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let sql = "SELECT MIN(d.due_at) FROM deliveries d JOIN digests g ON g.id = d.digest \
                   WHERE d.state IN ('queued', 'deferred', 'claimed') AND g.state = 'sending'";
        let next: Option<i64> = on!(self.database, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?;
        next.map(instant).transpose()
    }

    /// Marks as skipped what is due to someone who left or whose address is suppressed. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn skip_unwanted(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let sql = "UPDATE deliveries SET state = 'skipped', settled_at = $1, outcome = 'suppressed' \
                   WHERE state IN ('queued', 'deferred') AND subscriber IN (SELECT s.id FROM subscribers s \
                   JOIN suppressions p ON p.address_hash = s.address_hash)";
        Ok(
            on!(self.database, pool => sqlx::query(sql).bind(millis(now)).execute(pool).await.map(|done| done.rows_affected()))?,
        )
    }
}
