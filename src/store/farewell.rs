//! Forgetting people: whom an editor erases, who asked but never confirmed, and who has got no mail for so long that nothing
//! of them is needed.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::subscribers::WHOSE_BAN;
use super::{Store, StoreError, begin, json, millis, on};
use crate::domain::subscription::SubscriberId;

/// What was asked for before `$1` and neither confirmed nor asked to be confirmed since.
const UNCONFIRMED: &str =
    "state = 'pending' AND created_at < $1 AND (confirmation_sent_at IS NULL OR confirmation_sent_at < $1)";

/// The digests of which the subscriber `$1` may have a delivery: those since they came, and of the 31 days before, lest a
/// clock was put back.
const THEIRS: &str =
    "(SELECT g.id FROM subscribers s, digests g WHERE s.id = $1 AND g.created_at > s.created_at - 2678400000)";

/// Why nothing of somebody is needed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// They left all that they had subscribed to.
    Ended,
    /// Their address was given up.
    Bounced,
}

impl Departure {
    /// Subscribers `s` who departed so before `$1`.
    fn who(self) -> String {
        match self {
            Self::Ended => "FROM (SELECT DISTINCT n.subscriber FROM subscriptions n WHERE n.state = 'ended' AND n.ended_at < $1) AS g \
                 CROSS JOIN subscribers s WHERE s.id = g.subscriber AND NOT EXISTS (SELECT 1 FROM subscriptions o \
                 WHERE o.subscriber = g.subscriber AND (o.state <> 'ended' OR COALESCE(o.ended_at, $1) >= $1))"
                .to_owned(),
            Self::Bounced => format!(
                "FROM suppressions p CROSS JOIN subscribers s WHERE p.cause IN ('bounced', 'refused') \
                 AND p.created_at < $1 AND {WHOSE_BAN}"
            ),
        }
    }
}

impl Store {
    /// Removes a person with everything that belongs to them. Returns whether there was one.
    ///
    /// The figures of digests stay: deliveries that have an outcome, and reports, are nobody's from then on.
    ///
    /// # Errors
    /// When the database fails; then nothing is removed.
    pub async fn remove_subscriber(&self, who: SubscriberId) -> Result<bool, StoreError> {
        let sql = "SELECT address_hash FROM subscribers WHERE id = $1";
        let hash: Option<String> =
            on!(self.database, pool => sqlx::query_scalar(sql).bind(who.to_string()).fetch_optional(pool).await)?;
        match hash {
            Some(hash) => self.forget(&hash).await,
            None => Ok(false),
        }
    }

    /// The same for whoever has, or had, this address: reports outlive a person.
    ///
    /// # Errors
    /// When the database fails; then nothing is removed.
    pub async fn forget(&self, address_hash: &str) -> Result<bool, StoreError> {
        Ok(self.forget_all(&[address_hash.to_owned()]).await? > 0)
    }

    async fn forget_all(&self, address_hashes: &[String]) -> Result<u64, StoreError> {
        // An id that is nobody's, and says nothing of when.
        let nobody = SubscriberId::new(DateTime::UNIX_EPOCH).to_string();
        let removed = begin!(self.database, tx => {
            let mut removed = 0;
            for address_hash in address_hashes {
                let who: Option<String> = sqlx::query_scalar("SELECT id FROM subscribers WHERE substr(address_hash, 1, 8) = substr($1, 1, 8) AND address_hash = $1")
                    .bind(address_hash).fetch_optional(&mut *tx).await?;
                // A relay's words may name the address; the ban itself stays, under a keyed hash.
                sqlx::query("UPDATE suppressions SET detail = NULL WHERE address_hash = $1").bind(address_hash).execute(&mut *tx).await?;
                sqlx::query("DELETE FROM moves WHERE address_hash = $1").bind(address_hash).execute(&mut *tx).await?;
                sqlx::query("UPDATE reports SET subscriber = NULL, text = '', address_hash = $2 WHERE address_hash = $1 OR subscriber = $3")
                    .bind(address_hash).bind(&nobody).bind(who.as_deref().unwrap_or_default()).execute(&mut *tx).await?;
                if let Some(who) = &who {
                    sqlx::query(AssertSqlSafe(format!("DELETE FROM deliveries WHERE subscriber = $1 AND digest IN {THEIRS} AND settled_at IS NULL")))
                        .bind(who).execute(&mut *tx).await?;
                    sqlx::query(AssertSqlSafe(format!("UPDATE deliveries SET subscriber = $2, claim = NULL, outcome = NULL, log = NULL WHERE subscriber = $1 AND digest IN {THEIRS}")))
                        .bind(who).bind(&nobody).execute(&mut *tx).await?;
                    // Why somebody left is counted, in nobody's words.
                    sqlx::query("UPDATE reasons SET subscriber = $2, words = '' WHERE subscriber = $1")
                        .bind(who).bind(&nobody).execute(&mut *tx).await?;
                    for sql in [
                        "DELETE FROM confirmation_waits WHERE subscriber = $1",
                        "DELETE FROM consents WHERE subscriber = $1",
                        "DELETE FROM moves WHERE subscriber = $1",
                        "DELETE FROM welcomes WHERE subscriber = $1",
                        "DELETE FROM subscriptions WHERE subscriber = $1",
                        "DELETE FROM subscribers WHERE id = $1",
                    ] {
                        sqlx::query(sql).bind(who).execute(&mut *tx).await?;
                    }
                    removed += 1;
                }
            }
            tx.commit().await?;
            removed
        });
        Ok(removed)
    }

