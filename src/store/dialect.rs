//! The two engines, and every difference between them.
//!
//! One SQL text serves both (the portable subset of `migrations/`); [`on!`] expands it with the concrete pool.
//! The differences that remain: how a transaction that writes begins ([`begin!`],
//! [`begin_bulk!`]), how rows are claimed
//! ([`Database::skip_locked`], [`Database::claims`]), how a list of ids is passed ([`Database::list`]), how JSON is looked
//! into ([`Database::values`]), and how much room a table's rows keep to grow.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, PgPool, SqlSafeStr, SqlitePool};

use super::StoreError;

/// How long a SQLite connection waits for another's lock. Writers queue up with `BEGIN IMMEDIATE`, so only the
/// wait itself can time out; a minute covers the longest single transaction (the enqueueing of a million rows).
const BUSY_TIMEOUT: Duration = Duration::from_mins(1);
/// Before a new file is opened again.
const BUSY_WAIT: Duration = Duration::from_millis(10);

/// A connection that was used so recently is taken to stand.
const TRUSTED: Duration = Duration::from_secs(1);

/// How a bulk transaction is committed, and how many pages the write-ahead log may have by then that a commit does not take
/// into the database itself: a page that several transactions write goes there once.
pub(super) const ALONE: &str = "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8000";
pub(super) const OF_MANY: &str = "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 25000";

/// So many transactions `of many` are taken into the database at a time.
const FOLDED: usize = 16;

/// What is left of a write-ahead log that grew larger, in bytes.
const LOG_KEPT: &str = "33554432";

/// After so long without a sync its connection gives its memory back.
const BULK_IDLE: Duration = Duration::from_secs(10);

/// How long a PostgreSQL server has for its first answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How the tables are made.
pub(super) const SCHEMA: &str = include_str!("migrations/0001_first_light.sql");

/// An open database of either engine.
#[derive(Debug, Clone)]
pub(super) enum Database {
    Sqlite {
        pool: SqlitePool,
        /// The one connection that claims and settles: what it has read stays in its cache while nobody else writes.
        ledger: SqlitePool,
        /// The one connection that takes articles and people in by the thousand: see [`begin_bulk!`].
        bulk: SqlitePool,
        /// The folder of outcomes that are noted before they are entered.
        books: PathBuf,
        /// Transactions that were `of many` in [`begin_bulk!`].
        many: Arc<AtomicUsize>,
    },
    Postgres(PgPool),
}

/// Expands `$body` for the engine at hand, with `$pool` bound to its pool.
macro_rules! on {
    ($database:expr, $pool:ident => $body:expr) => {
        match &$database {
            $crate::store::dialect::Database::Sqlite { pool: $pool, .. } => $body,
            $crate::store::dialect::Database::Postgres($pool) => $body,
        }
    };
}
pub(super) use on;

/// As [`on!`], for claims and outcomes.
///
/// On SQLite what it commits is safe from the end of this process at once, and from a power failure with the next claim
/// ([`Database::claims`]) or any commit outside of the ledger: a disk takes milliseconds to be sure.
macro_rules! ledger {
    ($database:expr, $pool:ident => $body:expr) => {
        match &$database {
            $crate::store::dialect::Database::Sqlite { ledger: $pool, .. } => $body,
            $crate::store::dialect::Database::Postgres($pool) => $body,
        }
    };
}
pub(super) use ledger;

