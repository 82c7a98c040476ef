//! Forgetting people: whom an editor erases, and who asked but never confirmed.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::{Store, StoreError, begin, json, millis, on};
use crate::domain::subscription::SubscriberId;

/// What was asked for before `$1` and neither confirmed nor asked to be confirmed since.
const UNCONFIRMED: &str =
    "state = 'pending' AND created_at < $1 AND (confirmation_sent_at IS NULL OR confirmation_sent_at < $1)";

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
        // An id that is nobody's, and says nothing of when.
        let nobody = SubscriberId::new(DateTime::UNIX_EPOCH).to_string();
        let removed = begin!(self.database, tx => {
            let who: Option<String> = sqlx::query_scalar("SELECT id FROM subscribers WHERE address_hash = $1")
                .bind(address_hash).fetch_optional(&mut *tx).await?;
            // A relay's words may name the address; the ban itself stays, under a keyed hash.
            sqlx::query("UPDATE suppressions SET detail = NULL WHERE address_hash = $1").bind(address_hash).execute(&mut *tx).await?;
            sqlx::query("UPDATE reports SET subscriber = NULL, text = '', address_hash = $2 WHERE address_hash = $1 OR subscriber = $3")
                .bind(address_hash).bind(&nobody).bind(who.as_deref().unwrap_or_default()).execute(&mut *tx).await?;
            if let Some(who) = &who {
                sqlx::query("DELETE FROM deliveries WHERE subscriber = $1 AND settled_at IS NULL").bind(who).execute(&mut *tx).await?;
                sqlx::query("UPDATE deliveries SET subscriber = $2, claim = NULL, outcome = NULL, log = NULL WHERE subscriber = $1")
                    .bind(who).bind(&nobody).execute(&mut *tx).await?;
                sqlx::query("DELETE FROM subscriptions WHERE subscriber = $1").bind(who).execute(&mut *tx).await?;
                sqlx::query("DELETE FROM confirmation_waits WHERE subscriber = $1").bind(who).execute(&mut *tx).await?;
                sqlx::query("DELETE FROM subscribers WHERE id = $1").bind(who).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            who.is_some()
        });
        Ok(removed)
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
        let sql = format!("SELECT COUNT(*) FROM subscriptions WHERE {UNCONFIRMED}");
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
        let waits = format!("DELETE FROM confirmation_waits WHERE subscriber IN {}", self.database.list(1));
        let purged = begin!(self.database, tx => {
            let ended: Vec<String> = sqlx::query_scalar(AssertSqlSafe(ended)).bind(millis(before)).fetch_all(&mut *tx).await?;
            let gone: Vec<String> = sqlx::query_scalar(AssertSqlSafe(alone)).bind(json(&ended)).fetch_all(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(unnamed)).bind(json(&gone)).execute(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(waits)).bind(json(&gone)).execute(&mut *tx).await?;
            tx.commit().await?;
            (ended.len() as u64, gone.len() as u64)
        });
        Ok(purged)
    }
}
