//! Feeds elsewhere: when each is asked again, by whom, and what came of the last time.
//!
//! One process has a poll in hand, under a lease: whoever comes later or has lost it changes nothing.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::AssertSqlSafe;

use super::notices::NOTE;
use super::{NEXT_REVISION, Store, StoreError, begin, instant, millis, on};
use crate::domain::notice::NoticeKind;

/// What is known of a feed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteState {
    /// Its name.
    pub name: String,
    /// Its address as it is configured.
    pub url: String,
    /// Where it has moved to for good.
    pub moved_to: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Entity tag of the document that was read last.
    pub etag: Option<String>,
    /// `Last-Modified` of it.
    pub modified: Option<String>,
    /// A hash of how its entries were made into articles.
    pub settings: Option<String>,
    /// A hash of the document that was read last and whole, where there was nothing to complain of in it.
    pub document: Option<String>,
    /// How many entries that had.
    pub entries: usize,
    /// When it is asked again.
    pub next_at: DateTime<Utc>,
    /// When it was asked last.
    pub polled_at: Option<DateTime<Utc>>,
    /// When that went well.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// Polls in a row that failed.
    pub failures: u32,
    /// Why the last did.
    pub trouble: Option<String>,
    /// When it said that it is there no more.
    pub gone_at: Option<DateTime<Utc>>,
    /// How often it changes, as its document says.
    pub rhythm: Option<TimeDelta>,
}

/// How a poll ended.
#[derive(Debug, Clone)]
pub struct PollOutcome {
    /// As it is from now on, except for the name.
    pub state: RemoteState,
    /// Editors are to be told of this.
    pub tell: Option<String>,
}

const COLUMNS: &str = "name, url, moved_to, title, etag, modified, settings, document, entries, next_at, polled_at, succeeded_at, failures, \
     trouble, gone_at, rhythm_s";

macro_rules! state {
    ($row:expr) => {{
        use sqlx::Row as _;
        let row = $row;
        let at = |name: &str| -> Result<Option<DateTime<Utc>>, StoreError> {
            row.try_get::<Option<i64>, _>(name)?.map(instant).transpose()
        };
        Ok::<_, StoreError>(RemoteState {
            name: row.try_get("name")?,
            url: row.try_get("url")?,
            moved_to: row.try_get("moved_to")?,
            title: row.try_get("title")?,
            etag: row.try_get("etag")?,
            modified: row.try_get("modified")?,
            settings: row.try_get("settings")?,
            document: row.try_get("document")?,
            entries: usize::try_from(row.try_get::<i64, _>("entries")?).unwrap_or(0),
            next_at: instant(row.try_get("next_at")?)?,
            polled_at: at("polled_at")?,
            succeeded_at: at("succeeded_at")?,
            failures: u32::try_from(row.try_get::<i64, _>("failures")?).unwrap_or(u32::MAX),
            trouble: row.try_get("trouble")?,
            gone_at: at("gone_at")?,
            rhythm: row.try_get::<Option<i64>, _>("rhythm_s")?.and_then(TimeDelta::try_seconds),
        })
    }};
}

impl Store {
    /// Makes a feed elsewhere known, due at once. One that is known under another address is begun anew there, with
    /// everything that came from it in its place.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn know_remote(&self, name: &str, url: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "INSERT INTO remotes (name, url, next_at, failures) VALUES ($1, $2, $3, 0) \
                   ON CONFLICT (name) DO UPDATE SET url = excluded.url, moved_to = NULL, etag = NULL, modified = NULL, \
                   settings = NULL, document = NULL, next_at = excluded.next_at, failures = 0, trouble = NULL, gone_at = NULL, rhythm_s = NULL \
                   WHERE remotes.url <> excluded.url";
        on!(self.database, pool => sqlx::query(sql).bind(name).bind(url).bind(millis(now)).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// What is known of all feeds elsewhere, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remotes(&self) -> Result<Vec<RemoteState>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM remotes ORDER BY name");
        on!(self.database, pool => {
            sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await?.iter().map(|row| state!(row)).collect()
        })
    }