/// Expands `$body` with a transaction that is going to write.
///
/// SQLite takes the write lock at once (`BEGIN IMMEDIATE`): a transaction that begins by reading cannot wait for
/// the lock later, it fails with `SQLITE_BUSY` whatever the timeout. The body commits by itself.
macro_rules! begin {
    ($database:expr, $tx:ident => $body:expr) => {
        match &$database {
            $crate::store::dialect::Database::Sqlite { pool, .. } => {
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

/// As [`begin!`], for what writes articles or people by the thousand.
///
/// Each article is a row in an index a dozen times over, each person half as often, in as many orders: with the little that
/// other connections keep in memory SQLite reads and writes the same pages again and again, and puts what a statement may
/// have to undo into a file.
///
/// On SQLite the disk is sure of it at the commit. What is `of many` that another commit ends is safe from the end of this
/// process at once, and from a power failure with that other commit, or any that comes later; [`Database::fold_aside`] takes
/// it into the database.
macro_rules! begin_bulk {
    ($database:expr, $tx:ident => $body:expr) => {
        $crate::store::dialect::begin_bulk!(@ $database, $crate::store::dialect::ALONE, $tx => $body)
    };
    ($database:expr, of many, $tx:ident => $body:expr) => {
        $crate::store::dialect::begin_bulk!(@ $database, $crate::store::dialect::OF_MANY, $tx => $body)
    };
    (@ $database:expr, $how:expr, $tx:ident => $body:expr) => {
        match &$database {
            $crate::store::dialect::Database::Sqlite { bulk, .. } => {
                let mut bulk = bulk.acquire().await?;
                sqlx::query($how).execute(&mut *bulk).await?;
                let mut $tx = sqlx::Connection::begin_with(&mut *bulk, "BEGIN IMMEDIATE").await?;
                $body
            }
            $crate::store::dialect::Database::Postgres(pool) => {
                let mut $tx = pool.begin().await?;
                $body
            }
        }
    };
}
pub(super) use begin_bulk;

impl Database {
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let opened = |source| StoreError::Open { url: without_password(url), source };
        let database = match url.split_once(':') {
            Some(("postgres" | "postgresql", _)) => {
                let options = PgConnectOptions::from_str(url).map_err(opened)?.application_name("tidings");
                // A pool retries for half a minute and then knows only that time ran out, not why: so ask once without.
                first_connection(&options).await.map_err(opened)?;
                let pool = PgPoolOptions::new()
                    .max_connections(8)
                    // Asking whether it is still there costs a way to the server and back.
                    .test_before_acquire(false)
                    .before_acquire(|connection, seen| {
                        Box::pin(async move { Ok(seen.idle_for < TRUSTED || connection.ping().await.is_ok()) })
                    });
                Self::Postgres(pool.connect_lazy_with(options))
            }
            Some(("sqlite", _)) => {
                let options = SqliteConnectOptions::from_str(url)
                    .map_err(opened)?
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(BUSY_TIMEOUT)
                    .foreign_keys(true)
                    // What a statement puts aside for a million readers belongs on the disk, where SQLite puts it by itself.
                    .pragma("cache_size", "-2000")
                    .pragma("journal_size_limit", LOG_KEPT);
                create_private(options.get_filename());
                let books = with_ending(options.get_filename(), ".outcomes");
                // A commit that failed on a full disk leaves a connection that takes itself to be in a transaction for ever.
                let pool = SqlitePoolOptions::new()
                    .acquire_timeout(BUSY_TIMEOUT)
                    // A file does not hang up; asking it whether it is still there costs two switches of threads.
                    .test_before_acquire(false)
                    .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }));
                let bulk = options.clone().pragma("cache_size", "-16000");
                let bulk = pool.clone().max_connections(1).idle_timeout(BULK_IDLE).connect_lazy_with(bulk);
                let ledger = options
                    .clone()
                    .synchronous(SqliteSynchronous::Normal)
                    .pragma("cache_size", "-8000")
                    .pragma("temp_store", "MEMORY")
                    // A claim's rows at once: else its thread and ours wait for one another at every fiftieth.
                    .row_buffer_size(1024);
                let ledger = pool.clone().max_connections(1).connect_lazy_with(ledger);
                let pool = first_to_open(pool.max_connections(4), options).await.map_err(opened)?;
                Self::Sqlite { pool, ledger, bulk, books, many: Arc::default() }
            }
            _ => return Err(StoreError::Kind { url: without_password(url) }),
        };
        database.migrate().await?;
        Ok(database)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let sql = match self {
            Self::Sqlite { .. } => SCHEMA.into_sql_str(),
            Self::Postgres(_) => AssertSqlSafe(SCHEMA.replace(") WITHOUT ROWID;", ");")).into_sql_str(),
        };
        let first = Migration::new(1, "first light".into(), MigrationType::Simple, sql, false);
        let migrator = Migrator::with_migrations(vec![first]);
        match self {
            // Migrators take their turns behind a lock of their own.
            Self::Postgres(pool) => {
                migrator.run_direct(None, &mut *pool.acquire().await?, false).await.map_err(StoreError::Migrate)
            }
            // Here they do not: the write lock, taken before looking, makes the second wait and find it all done.
            Self::Sqlite { pool, .. } => {
                let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                migrator.run_direct(None, &mut *tx, false).await.map_err(StoreError::Migrate)?;
                Ok(tx.commit().await?)
            }
        }
    }

    /// Claims rows by `sql` with what `bind` binds, in one statement and so whole or not at all. On SQLite the disk is sure
    /// of it when this returns, and of every outcome before it.
    pub(super) async fn claims<T>(&self, sql: &str, claim: &str, numbers: [i64; 3]) -> Result<Vec<T>, sqlx::Error>
    where
        T: Send + Unpin + for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow>,
    {
        let [now, lease_until, limit] = numbers;
        match self {
            Self::Postgres(pool) => {
                let claimed = sqlx::query_as(AssertSqlSafe(sql));
                claimed.bind(claim).bind(now).bind(lease_until).bind(limit).fetch_all(pool).await
            }
            Self::Sqlite { ledger, .. } => {
                let mut ledger = ledger.acquire().await?;
                sqlx::query("PRAGMA synchronous = FULL").execute(&mut *ledger).await?;
                let claimed = sqlx::query_as(AssertSqlSafe(sql));
                let claimed = claimed.bind(claim).bind(now).bind(lease_until).bind(limit).fetch_all(&mut *ledger).await;
                sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut *ledger).await?;
                claimed
            }
        }
    }

    /// Says that a transaction `of many` is committed. Every few of them are taken out of SQLite's write-ahead log by another
    /// connection, while the next are written.
    pub(super) fn fold_aside(&self) {
        let Self::Sqlite { pool, many, .. } = self else { return };
        if many.fetch_add(1, Ordering::Relaxed) % FOLDED == FOLDED - 1 {
            let pool = pool.clone();
            // Where that cannot be done now, a later commit does it.
            tokio::spawn(async move { sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&pool).await });
        }
    }

    /// Closes it, with everything written; for SQLite the write-ahead log is folded in.
    pub(super) async fn close(&self) {
        if let Self::Sqlite { ledger, bulk, .. } = self {
            ledger.close().await;
            bulk.close().await;
        }
        on!(self, pool => pool.close().await);
    }

    /// Ends a subquery that claims rows of the table `d`, so that claimants pass one another instead of waiting.
    /// SQLite has one writer at a time and needs nothing.
    pub(super) fn skip_locked(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "",
            Self::Postgres(_) => "FOR UPDATE OF d SKIP LOCKED",
        }
    }

    /// A subquery of the rows in the JSON array of arrays bound as parameter `number`, with these columns and their types.
    pub(super) fn rows(&self, number: usize, columns: &[(&str, &str)]) -> String {
        let place = |(at, (name, kind)): (usize, &(&str, &str))| format!("CAST(e.value ->> {at} AS {kind}) AS {name}");
        let columns: Vec<_> = columns.iter().enumerate().map(place).collect();
        let from = match self {
            // As JSONB a row is read where it is; as text each of its columns would parse it again.
            Self::Sqlite { .. } => format!("jsonb_each(${number}) AS e"),
            Self::Postgres(_) => format!("jsonb_array_elements(CAST(${number} AS jsonb)) AS e (value)"),
        };
        format!("(SELECT {} FROM {from})", columns.join(", "))
    }

    /// A subquery of the texts in the JSON array bound as parameter `number`.
    pub(super) fn list(&self, number: usize) -> String {
        match self {
            Self::Sqlite { .. } => format!("(SELECT value FROM json_each(${number}))"),
            Self::Postgres(_) => format!("(SELECT jsonb_array_elements_text(CAST(${number} AS jsonb)))"),
        }
    }

    /// A subquery of what the attribute of the subscriber `s` has whose name is bound as parameter `number`: itself or each
    /// of its list, as `word`, and as `number` where it is one. By the name itself, and not by a path: it may hold anything.
    pub(super) fn values(&self, number: usize) -> String {
        match self {
            Self::Sqlite { .. } => format!(
                "(SELECT CASE WHEN v.type IN ('true', 'false') THEN v.type ELSE CAST(v.atom AS TEXT) END AS word, \
                 CASE WHEN v.type IN ('integer', 'real') THEN CAST(v.atom AS REAL) END AS number \
                 FROM json_each(s.attributes) AS e CROSS JOIN json_each(CASE e.type WHEN 'array' THEN e.value \
                 WHEN 'object' THEN '[]' WHEN 'true' THEN '[true]' WHEN 'false' THEN '[false]' ELSE json_array(e.value) END) AS v \
                 WHERE e.key = ${number})"
            ),
            Self::Postgres(_) => format!(
                "(SELECT CASE WHEN jsonb_typeof(v.value) NOT IN ('object', 'array') THEN v.value #>> '{{}}' END AS word, \
                 CASE jsonb_typeof(v.value) WHEN 'number' THEN CAST(v.value #>> '{{}}' AS double precision) END AS number \
                 FROM (SELECT CAST(s.attributes AS jsonb) -> CAST(${number} AS TEXT) AS value) AS e \
                 CROSS JOIN jsonb_array_elements(CASE jsonb_typeof(e.value) WHEN 'array' THEN e.value \
                 WHEN 'object' THEN CAST('[]' AS jsonb) ELSE jsonb_build_array(e.value) END) AS v (value))"
            ),
        }
    }

    /// Whether the subscriber `s` has the attribute whose name is bound as parameter `number`.
    pub(super) fn has_value(&self, number: usize) -> String {
        match self {
            Self::Sqlite { .. } => {
                format!("EXISTS (SELECT 1 FROM json_each(s.attributes) AS e WHERE e.key = ${number})")
            }
            Self::Postgres(_) => {
                format!("(CAST(s.attributes AS jsonb) -> CAST(${number} AS TEXT)) IS NOT NULL")
            }
        }
    }

    /// A text that is compared byte by byte, as here: the engines' own order may follow a language.
    pub(super) fn bytewise(&self, text: &str) -> String {
        match self {
            Self::Sqlite { .. } => text.to_owned(),
            Self::Postgres(_) => format!("{text} COLLATE \"C\""),
        }
    }

    /// A text with A to Z in small letters, and no other letter changed: engines differ in the rest.
    pub(super) fn folded(&self, text: &str) -> String {
        match self {
            Self::Sqlite { .. } => format!("lower({text})"),
            Self::Postgres(_) => format!("lower({text} COLLATE \"C\")"),
        }
    }
}

