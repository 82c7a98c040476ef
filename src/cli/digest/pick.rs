//! `tidings digest pick`, and what is said of subjects on trial.

use serde_json::json;

use super::super::output::{self, count, grouped};
use super::super::{Ended, Usage, called_as};
use super::{agreed, found, when};
use crate::domain::digest::{Digest, DigestState};
use crate::domain::trial::{Trial, letter, place};
use crate::task::{Publication, trial};

/// Settles which subject the others get.
pub(super) async fn pick(
    publication: &Publication,
    id: &str,
    subject: &str,
    yes: bool,
    json: bool,
) -> anyhow::Result<Ended> {
    let digest = found(publication, id).await?;
    let name = format!("{} of {}", digest.key.newsletter, when(publication, &digest));
    let Some(trial) = &digest.trial else {
        output::complain(&format!("{name} has one subject: there is nothing to pick"));
        return Ok(Ended::WithFaults);
    };
    let last = letter(trial.subjects.len() - 1);
    let Some(place) = place(subject).filter(|place| *place < trial.subjects.len()) else {
        return Err(Usage(format!("{subject:?} is no subject of this digest; write A to {last}")).into());
    };
    let mut is_done = false;
    if trial.picked.is_none() {
        if matches!(digest.state, DigestState::Sent | DigestState::Cancelled) {
            output::complain(&format!("{name}: {}; nobody waits for a subject any more", digest.state));
            return Ok(Ended::WithFaults);
        }
        let waiting = publication.store.waiting_for_pick(digest.id).await?;
        let readers = count(waiting, "reader gets", "readers get");
        output::complain(&format!("{name}: {readers} {} ({})", letter(place), trial.subjects[place]));
        if !yes && !agreed("Pick it?")? {
            output::complain("nothing was changed");
            return Ok(Ended::Well);
        }
        is_done = publication.store.pick(digest.id, place, publication.clock.now()).await?;
    }
    let picked = found(publication, &digest.id.to_string()).await?.trial.and_then(|trial| trial.picked);
    if json {
        let picked = picked.map(|place| letter(place).to_string());
        output::json(&json!({ "digest": digest.id, "picked": picked, "changed": is_done }))?;
    } else if is_done {
        output::say(&format!(
            "{name}: {} it is; it goes out with {} serve, or {} digest send {}",
            letter(place),
            called_as(),
            called_as(),
            digest.key.newsletter
        ));
    } else if let Some(picked) = picked {
        output::say(&format!("{name}: {} was picked before; nothing was changed", letter(picked)));
    }
    Ok(if picked == Some(place) { Ended::Well } else { Ended::WithFaults })
}

/// Each subject with what became of it, and who gets which.
pub(super) async fn rows(
    publication: &Publication,
    digest: &Digest,
    trial: &Trial,
) -> anyhow::Result<Vec<Vec<String>>> {
    let results = trial::results(publication, digest.id, trial).await?;
    let mut rows = vec![];
    for (at, (subject, result)) in trial.subjects.iter().zip(&results).enumerate() {
        let told = format!("{subject} ({} sent, {} lost)", grouped(result.sent), grouped(result.lost));
        rows.push(vec![format!("Subject {}", letter(at)), told]);
    }
    let zone = publication.config.publication.time_zone;
    let told = match (trial.picked, trial.until) {
        (Some(picked), _) => format!("{} was picked for the others", letter(picked)),
        (None, Some(until)) => format!(
            "{} wait until {}, unless one is picked before",
            grouped(publication.store.waiting_for_pick(digest.id).await?),
            until.with_timezone(&zone).format("%-d %B %Y %H:%M")
        ),
        (None, None) => format!(
            "{} wait for {} from when it begins to be sent",
            grouped(publication.store.waiting_for_pick(digest.id).await?),
            super::length(trial.length)
        ),
    };
    rows.push(vec!["Trial".into(), told]);
    Ok(rows)
}

/// Says who waits for a subject, where somebody does after everything that was due was sent.
pub(super) async fn tell_who_waits(publication: &Publication) -> anyhow::Result<()> {
    for digest in publication.store.on_trial().await? {
        let waiting = publication.store.waiting_for_pick(digest.id).await?;
        output::complain(&format!(
            "{} of {}: {} for a subject\n  hint: {} digest pick {} A picks one now; serve, or the same command again, does when the time is over",
            digest.key.newsletter,
            when(publication, &digest),
            count(waiting, "reader waits", "readers wait"),
            called_as(),
            digest.id
        ));
    }
    Ok(())
}
