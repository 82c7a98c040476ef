//! The processes that send: each shows that it is alive by a beat, and a dead one's claims pass on.
//!
//! Only whether a beat moves is looked at, by each observer's own steady clock: wall clocks may differ or jump.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::deliveries::OPEN;
use super::{Book, Store, StoreError, begin, id, instant, json, millis, on};
use crate::domain::digest::DigestId;

/// A process that sends, or sent until it died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The name of its claims.
    pub claim: String,
    /// The machine.
    pub host: String,
    /// The process on it.
    pub pid: u32,
    /// Moves while it is alive.
    pub beat: i64,
    /// Since when.
    pub started_at: DateTime<Utc>,
}

impl Store {
    /// Makes a sender known, before its first claim, with what those noted who ended before it. Returns its book, where
    /// this store has such.
    ///
    /// # Errors
    /// When the database fails, or what others noted cannot be read.
    pub async fn begin_sender(&self, sender: &Sender) -> Result<Option<Book>, StoreError> {
        self.enter_books(sender.started_at).await?;
        let sql = "INSERT INTO senders (claim, host, pid, beat, started_at) VALUES ($1, $2, $3, $4, $5)";
        on!(self.database, pool => {
            sqlx::query(sql)
                .bind(&sender.claim).bind(&sender.host).bind(i64::from(sender.pid)).bind(sender.beat).bind(millis(sender.started_at))
                .execute(pool).await.map(drop)
        })?;
        Ok(self.open_book(&sender.claim))
    }

    /// Shows that a sender is alive. Returns whether it still counts as such: where not, its claims were passed on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn beat(&self, claim: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE senders SET beat = beat + 1 WHERE claim = $1";
        let done = on!(self.database, pool => sqlx::query(sql).bind(claim).execute(pool).await.map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }

    /// A sender ends by itself, with nothing in its hands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_sender(&self, claim: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM senders WHERE claim = $1";
        on!(self.database, pool => sqlx::query(sql).bind(claim).execute(pool).await.map(drop))?;
        self.drop_book(claim);
        Ok(())
    }

    /// All senders.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn senders(&self) -> Result<Vec<Sender>, StoreError> {
        let sql = "SELECT claim, host, pid, beat, started_at FROM senders ORDER BY claim";
        let rows: Vec<(String, String, i64, i64, i64)> =
            on!(self.database, pool => sqlx::query_as(sql).fetch_all(pool).await)?;
        let sender = |(claim, host, pid, beat, started_at): (String, String, i64, i64, i64)| {
            let pid = u32::try_from(pid).unwrap_or(0);
            Ok(Sender { claim, host, pid, beat, started_at: instant(started_at)? })
        };
        rows.into_iter().map(sender).collect()
    }

    /// Passes on what a sender that died had in hand: due at once. Returns how many deliveries that were; `None` where it
    /// has moved since it was looked at, or somebody else was faster.
    ///
    /// # Errors
    /// When the database fails, or what the sender noted cannot be read; then nothing was passed on.
    pub async fn take_over(&self, sender: &Sender, now: DateTime<Utc>) -> Result<Option<u64>, StoreError> {
        let sql = format!(
            "UPDATE deliveries AS d SET state = CASE WHEN attempts > 0 THEN 'deferred' ELSE 'queued' END, due_at = $2, claim = NULL, lease_until = NULL \
             WHERE digest IN (SELECT id FROM digests WHERE state <> 'sent') AND {OPEN} AND state = 'claimed' AND claim = $1"
        );
        self.enter_book(&sender.claim, now).await?;
        let passed_on = begin!(self.database, tx => {
            let gone = sqlx::query("DELETE FROM senders WHERE claim = $1 AND beat = $2")
                .bind(&sender.claim).bind(sender.beat).execute(&mut *tx).await?.rows_affected();
            if gone == 0 {
                return Ok(None);
            }
            let passed_on = sqlx::query(AssertSqlSafe(sql)).bind(&sender.claim).bind(millis(now)).execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            passed_on
        });
        self.drop_book(&sender.claim);
        Ok(Some(passed_on))
    }

    /// Whether deliveries of digests that are being sent are in anybody's hands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_anything_claimed(&self) -> Result<bool, StoreError> {
        let sql = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM digests g CROSS JOIN deliveries d WHERE g.state = 'sending' \
                   AND d.digest = g.id AND d.settled_at IS NULL AND d.claim IS NOT NULL LIMIT 1) AS claimed";
        let found: i64 = on!(self.database, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?;
        Ok(found > 0)
    }

    /// Which of these digests are not being sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn not_sending(&self, digests: &[DigestId]) -> Result<Vec<DigestId>, StoreError> {
        let sql = format!("SELECT id FROM digests WHERE state <> 'sending' AND id IN {}", self.database.list(1));
        let ids = json(&digests.iter().map(ToString::to_string).collect::<Vec<_>>());
        let found: Vec<String> =
            on!(self.database, pool => sqlx::query_scalar(AssertSqlSafe(sql)).bind(ids).fetch_all(pool).await)?;
        found.iter().map(|digest| Ok(DigestId(id(digest)?))).collect()
    }

    /// Ends a digest that is not sent yet, and leaves those out who did not get it: see [`Self::leave_out`]. Returns how
    /// many they are; `None` where the digest is sent or cancelled already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cancel_digest(&self, digest: DigestId, now: DateTime<Utc>) -> Result<Option<u64>, StoreError> {
        let sql = "UPDATE digests SET state = 'cancelled', finished_at = $2, revision = $3 \
                   WHERE id = $1 AND state NOT IN ('sent', 'cancelled')";
        let moved = begin!(self.database, tx => {
            let revision: i64 = sqlx::query_scalar(super::NEXT_REVISION).fetch_one(&mut *tx).await?;
            let moved = sqlx::query(sql).bind(digest.to_string()).bind(millis(now)).bind(revision)
                .execute(&mut *tx).await?.rows_affected();
            if moved == 1 {
                tx.commit().await?;
            }
            moved
        });
        if moved == 0 { Ok(None) } else { self.leave_out(digest, now).await.map(Some) }
    }

    /// The cancelled digests that somebody still waits for: see [`Self::leave_out`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cancelled_with_waiting(&self) -> Result<Vec<DigestId>, StoreError> {
        let sql = format!(
            "SELECT g.id FROM digests g WHERE g.state = 'cancelled' AND EXISTS \
             (SELECT 1 FROM deliveries d WHERE d.digest = g.id AND {OPEN} AND d.state <> 'claimed')"
        );
        let rows: Vec<String> =
            on!(self.database, pool => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(pool).await)?;
        rows.iter().map(|digest| Ok(DigestId(id(digest)?))).collect()
    }

    /// Skips whoever still waits for a digest that was cancelled, and gives them their cursors back, so that the next
    /// digest brings them its articles. What a sender has in hand it puts back first. Returns how many were left out.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn leave_out(&self, digest: DigestId, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let key = digest.to_string();
        begin!(self.database, tx => {
            sqlx::query(super::HOLD_RELEASES).execute(&mut *tx).await?;
            let left_out = sqlx::query(
                "UPDATE deliveries SET state = 'skipped', settled_at = $2, outcome = 'cancelled' \
                 WHERE digest = $1 AND state IN ('queued', 'deferred') \
                 AND EXISTS (SELECT 1 FROM digests g WHERE g.id = $1 AND g.state = 'cancelled')",
            )
            .bind(&key).bind(millis(now)).execute(&mut *tx).await?.rows_affected();
            // Where a later digest has moved the cursor on, or this one brought everyone the latest, nothing is given back.
            sqlx::query(
                "UPDATE subscriptions SET cursor = d.cursor_from FROM deliveries d, digests g \
                 WHERE g.id = $1 AND g.state = 'cancelled' AND d.digest = g.id AND d.state = 'skipped' \
                 AND d.outcome = 'cancelled' AND d.settled_at = $2 AND d.cursor_from >= 0 \
                 AND subscriptions.subscriber = d.subscriber AND subscriptions.feed = g.newsletter \
                 AND subscriptions.cursor = g.cut_off",
            )
            .bind(&key).bind(millis(now)).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(left_out)
        })
    }
}