/// Makes a database file that only its owner reads, where there is none: it holds people's addresses and the keys of
/// their links. SQLite gives its journals the same mode. What cannot be made is named when the database opens.
fn create_private(path: &std::path::Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // It is there already, or its folder is not.
    drop(options.open(path));
}

fn with_ending(path: &std::path::Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Opens the file. Of several that make a new one a write-ahead log at once, SQLite sends some away without waiting, lest
/// they wait for one another: those try again.
async fn first_to_open(pool: SqlitePoolOptions, options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let begun = Instant::now();
    loop {
        match pool.clone().connect_with(options.clone()).await {
            // SQLITE_BUSY.
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some("5") && begun.elapsed() < BUSY_TIMEOUT =>
            {
                tokio::time::sleep(BUSY_WAIT).await;
            }
            opened => return opened,
        }
    }
}

async fn first_connection(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connected) => connected?.close().await,
        Err(_) => Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"))),
    }
}

/// A database URL as it may be shown: a password is a secret, wherever it stands and whatever is in it.
fn without_password(url: &str) -> String {
    let (place, query) = url.split_once('?').map_or((url, None), |(place, query)| (place, Some(query)));
    let place = match place.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((login, host)) => {
                format!("{scheme}://{}:…@{host}", login.split(':').next().unwrap_or_default())
            }
            None => place.to_owned(),
        },
        None => place.to_owned(),
    };
    let is_secret = |part: &&str| part.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case("password"));
    match query.map(|query| query.split('&').filter(|part| !is_secret(part)).collect::<Vec<_>>().join("&")) {
        Some(query) if !query.is_empty() => format!("{place}?{query}"),
        _ => place,
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("sqlite://tidings.db", "sqlite://tidings.db"),
            ("postgres://mara@db.example/tidings", "postgres://mara:…@db.example/tidings"),
            ("postgres://mara:secret@db.example:5433/tidings", "postgres://mara:…@db.example:5433/tidings"),
            ("postgres://mara:se@cr/et@db.example/tidings", "postgres://mara:…@db.example/tidings"),
            ("postgres://db.example/t?user=mara&password=secret", "postgres://db.example/t?user=mara"),
            ("postgres://mara@/t?password=secret", "postgres://mara:…@/t"),
            ("postgres:mara", "postgres:mara"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
