//! The two engines, and every difference between them.
//!
//! One SQL text serves both (the portable subset of `migrations/`); [`on!`] expands it with the concrete pool.
//! The differences that remain: how a transaction that writes begins ([`begin!`]), how rows are claimed
//! ([`Database::skip_locked`]), how a list of ids is passed ([`Database::list`]).

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlSafeStr, SqlitePool};

use super::StoreError;

/// How long a SQLite connection waits for another's lock. Writers queue up with `BEGIN IMMEDIATE`, so only the
/// wait itself can time out; a minute covers the longest single transaction (the enqueueing of a million rows).
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// An open database of either engine.
#[derive(Debug, Clone)]
pub(super) enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Expands `$body` for the engine at hand, with `$pool` bound to its pool.
macro_rules! on {
    ($database:expr, $pool:ident => $body:expr) => {
        match &$database {
            $crate::store::dialect::Database::Sqlite($pool) => $body,
            $crate::store::dialect::Database::Postgres($pool) => $body,
        }
    };
}
pub(super) use on;

/// Expands `$body` with a transaction that is going to write.
///
/// SQLite takes the write lock at once (`BEGIN IMMEDIATE`): a transaction that begins by reading cannot wait for
/// the lock later, it fails with `SQLITE_BUSY` whatever the timeout. The body commits by itself.
macro_rules! begin {
    ($database:expr, $tx:ident => $body:expr) => {
        match &$database {
            $crate::store::dialect::Database::Sqlite(pool) => {
                let mut $tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                $body
            }
            $crate::store::dialect::Database::Postgres(pool) => {
                let mut $tx = pool.begin().await?;
                $body
            }
        }
    };
}
pub(super) use begin;

impl Database {
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let opened = |source| StoreError::Open { url: without_password(url), source };
        let database = if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(url).map_err(opened)?.application_name("tidings");
            let pool = PgPoolOptions::new().max_connections(8).connect_with(options).await.map_err(opened)?;
            Self::Postgres(pool)
        } else {
            let options = SqliteConnectOptions::from_str(url)
                .map_err(opened)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY_TIMEOUT)
                .foreign_keys(true)
                .pragma("temp_store", "MEMORY")
                .pragma("cache_size", "-8000");
            let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.map_err(opened)?;
            Self::Sqlite(pool)
        };
        database.migrate().await?;
        Ok(database)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let first = Migration::new(
            1,
            "first light".into(),
            MigrationType::Simple,
            include_str!("migrations/0001_first_light.sql").into_sql_str(),
            false,
        );
        let migrator = Migrator::with_migrations(vec![first]);
        on!(*self, pool => migrator.run(pool).await).map_err(StoreError::Migrate)
    }

    /// Ends a subquery that claims rows, so that claimants pass one another instead of waiting.
    /// SQLite has one writer at a time and needs nothing.
    pub(super) fn skip_locked(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "",
            Self::Postgres(_) => "FOR UPDATE SKIP LOCKED",
        }
    }

    /// A subquery of the texts in the JSON array bound as parameter `number`.
    pub(super) fn list(&self, number: usize) -> String {
        match self {
            Self::Sqlite(_) => format!("(SELECT value FROM json_each(${number}))"),
            Self::Postgres(_) => format!("(SELECT jsonb_array_elements_text(CAST(${number} AS jsonb)))"),
        }
    }
}

/// A database URL as it may be shown: a password is a secret.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.split_once('@') {
        Some((login, place)) => format!("{scheme}://{}:…@{place}", login.split(':').next().unwrap_or_default()),
        None => url.to_owned(),
    }
}
