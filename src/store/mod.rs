//! The store: all SQL, for SQLite and PostgreSQL. It knows rows and their rules, and nothing of where they come from.

mod articles;
mod deliveries;
mod dialect;
mod digests;
mod facts;
mod subscribers;

use chrono::{DateTime, Utc};

pub use articles::{Complaint, FileRow, KnownFile, SyncBatch};
pub use deliveries::{Claimed, Settled};
pub use digests::{NewDigest, ReaderGroup};
pub use subscribers::{ListedSubscriber, NewSubscription, PendingConfirmation};

use dialect::{Database, begin, on};

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not open.
    #[error("cannot open the database {url}")]
    Open {
        /// Its URL without the password.
        url: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The tables cannot be brought up to date.
    #[error("cannot bring the tables up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A statement failed.
    #[error("the database refused a statement")]
    Statement(#[from] sqlx::Error),
    /// A row holds what this program never writes.
    #[error("the database holds what was never written by this program: {0}")]
    Corrupt(String),
}

/// An open store.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens (and creates, and brings up to date) the store at `url`: `sqlite://PATH`, `postgres://…`.
    ///
    /// # Errors
    /// When the database cannot be reached, created or migrated.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open(url).await? })
    }

    /// Closes it, with everything written; for SQLite the write-ahead log is folded in.
    pub async fn close(self) {
        on!(self.database, pool => pool.close().await);
    }
}

fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

fn instant(millis: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(millis).ok_or_else(|| StoreError::Corrupt(format!("instant {millis}")))
}

fn id(text: &str) -> Result<uuid::Uuid, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt(format!("id {text}")))
}
