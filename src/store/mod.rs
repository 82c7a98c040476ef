//! The store: all SQL, for SQLite and PostgreSQL. It knows rows and their rules, and nothing of where they come from.

mod account;
mod alerts;
mod archive;
mod articles;
mod attributes;
mod book;
mod choices;
mod confirmations;
mod consents;
mod deliveries;
mod dialect;
mod digests;
mod facts;
mod farewell;
mod full_texts;
mod groups;
mod hub;
mod intake;
mod moves;
mod notices;
mod ordering;
mod pushes;
mod reads;
mod releases;
mod remotes;
mod reports;
mod segments;
mod senders;
mod shelves;
mod slugs;
mod subscribers;
mod suppressions;
mod sync;
mod trials;
mod volumes;
mod welcomes;

use chrono::{DateTime, Utc};

pub use account::{Ban, Brought, CameBack, Delivery, Held, Taken};
pub use alerts::Alert;
pub use book::{Book, Page};
pub use choices::Reason;
pub use confirmations::PendingConfirmation;
pub use deliveries::{Claimed, Settled};
pub use digests::{Clocks, NewDigest};
pub use farewell::Departure;
pub use full_texts::{FullText, FullTexts};
pub use groups::ReaderGroup;
pub use hub::{Asked, Audience, Failing, Listener, Ping, Told, Topic};
pub use intake::{Arrival, Arriving, TakenIn};
pub use moves::Letter;
pub use notices::{Absence, Noted, Telling};
pub use pushes::Push;
pub use reads::Reads;
pub use remotes::{PollOutcome, RemoteState};
pub use reports::{NewReport, Recorded};
pub use senders::Sender;
pub use subscribers::{ListedSubscriber, NewSubscription};
pub use suppressions::Banned;
pub use sync::{Complaint, FileRow, KnownFile, SyncBatch, Titled};
pub use trials::WAITS_FOR_PICK;
pub use volumes::{Live, Volume};
pub use welcomes::Welcome;

use dialect::{Database, begin, begin_bulk, ledger, on};

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
    /// The URL is of no engine that is known here.
    #[error("the database {url} is of no known kind: its URL begins with neither sqlite: nor postgres:")]
    Kind {
        /// The URL without the password.
        url: String,
    },
    /// The tables cannot be brought up to date.
    #[error("cannot bring the tables up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A statement failed.
    #[error("the database refused a statement")]
    Statement(#[from] sqlx::Error),
    /// Outcomes that a process noted before it ended cannot be read.
    #[error("cannot read {path}, the outcomes that were noted beside the database")]
    Book {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A row holds what this program never writes.
    #[error("the database holds what was never written by this program: {0}")]
    Corrupt(String),
    /// Articles that came from elsewhere meanwhile have slugs that were to be given.
    #[error("slugs that were to be given are taken: {}", .0.join(", "))]
    SlugsTaken(Vec<String>),
}

/// A number for the changes that a transaction is about to write, greater than all before. Its row is locked until the
/// commit: a revision can be read only when what it stands for can be read as well.
const NEXT_REVISION: &str = "UPDATE counters SET value = value + 1 WHERE name = 'revision' RETURNING value";

/// The newest release number, with its row locked until the commit: numbers become visible in their order, and cursors
/// are moved by one digest at a time.
const HOLD_RELEASES: &str = "UPDATE counters SET value = value + 0 WHERE name = 'release' RETURNING value";

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
        self.database.close().await;
    }
}

/// A list for [`Database::list`].
fn json<T: serde::Serialize + ?Sized>(list: &T) -> String {
    serde_json::to_string(list).unwrap_or_default()
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