    /// How many people departed so before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn departed(&self, how: Departure, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let sql = format!("SELECT COUNT(*) {}", how.who());
        let number: i64 = on!(self.database, pool => {
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(millis(before)).fetch_one(pool).await
        })?;
        Ok(number.unsigned_abs())
    }

    /// Removes them as [`Self::forget`] does, some at a time. Returns how many.
    ///
    /// # Errors
    /// When the database fails; then some may be removed.
    pub async fn forget_departed(&self, how: Departure, before: DateTime<Utc>) -> Result<u64, StoreError> {
        const AT_A_TIME: i64 = 200;
        let sql = format!("SELECT s.address_hash {} LIMIT $2", how.who());
        let mut removed = 0;
        loop {
            let page: Vec<String> = on!(self.database, pool => {
                sqlx::query_scalar(AssertSqlSafe(sql.clone())).bind(millis(before)).bind(AT_A_TIME).fetch_all(pool).await
            })?;
            let gone = if page.is_empty() { 0 } else { self.forget_all(&page).await? };
            removed += gone;
            if gone == 0 {
                return Ok(removed);
            }
        }
    }

    /// How many reports are about the address with this hash.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reports_about(&self, address_hash: &str) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM reports WHERE address_hash = $1";
        let number: i64 = on!(self.database, pool => sqlx::query_scalar(sql).bind(address_hash).fetch_one(pool).await)?;
        Ok(number.unsigned_abs())
    }

    /// How many subscriptions were asked for before `before` and never confirmed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unconfirmed(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let sql = format!("SELECT COUNT(*) FROM subscriptions WHERE {UNCONFIRMED} AND ended_at IS NULL");
        let number: i64 = on!(self.database, pool => {
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(millis(before)).fetch_one(pool).await
        })?;
        Ok(number.unsigned_abs())
    }

    /// Removes subscriptions that were asked for before `before` and never confirmed, and whoever has no other. Returns how
    /// many subscriptions and how many people.
    ///
    /// # Errors
    /// When the database fails; then nothing is removed.
    pub async fn purge_unconfirmed(&self, before: DateTime<Utc>) -> Result<(u64, u64), StoreError> {
        // Who had left before somebody asked for it again has left: nothing takes them in but their own word.
        let left = format!("UPDATE subscriptions SET state = 'ended' WHERE {UNCONFIRMED} AND ended_at IS NOT NULL");
        let ended = format!("DELETE FROM subscriptions WHERE {UNCONFIRMED} RETURNING subscriber");
        let alone = format!(
            "DELETE FROM subscribers WHERE id IN {} \
             AND NOT EXISTS (SELECT 1 FROM subscriptions n WHERE n.subscriber = subscribers.id) RETURNING id",
            self.database.list(1)
        );
        // A confirmation may have bounced.
        let unnamed = format!(
            "UPDATE reports SET subscriber = NULL, text = '', address_hash = id WHERE subscriber IN {}",
            self.database.list(1)
        );
        let purged = begin!(self.database, tx => {
            sqlx::query(AssertSqlSafe(left)).bind(millis(before)).execute(&mut *tx).await?;
            let ended: Vec<String> = sqlx::query_scalar(AssertSqlSafe(ended)).bind(millis(before)).fetch_all(&mut *tx).await?;
            let gone: Vec<String> = sqlx::query_scalar(AssertSqlSafe(alone)).bind(json(&ended)).fetch_all(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(unnamed)).bind(json(&gone)).execute(&mut *tx).await?;
            for table in ["confirmation_waits", "consents", "moves", "reasons"] {
                let sql = format!("DELETE FROM {table} WHERE subscriber IN {}", self.database.list(1));
                sqlx::query(AssertSqlSafe(sql)).bind(json(&gone)).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            (ended.len() as u64, gone.len() as u64)
        });
        Ok(purged)
    }
}
