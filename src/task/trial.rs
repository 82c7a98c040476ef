//! Subjects on trial: begun when their digest is, settled when their time is over.

use super::{Publication, TaskError};
use crate::domain::digest::{Digest, DigestId};
use crate::domain::trial::{Part, Reception, Trial, winner};

/// Begins the trials of digests that began to go out, and settles those whose time is over and whose readers have all
/// been tried to be reached. Returns the digests whose subject was picked by this call, and which.
///
/// # Errors
/// When the store fails.
pub async fn look(publication: &Publication) -> Result<Vec<(Digest, usize)>, TaskError> {
    let (store, now) = (&publication.store, publication.clock.now());
    let mut picked = vec![];
    for digest in store.on_trial().await? {
        let Some(trial) = &digest.trial else { continue };
        match trial.until {
            None => store.try_until(digest.id, now + trial.length).await?,
            Some(until) if until > now || store.is_trial_open(digest.id).await? => {}
            Some(_) => {
                let place = winner(&results(publication, digest.id, trial).await?);
                if store.pick(digest.id, place, now).await? {
                    picked.push((digest, place));
                }
            }
        }
    }
    Ok(picked)
}

/// What became of each subject so far.
///
/// # Errors
/// When the store fails.
pub async fn results(publication: &Publication, digest: DigestId, trial: &Trial) -> Result<Vec<Reception>, TaskError> {
    let mut results = vec![Reception::default(); trial.subjects.len()];
    publication
        .store
        .each_sent(digest, |who| {
            if let Part::Tried(place) = trial.part(digest, who) {
                results[place].sent += 1;
            }
        })
        .await?;
    for who in publication.store.lost_by(digest).await? {
        if let Part::Tried(place) = trial.part(digest, who) {
            results[place].lost += 1;
        }
    }
    Ok(results)
}
