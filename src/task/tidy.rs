//! Who is not written to: addresses that are banned, and whoever asked for mail and never confirmed, forgotten by itself.

use chrono::{DateTime, Utc};

use super::confirm::CONFIRM_WITHIN;
use super::{Publication, TaskError};

pub use crate::store::Banned;

/// What was asked for before this and never confirmed is forgotten (`form.unconfirmed`).
pub fn unconfirmed_before(publication: &Publication) -> DateTime<Utc> {
    let now = publication.clock.now();
    now.checked_sub_signed(publication.config.form.unconfirmed).unwrap_or(now)
}

/// Forgets them. Returns how many subscriptions and how many people.
///
/// # Errors
/// When the store fails.
pub async fn purge(publication: &Publication) -> Result<(u64, u64), TaskError> {
    let now = publication.clock.now();
    publication.store.tidy_confirmations(now - CONFIRM_WITHIN, now).await?;
    Ok(publication.store.purge_unconfirmed(unconfirmed_before(publication)).await?)
}
