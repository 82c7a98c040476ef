//! Bans: addresses that must not be written to, each under its keyed hash, and why.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::account::Ban;
use super::subscribers::WHOSE_BAN;
use super::{Store, StoreError, instant, json, millis, on};

/// A ban with whom it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Banned {
    /// Keyed hash of the address.
    pub address_hash: String,
    /// The address, as long as it is a subscriber's.
    pub address: Option<String>,
    /// Why, and since when.
    pub ban: Ban,
}

type BannedColumns = (String, Option<String>, String, Option<String>, i64);

impl Store {
    /// Which of these address hashes are suppressed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn suppressed(&self, hashes: &[String]) -> Result<HashSet<String>, StoreError> {
        let sql = format!("SELECT address_hash FROM suppressions WHERE address_hash IN {}", self.database.list(1));
        let hashes = json(hashes);
        let found: Vec<String> = on!(self.database, pool => {
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(hashes).fetch_all(pool).await
        })?;
        Ok(found.into_iter().collect())
    }

    /// Bans an address; an earlier ban stays as it is. Returns whether there was none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn suppress(
        &self,
        address_hash: &str,
        cause: &str,
        detail: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO suppressions (address_hash, cause, detail, created_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (address_hash) DO NOTHING";
        let done = on!(self.database, pool => {
            sqlx::query(sql).bind(address_hash).bind(cause).bind(detail).bind(millis(now)).execute(pool).await
                .map(|done| done.rows_affected())
        })?;
        Ok(done > 0)
    }

    /// Lifts the ban on an address. Returns whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lift(&self, address_hash: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM suppressions WHERE address_hash = $1";
        let done = on!(self.database, pool => {
            sqlx::query(sql).bind(address_hash).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(done > 0)
    }

    /// A page of bans in the order of their hashes, from `after` on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bans(&self, after: &str, limit: i64) -> Result<Vec<Banned>, StoreError> {
        let sql = format!(
            "SELECT p.address_hash, s.address, p.cause, p.detail, p.created_at FROM suppressions p \
             LEFT JOIN subscribers s ON {WHOSE_BAN} WHERE p.address_hash > $1 ORDER BY p.address_hash LIMIT $2"
        );
        let rows: Vec<BannedColumns> = on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(after).bind(limit).fetch_all(pool).await)?;
        let banned = |(address_hash, address, cause, detail, at): BannedColumns| {
            let detail = detail.filter(|detail| !detail.is_empty());
            Ok(Banned { address_hash, address, ban: Ban { cause, detail, at: instant(at)? } })
        };
        rows.into_iter().map(banned).collect()
    }
}
