//! Who is not written to: addresses that are banned, and people who are forgotten by themselves: whoever asked for mail and
//! never confirmed, and whom `[retention]` says to keep no longer. Also what an outbox holds of somebody who is erased.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::confirm::CONFIRM_WITHIN;
use super::letters::MOVE_WITHIN;
use super::{Publication, TaskError};
use crate::domain::address::EmailAddress;
use crate::mail::outbox::Outbox;
use crate::store::Departure;

pub use crate::store::Banned;

/// Whom a purge removes, or did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Subscriptions that were never confirmed.
    pub subscriptions: u64,
    /// People who had no other; none before it is done.
    pub subscribers: u64,
    /// People who left everything long ago (`retention.ended`).
    pub ended: u64,
    /// People whose address was given up long ago (`retention.bounced`).
    pub bounced: u64,
}

impl Purged {
    /// How many people are gone.
    pub fn people(self) -> u64 {
        self.subscribers + self.ended + self.bounced
    }
}

/// What was asked for before this and never confirmed is forgotten (`form.unconfirmed`).
pub fn unconfirmed_before(publication: &Publication) -> DateTime<Utc> {
    before(publication, publication.config.form.unconfirmed)
}

fn before(publication: &Publication, time: TimeDelta) -> DateTime<Utc> {
    let now = publication.clock.now();
    now.checked_sub_signed(time).unwrap_or(DateTime::UNIX_EPOCH)
}

/// Whom a purge would remove now.
///
/// # Errors
/// When the store fails.
pub async fn due(publication: &Publication) -> Result<Purged, TaskError> {
    let (store, retention) = (&publication.store, publication.config.retention);
    let mut due =
        Purged { subscriptions: store.unconfirmed(unconfirmed_before(publication)).await?, ..Purged::default() };
    if let Some(time) = retention.ended {
        due.ended = store.departed(Departure::Ended, before(publication, time)).await?;
    }
    if let Some(time) = retention.bounced {
        due.bounced = store.departed(Departure::Bounced, before(publication, time)).await?;
    }
    Ok(due)
}

/// Forgets them, and what was said of changes of address that are over.
///
/// # Errors
/// When the store fails.
pub async fn purge(publication: &Publication) -> Result<Purged, TaskError> {
    let (store, retention) = (&publication.store, publication.config.retention);
    let now = publication.clock.now();
    store.forget_moves(now - MOVE_WITHIN).await?;
    store.tidy_confirmations(now - CONFIRM_WITHIN, now).await?;
    let (subscriptions, subscribers) = store.purge_unconfirmed(unconfirmed_before(publication)).await?;
    let mut purged = Purged { subscriptions, subscribers, ..Purged::default() };
    if let Some(time) = retention.ended {
        purged.ended = store.forget_departed(Departure::Ended, before(publication, time)).await?;
    }
    if let Some(time) = retention.bounced {
        purged.bounced = store.forget_departed(Departure::Bounced, before(publication, time)).await?;
    }
    Ok(purged)
}

/// The messages to an address that lie in the outbox.
///
/// # Errors
/// When the folder cannot be read.
pub async fn messages_to(publication: &Publication, address: &EmailAddress) -> Result<Vec<PathBuf>, TaskError> {
    let outbox = Outbox::new(&publication.config.mail.outbox);
    let path = publication.config.name_of(outbox.folder());
    let key = address.key();
    let found = tokio::task::spawn_blocking(move || outbox.addressed_to(&key)).await?;
    found.map_err(|source| TaskError::Read { path, source })
}

/// Removes messages from the outbox; what is gone already is no fault.
///
/// # Errors
/// When a file cannot be removed.
pub fn remove_messages(publication: &Publication, messages: &[PathBuf]) -> Result<(), TaskError> {
    for path in messages {
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(TaskError::Write { path: publication.config.name_of(path), source });
            }
            _ => {}
        }
    }
    Ok(())
}
