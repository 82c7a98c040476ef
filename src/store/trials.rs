//! Subjects on trial: who waits for the pick, and what became of each subject.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::digests::{COLUMNS, Columns, digest};
use super::{NEXT_REVISION, Store, StoreError, begin, id, millis, on};
use crate::domain::digest::{Digest, DigestId};
use crate::domain::subscription::SubscriberId;

/// When a delivery is due that waits for its subject to be picked: never, which is the end of the year 9999.
pub const WAITS_FOR_PICK: i64 = 253_402_300_799_000;

/// Deliveries looked at together.
pub(super) const PAGE: i64 = 5_000;

/// The readers of the digest `$1` after `$2`, in order.
pub(super) const READERS: &str =
    "SELECT subscriber FROM deliveries WHERE digest = $1 AND subscriber > $2 ORDER BY subscriber LIMIT $3";

/// Makes those due at once who are on trial, in the transaction that made the deliveries: the others wait.
macro_rules! begin_trial {
    ($store:expr, $tx:ident, $trial:expr, $digest:expr, $due_at:expr) => {{
        let due = format!(
            "UPDATE deliveries SET due_at = $2 WHERE digest = $1 AND subscriber IN {}",
            $store.database.list(3)
        );
        let mut after = String::new();
        loop {
            let page: Vec<String> = sqlx::query_scalar($crate::store::trials::READERS)
                .bind($digest.to_string())
                .bind(&after)
                .bind($crate::store::trials::PAGE)
                .fetch_all(&mut *$tx)
                .await?;
            let Some(last) = page.last() else { break };
            after.clone_from(last);
            let is_tried = |who: &&String| {
                let who = who.parse().map(SubscriberId);
                who.is_ok_and(|who| $trial.part($digest, who) != Part::Rest)
            };
            let tried: Vec<&String> = page.iter().filter(is_tried).collect();
            sqlx::query(AssertSqlSafe(due.clone()))
                .bind($digest.to_string())
                .bind($due_at)
                .bind(json(&tried))
                .execute(&mut *$tx)
                .await?;
        }
    }};
}
pub(super) use begin_trial;

impl Store {
    /// The digests that are being sent and whose subject is not picked yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn on_trial(&self) -> Result<Vec<Digest>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM digests WHERE state = 'sending' AND trial IS NOT NULL AND picked IS NULL");
        let rows: Vec<Columns> = on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await)?;
        rows.into_iter().map(digest).collect()
    }

    /// A trial goes on until then, unless that was settled before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn try_until(&self, which: DigestId, until: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "UPDATE digests SET trial_until = $2 WHERE id = $1 AND trial_until IS NULL";
        on!(self.database, pool => sqlx::query(sql).bind(which.to_string()).bind(millis(until)).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Whether somebody on trial has not been tried to be reached yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_trial_open(&self, which: DigestId) -> Result<bool, StoreError> {
        let sql =
            "SELECT COUNT(*) FROM deliveries WHERE digest = $1 AND state IN ('queued', 'claimed') AND due_at < $2";
        let open: i64 = on!(self.database, pool => {
            sqlx::query_scalar(sql).bind(which.to_string()).bind(WAITS_FOR_PICK).fetch_one(pool).await
        })?;
        Ok(open > 0)
    }

    /// How many wait for the pick.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_for_pick(&self, which: DigestId) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM deliveries WHERE digest = $1 AND state = 'queued' AND due_at = $2";
        let waiting: i64 = on!(self.database, pool => {
            sqlx::query_scalar(sql).bind(which.to_string()).bind(WAITS_FOR_PICK).fetch_one(pool).await
        })?;
        Ok(waiting.cast_unsigned())
    }

    /// Settles which subject those get who are not on trial, and makes them due. Returns whether this call did.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn pick(&self, which: DigestId, place: usize, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let pick = "UPDATE digests SET picked = $2, revision = $3 WHERE id = $1 AND trial IS NOT NULL AND picked IS NULL \
                    AND state NOT IN ('sent', 'cancelled')";
        let due = "UPDATE deliveries SET due_at = $2 WHERE digest = $1 AND state = 'queued' AND due_at = $3";
        let place = i64::try_from(place).unwrap_or(0);
        begin!(self.database, tx => {
            let revision: i64 = sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?;
            let picked = sqlx::query(pick).bind(which.to_string()).bind(place).bind(revision)
                .execute(&mut *tx).await?.rows_affected();
            if picked == 1 {
                sqlx::query(due).bind(which.to_string()).bind(millis(now)).bind(WAITS_FOR_PICK).execute(&mut *tx).await?;
                tx.commit().await?;
            }
            Ok(picked == 1)
        })
    }

    /// Calls `with` for each reader who was sent a digest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn each_sent(&self, which: DigestId, mut with: impl FnMut(SubscriberId)) -> Result<(), StoreError> {
        let sql = "SELECT subscriber FROM deliveries WHERE digest = $1 AND subscriber > $2 AND state = 'sent' \
                   ORDER BY subscriber LIMIT $3";
        let mut after = String::new();
        loop {
            let page: Vec<String> = on!(self.database, pool => {
                sqlx::query_scalar(sql).bind(which.to_string()).bind(&after).bind(PAGE).fetch_all(pool).await
            })?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(last);
            for who in page {
                with(SubscriberId(id(&who)?));
            }
        }
    }

    /// Who was lost by a digest: left since they were sent it, complained, or has a provider that refused its content.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lost_by(&self, which: DigestId) -> Result<Vec<SubscriberId>, StoreError> {
        let sql = "SELECT r.subscriber FROM reports r WHERE r.digest = $1 AND r.subscriber IS NOT NULL \
                   AND r.kind IN ('complaint', 'content_bounce', 'leave') \
                   UNION SELECT n.subscriber FROM digests g CROSS JOIN subscriptions n CROSS JOIN deliveries d WHERE g.id = $1 \
                   AND n.feed = g.newsletter AND n.state = 'ended' AND d.digest = g.id AND d.subscriber = n.subscriber \
                   AND d.state = 'sent' AND n.ended_at >= d.settled_at";
        let rows: Vec<String> =
            on!(self.database, pool => sqlx::query_scalar(sql).bind(which.to_string()).fetch_all(pool).await)?;
        rows.iter().map(|who| Ok(SubscriberId(id(who)?))).collect()
    }
}