    /// The names of those that are due.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_remotes(&self, now: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM remotes WHERE gone_at IS NULL AND next_at <= $1 \
                   AND (lease_until IS NULL OR lease_until <= $1) ORDER BY next_at, name";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).bind(millis(now)).fetch_all(pool).await)?)
    }

    /// Takes the next poll of a feed in hand, if it is due and nobody else has it; `is_asked_for` makes it due.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_remote(
        &self,
        name: &str,
        claim: &str,
        lease_until: DateTime<Utc>,
        is_asked_for: bool,
        now: DateTime<Utc>,
    ) -> Result<Option<RemoteState>, StoreError> {
        let due = if is_asked_for { "" } else { "AND gone_at IS NULL AND next_at <= $4" };
        let sql = format!(
            "UPDATE remotes SET claim = $2, lease_until = $3 WHERE name = $1 {due} \
             AND (lease_until IS NULL OR lease_until <= $4) RETURNING {COLUMNS}"
        );
        on!(self.database, pool => {
            let row = sqlx::query(AssertSqlSafe(sql)).bind(name).bind(claim).bind(millis(lease_until)).bind(millis(now))
                .fetch_optional(pool).await?;
            row.map(|row| state!(&row)).transpose()
        })
    }

    /// Ends a poll, and notes what editors have to know of. Returns whether it was still ours.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn settle_remote(&self, claim: &str, outcome: &PollOutcome) -> Result<bool, StoreError> {
        let state = &outcome.state;
        let sql = "UPDATE remotes SET moved_to = $3, title = $4, etag = $5, modified = $6, settings = $7, next_at = $8, \
                   polled_at = $9, succeeded_at = $10, failures = $11, trouble = $12, gone_at = $13, rhythm_s = $14, document = $15, entries = $16, claim = NULL, \
                   lease_until = NULL WHERE name = $1 AND claim = $2";
        begin!(self.database, tx => {
            let done = sqlx::query(sql)
                .bind(&state.name).bind(claim).bind(&state.moved_to).bind(&state.title).bind(&state.etag)
                .bind(&state.modified).bind(&state.settings).bind(millis(state.next_at)).bind(state.polled_at.map(millis))
                .bind(state.succeeded_at.map(millis)).bind(i64::from(state.failures)).bind(&state.trouble)
                .bind(state.gone_at.map(millis)).bind(state.rhythm.map(|rhythm| rhythm.num_seconds()))
                .bind(&state.document).bind(i64::try_from(state.entries).unwrap_or(i64::MAX))
                .execute(&mut *tx).await?.rows_affected();
            if let (Some(why), 1) = (&outcome.tell, done) {
                let number: i64 = sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?;
                sqlx::query(NOTE).bind(number).bind(NoticeKind::Source.as_str()).bind(None::<&str>).bind(&state.name)
                    .bind(why).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(done == 1)
        })
    }

    /// Ends what took in something that a hub brought. When the feed is asked next stays as it is, or was made meanwhile;
    /// and then for the whole document, for what was brought is a part of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle_brought(&self, name: &str, claim: &str) -> Result<(), StoreError> {
        let sql = "UPDATE remotes SET claim = NULL, lease_until = NULL, etag = NULL, modified = NULL, document = NULL \
                   WHERE name = $1 AND claim = $2";
        on!(self.database, pool => sqlx::query(sql).bind(name).bind(claim).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Forgets that a feed elsewhere was ever asked, and complaints about it; its articles stay as they are.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn forget_remote(&self, name: &str, source: &str) -> Result<(), StoreError> {
        begin!(self.database, tx => {
            for table in ["remotes WHERE name", "pushes WHERE remote"] {
                sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} = $1"))).bind(name).execute(&mut *tx).await?;
            }
            for table in ["sources WHERE name", "complaints WHERE source", "full_texts WHERE source"] {
                sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} = $1"))).bind(source).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(())
        })
    }

    /// Gives what came under one name to another, with all that is known of it.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn rename_remote(&self, names: [&str; 2], sources: [&str; 2]) -> Result<(), StoreError> {
        begin!(self.database, tx => {
            for sql in ["UPDATE remotes SET name = $2 WHERE name = $1", "UPDATE pushes SET remote = $2 WHERE remote = $1"] {
                sqlx::query(sql).bind(names[0]).bind(names[1]).execute(&mut *tx).await?;
            }
            for sql in [
                "UPDATE sources SET name = $2 WHERE name = $1",
                "UPDATE articles SET source = $2 WHERE source = $1",
                "UPDATE complaints SET source = $2 WHERE source = $1",
                "UPDATE full_texts SET source = $2 WHERE source = $1",
            ] {
                sqlx::query(sql).bind(sources[0]).bind(sources[1]).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(())
        })
    }

    /// The slugs that articles of other sources have, each with its source.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn slugs_of_others(&self, source: &str) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT slug, source FROM articles WHERE (source < $1 OR source > $1) AND withdrawn_at IS NULL";
        Ok(on!(self.database, pool => sqlx::query_as(sql).bind(source).fetch_all(pool).await)?)
    }

    /// How many articles of a source there are that are not withdrawn.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn articles_from(&self, source: &str) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM articles WHERE source = $1 AND withdrawn_at IS NULL";
        let number: i64 = on!(self.database, pool => sqlx::query_scalar(sql).bind(source).fetch_one(pool).await)?;
        Ok(number.unsigned_abs())
    }

    /// The dates of a source's newest articles, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_dates(&self, source: &str, limit: usize) -> Result<Vec<DateTime<Utc>>, StoreError> {
        let sql = "SELECT date FROM articles WHERE source = $1 AND withdrawn_at IS NULL ORDER BY date DESC LIMIT $2";
        let limit: i64 = limit.try_into().unwrap_or(i64::MAX);
        let dates: Vec<i64> =
            on!(self.database, pool => sqlx::query_scalar(sql).bind(source).bind(limit).fetch_all(pool).await)?;
        dates.into_iter().map(instant).collect()
    }
}
