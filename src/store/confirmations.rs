//! Confirmations: who waits for one, how often a mailbox may get one, and whose link has been used.
//!
//! The limits hold over restarts and on every machine: a confirmation is claimed here before it is sent.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::subscribers::{SubscriberWith, UNSUPPRESSED, subscriber};
use super::{Store, StoreError, begin, instant, millis, on};
use crate::domain::feed::FeedName;
use crate::domain::limits::{CONFIRMATIONS_PER, next_confirmation};
use crate::domain::subscription::{ONE_CONFIRMATION_PER, Subscriber, SubscriberId};

/// Someone who waits for a confirmation mail.
#[derive(Debug, Clone)]
pub struct PendingConfirmation {
    /// The person.
    pub subscriber: Subscriber,
    /// The feeds asked for.
    pub feeds: Vec<FeedName>,
}

impl Store {
    /// Up to `limit` people who asked for something since their last confirmation was sent, if any was, and had none
    /// within the last day: one mail per address however often its form is posted. Whom a limit put off is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_confirmations(
        &self,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<PendingConfirmation>, StoreError> {
        let asking =
            "n.state = 'pending' AND (n.confirmation_sent_at IS NULL OR n.confirmation_sent_at < n.created_at)";
        let sql = format!(
            "SELECT s.id, s.address, s.name, s.language, s.time_zone, n.feed \
             FROM subscriptions n JOIN subscribers s ON s.id = n.subscriber WHERE {asking} AND n.subscriber IN \
             (SELECT DISTINCT n.subscriber FROM subscriptions n JOIN subscribers s ON s.id = n.subscriber \
              WHERE {asking} AND {UNSUPPRESSED} AND NOT EXISTS \
              (SELECT 1 FROM subscriptions o WHERE o.subscriber = n.subscriber AND o.confirmation_sent_at > $1) \
              AND NOT EXISTS (SELECT 1 FROM confirmation_waits w WHERE w.subscriber = n.subscriber AND w.put_off_until > $3) \
              AND NOT EXISTS (SELECT 1 FROM moves m WHERE m.address_hash = s.address_hash AND m.sent_at > $1) \
              ORDER BY n.subscriber LIMIT $2) ORDER BY n.subscriber, n.feed"
        );
        let not_since = millis(now - ONE_CONFIRMATION_PER);
        let rows: Vec<SubscriberWith<String>> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(not_since).bind(limit).bind(millis(now)).fetch_all(pool).await
        })?;
        let mut pending: Vec<PendingConfirmation> = vec![];
        for (key, address, name, language, zone, feed) in rows {
            let feed = FeedName::parse(&feed).ok_or_else(|| StoreError::Corrupt(format!("feed {feed}")))?;
            let subscriber = subscriber((key, address, name, language, zone))?;
            match pending.last_mut().filter(|last| last.subscriber.id == subscriber.id) {
                Some(last) => last.feeds.push(feed),
                None => pending.push(PendingConfirmation { subscriber, feeds: vec![feed] }),
            }
        }
        Ok(pending)
    }

    /// Claims the right to send someone a confirmation, by the keyed hash of their mailbox without its alias. Returns
    /// whether there is one; where a limit says no, they are put off until it says yes.
    ///
    /// # Errors
    /// When the database fails; then nothing is claimed.
    pub async fn claim_confirmation(
        &self,
        who: SubscriberId,
        alias_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let claimed = begin!(self.database, tx => {
            let claimed = sqlx::query(
                "INSERT INTO confirmations (alias_hash, last_at, second_at, third_at) VALUES ($1, $2, 0, 0) \
                 ON CONFLICT (alias_hash) DO UPDATE SET last_at = excluded.last_at, second_at = confirmations.last_at, \
                 third_at = confirmations.second_at WHERE confirmations.last_at <= $3 AND confirmations.third_at <= $4",
            )
            .bind(alias_hash).bind(millis(now)).bind(millis(now - ONE_CONFIRMATION_PER)).bind(millis(now - CONFIRMATIONS_PER))
            .execute(&mut *tx).await?.rows_affected();
            if claimed == 0 {
                let (last, third): (i64, i64) = sqlx::query_as("SELECT last_at, third_at FROM confirmations WHERE alias_hash = $1")
                    .bind(alias_hash).fetch_one(&mut *tx).await?;
                let until = next_confirmation(instant(last)?, instant(third)?);
                sqlx::query(
                    "INSERT INTO confirmation_waits (subscriber, put_off_until) VALUES ($1, $2) \
                     ON CONFLICT (subscriber) DO UPDATE SET put_off_until = excluded.put_off_until",
                )
                .bind(who.to_string()).bind(millis(until)).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            claimed > 0
        });
        Ok(claimed)
    }

    /// Gives back what was claimed at `claimed_at` and not sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_confirmation_back(&self, alias_hash: &str, claimed_at: DateTime<Utc>) -> Result<(), StoreError> {
        // What was the third last before is older than any limit: otherwise there had been no claim.
        let sql = "UPDATE confirmations SET last_at = second_at, second_at = third_at, third_at = 0 \
                   WHERE alias_hash = $1 AND last_at = $2";
        on!(self.database, pool => {
            sqlx::query(sql).bind(alias_hash).bind(millis(claimed_at)).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// Remembers that someone's confirmation was handed over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn confirmation_sent(&self, who: SubscriberId, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "UPDATE subscriptions SET confirmation_sent_at = $2 WHERE subscriber = $1 AND state = 'pending'";
        on!(self.database, pool => sqlx::query(sql).bind(who.to_string()).bind(millis(now)).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Whether someone used the link of a confirmation that was sent at `sent_at`, or of a later one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn confirmation_used(&self, who: SubscriberId, sent_at: DateTime<Utc>) -> Result<bool, StoreError> {
        let sql = "SELECT COUNT(*) FROM confirmation_waits WHERE subscriber = $1 AND used_at >= $2";
        let used: i64 = on!(self.database, pool => {
            sqlx::query_scalar(sql).bind(who.to_string()).bind(millis(sent_at)).fetch_one(pool).await
        })?;
        Ok(used > 0)
    }

    /// Remembers that someone used the link of a confirmation: it and all that were sent before are used up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn use_confirmation(&self, who: SubscriberId, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "INSERT INTO confirmation_waits (subscriber, used_at) VALUES ($1, $2) \
                   ON CONFLICT (subscriber) DO UPDATE SET used_at = excluded.used_at, put_off_until = NULL";
        on!(self.database, pool => sqlx::query(sql).bind(who.to_string()).bind(millis(now)).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Forgets confirmations that limit nothing any more, waits that are over, and used links that are older than `kept`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy_confirmations(&self, kept: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), StoreError> {
        begin!(self.database, tx => {
            sqlx::query("DELETE FROM confirmations WHERE last_at < $1").bind(millis(now - CONFIRMATIONS_PER)).execute(&mut *tx).await?;
            sqlx::query("DELETE FROM confirmation_waits WHERE COALESCE(used_at, 0) < $1 AND COALESCE(put_off_until, 0) < $2")
                .bind(millis(kept)).bind(millis(now)).execute(&mut *tx).await?;
            tx.commit().await?;
        });
        Ok(())
    }
}
