//! Releases: the moment at which articles become public, numbered in their order.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::volumes::come_in;
use super::{HOLD_RELEASES, NEXT_REVISION, Store, StoreError, begin_bulk, instant, millis, on};

/// What waits for its date, by the index `articles_release`: what else has no number are drafts and what was withdrawn.
const WAITING: &str = "release_number IS NULL AND withdrawn_at IS NULL AND NOT draft";

impl Store {
    /// Gives a release number to every article whose date has come, in the order of their dates.
    /// Returns how many there were.
    ///
    /// # Errors
    /// When the database fails; then none is released.
    pub async fn release_due(
        &self,
        source: &str,
        entry_id_prefix: &str,
        archive: bool,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let due = format!("{WAITING} AND source = $1 AND date <= $2");
        let count_due = format!("SELECT COUNT(*) FROM articles WHERE {due}");
        let release = format!(
            "UPDATE articles SET release_number = $3 + due.n, released_at = $2, archive = ($4 OR due.archive), \
             entry_id = $5 || due.id, revision = $6 FROM (SELECT id, archive, ROW_NUMBER() OVER (ORDER BY date, id) AS n FROM articles WHERE {due}) AS due \
             WHERE articles.id = due.id"
        );
        let due: i64 = on!(self.database, pool => {
            sqlx::query_scalar(AssertSqlSafe(count_due.clone())).bind(source).bind(millis(now)).fetch_one(pool).await
        })?;
        if due == 0 {
            return Ok(0);
        }
        let released = begin_bulk!(self.database, tx => {
            let base: i64 = sqlx::query_scalar(HOLD_RELEASES).fetch_one(&mut *tx).await?;
            let revision: i64 = sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?;
            let done = sqlx::query(AssertSqlSafe(release))
                .bind(source).bind(millis(now)).bind(base).bind(archive).bind(entry_id_prefix).bind(revision)
                .execute(&mut *tx).await?.rows_affected();
            sqlx::query("UPDATE counters SET value = value + $1 WHERE name = 'release'")
                .bind(done.cast_signed()).execute(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(come_in())).bind(revision).bind(revision).execute(&mut *tx).await?;
            tx.commit().await?;
            done
        });
        Ok(released)
    }

    /// The newest release number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_release(&self) -> Result<i64, StoreError> {
        let sql = "SELECT value FROM counters WHERE name = 'release'";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?)
    }

    /// When the next article of a source that waits for its date becomes public.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due_release(&self, source: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let sql = format!("SELECT MIN(date) FROM articles WHERE source = $1 AND {WAITING}");
        let next: Option<i64> =
            on!(self.database, pool => sqlx::query_scalar(AssertSqlSafe(sql)).bind(source).fetch_one(pool).await)?;
        next.map(instant).transpose()
    }
}
