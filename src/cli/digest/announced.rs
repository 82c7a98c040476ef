//! What a digest would do, before it does it.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::called_as;
use super::super::output::{self, count, grouped};
use super::{length, when};
use crate::domain::newsletter::Cadence;
use crate::domain::trial::{Trial, letter};
use crate::task::compose::{self, Choice, Plan};
use crate::task::{Publication, TaskError};

/// In words, on standard error.
pub(super) fn announce(publication: &Publication, plan: &Plan) {
    let way = match publication.config.relays.len() {
        0 => format!("into {}/ (no relay is configured)", publication.config.name_of(&publication.config.mail.outbox)),
        1 => format!("by {}", publication.config.relays[0].host),
        several => format!("by {several} relays"),
    };
    let what = match plan.choice {
        Choice::New => "what each reader has not had yet",
        Choice::First => "the latest articles, as this is the newsletter's first digest",
        Choice::Latest => "the latest articles",
        Choice::Picked => "the articles picked by hand; what is new among them comes with the next digest as well",
    };
    output::complain(&format!("{}: {what}", plan.feed.title));
    for released in plan.articles.iter().rev().take(12) {
        output::complain(&format!("  {}", released.article.title));
    }
    if plan.articles.len() > 12 {
        output::complain(&format!("  … and {} more", plan.articles.len() - 12));
    }
    let whom = plan.segment.as_ref().map(|segment| format!(" in the segment {}", segment.name)).unwrap_or_default();
    output::complain(&format!("to {}{whom}, {way}", count(plan.readers(), "reader", "readers")));
    if let Some(trial) = &plan.trial {
        announce_trial(trial, plan.readers());
    }
    if let Some(note) = &plan.note {
        output::complain(&format!("with a note of {}", count(note.chars().count(), "character", "characters")));
    }
    for (cadence, readers) in by_cadence(plan) {
        output::complain(&format!("  {cadence}: {}", grouped(readers)));
        for ((_, zone), readers) in
            by_zone(publication, plan).range((cadence, String::new())..).take_while(|((of, _), _)| *of == cadence)
        {
            output::complain(&format!("    {zone}: {}", grouped(*readers)));
        }
    }
}

fn announce_trial(trial: &Trial, readers: u64) {
    let tried = (u128::from(readers) * u128::from(trial.share.as_millionths()) + 500_000) / 1_000_000;
    output::complain(&format!(
        "on trial with about {} of them; the others wait for {} and get what wins, or what `digest pick` says",
        grouped(u64::try_from(tried).unwrap_or(u64::MAX)),
        length(trial.length)
    ));
    for (place, subject) in trial.subjects.iter().enumerate() {
        output::complain(&format!("  {}: {subject}", letter(place)));
    }
}

/// As JSON.
pub(super) fn as_json(publication: &Publication, plan: &Plan) -> serde_json::Value {
    let zones: Vec<_> = by_zone(publication, plan)
        .into_iter()
        .map(|((cadence, zone), readers)| json!({ "cadence": cadence, "zone": zone, "readers": readers }))
        .collect();
    json!({
        "newsletter": plan.feed.name,
        "slot": plan.key.slot,
        "segment": plan.key.segment,
        "choice": plan.choice,
        "articles": plan.articles.iter().map(|released| released.article.slug.as_str()).collect::<Vec<_>>(),
        "readers": plan.readers(),
        "note": plan.note,
        "trial": plan.trial,
        "cadences": by_cadence(plan),
        "zones": zones,
    })
}

/// Why it would do nothing.
pub(super) async fn nothing_to_do(publication: &Publication, plan: &Plan) -> Result<String, TaskError> {
    let feed = &plan.feed;
    if let Some(digest) = &plan.existing {
        let tally = publication.store.tally(digest.id).await?;
        return Ok(format!(
            "{}: this digest is {} already, to {}; nobody is mailed twice",
            feed.title,
            digest.state,
            count(tally.total(), "reader", "readers")
        ));
    }
    let standing = publication.store.standing(Some(&feed.name)).await?;
    if let Some(digest) = standing.first().filter(|_| plan.articles.is_empty()) {
        return Ok(format!(
            "{}: nobody has anything new to read but those who wait for the digest of {}, which is {}\n  hint: {} digest resume {}, or digest cancel",
            feed.title,
            when(publication, digest),
            digest.state,
            called_as(),
            digest.id
        ));
    }
    if publication.store.readers(&feed.name).await?.is_empty() {
        return Ok(format!(
            "{} has no active reader yet\n  hint: {} subscribers add you@example.org --feed {}",
            feed.title,
            called_as(),
            feed.name
        ));
    }
    if let Some(segment) = &plan.segment {
        return Ok(format!(
            "{}: nobody in the segment {} has anything new to read\n  hint: {} segments show {}",
            feed.title,
            segment.name,
            called_as(),
            segment.name
        ));
    }
    Ok(format!(
        "{}: nobody has anything new to read\n  hint: --latest 10 sends the latest ten articles all the same",
        feed.title
    ))
}

fn by_zone(publication: &Publication, plan: &Plan) -> BTreeMap<(Cadence, String), u64> {
    let own = publication.config.publication.time_zone.name();
    let mut counts = BTreeMap::new();
    for group in &plan.groups {
        let clock = compose::clock_name(plan.feed.newsletter.as_ref(), group, own);
        *counts.entry((group.cadence, clock)).or_default() += group.readers;
    }
    counts
}

fn by_cadence(plan: &Plan) -> BTreeMap<Cadence, u64> {
    let mut counts = BTreeMap::new();
    for group in &plan.groups {
        *counts.entry(group.cadence).or_default() += group.readers;
    }
    counts
}
