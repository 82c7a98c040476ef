//! `tidings schedule`.

use std::path::Path;

use chrono::TimeDelta;
use serde_json::json;

use super::output::{self, count, grouped};
use super::{Ended, environment};
use crate::domain::newsletter::Cadence;
use crate::task::calendar::{self, Calendar, Coming, Definitions, Difference, Slotless};
use crate::task::{Publication, TaskError, compose};

pub(super) async fn run(
    publication: &Publication,
    newsletter: Option<&str>,
    weeks: u16,
    diff: Option<&Path>,
    json: bool,
) -> anyhow::Result<Ended> {
    let only = newsletter.map(|name| compose::newsletter(publication, name).map(|(feed, _)| feed.name.clone()));
    let time = TimeDelta::weeks(i64::from(weeks));
    let Some(path) = diff else {
        let only = only.transpose()?;
        let definitions = Definitions::of(publication);
        let calendar = calendar::coming(publication, &definitions, only.as_ref(), time).await?;
        let mut standing = vec![];
        for digest in publication.store.standing(only.as_ref()).await? {
            let waiting = publication.store.tally(digest.id).await?.open();
            standing.push((digest, waiting));
        }
        if json {
            let standing: Vec<_> =
                standing.iter().map(|(digest, waiting)| json!({ "digest": digest, "waiting": waiting })).collect();
            let Calendar { slots, slotless, resting } = &calendar;
            output::json(&json!({ "slots": slots, "slotless": slotless, "resting": resting, "standing": standing }))?;
            return Ok(Ended::Well);
        }
        show(publication, &calendar);
        for (digest, waiting) in standing {
            output::say(&format!(
                "{} {} {}: {}; {} wait\n  hint: {} digest resume {}, or digest cancel",
                digest.key.newsletter,
                digest.key.cadence.map_or("every", Cadence::as_str),
                when(publication, digest.key.slot),
                digest.state,
                count(waiting, "reader", "readers"),
                super::called_as(),
                digest.id,
            ));
        }
        return Ok(Ended::Well);
    };
    let then = Definitions::at(publication, path, environment()).map_err(TaskError::Problems)?;
    // A newsletter that is only in the other folder has a name as well.
    let only = match (only, newsletter.and_then(crate::domain::feed::FeedName::parse)) {
        (Some(Err(error)), Some(name)) if then.feeds.iter().all(|feed| feed.name != name) => return Err(error.into()),
        (_, name) => name,
    };
    let difference = calendar::difference(publication, &then, only.as_ref(), time).await?;
    if json {
        output::json(&difference)?;
    } else {
        tell(publication, &difference);
    }
    Ok(Ended::Well)
}

pub(super) fn when(publication: &Publication, at: chrono::DateTime<chrono::Utc>) -> String {
    at.with_timezone(&publication.config.publication.time_zone).format("%a %-d %B %Y %H:%M %Z").to_string()
}

fn row(publication: &Publication, coming: &Coming) -> Vec<String> {
    let zones: Vec<_> = coming.readers.iter().map(|(zone, readers)| format!("{zone} {}", grouped(*readers))).collect();
    vec![
        when(publication, coming.slot),
        coming.newsletter.to_string(),
        coming.cadence.to_string(),
        grouped(coming.readers.values().sum()),
        zones.join(", "),
    ]
}

fn slotless(row: &Slotless) -> String {
    let Slotless { newsletter, cadence, readers, is_offered } = row;
    let readers = count(*readers, "reader", "readers");
    if *is_offered {
        format!("{newsletter} {cadence}: as soon as something is released, to {readers}")
    } else {
        format!("{newsletter} {cadence}: not on offer; {readers} get no mail until they choose another cadence")
    }
}

fn show(publication: &Publication, calendar: &Calendar) {
    let mut rows = vec![["SLOT", "NEWSLETTER", "CADENCE", "READERS", "BY ZONE"].map(str::to_owned).to_vec()];
    rows.extend(calendar.slots.iter().map(|coming| row(publication, coming)));
    if rows.len() > 1 {
        output::table(&rows);
    } else {
        output::say("no slot comes in this time: nobody waits for one");
    }
    for row in &calendar.slotless {
        output::say(&slotless(row));
    }
    for row in &calendar.resting {
        let until = row.first_until.map(|at| format!("; the first goes on {}", when(publication, at)));
        let readers = count(row.readers, "reader has", "readers have");
        output::say(&format!("{}: {readers} paused{}", row.newsletter, until.unwrap_or_default()));
    }
}

fn tell(publication: &Publication, difference: &Difference) {
    let Difference { settings, gone, new, left_without } = difference;
    if settings.is_empty() && gone.is_empty() && new.is_empty() && left_without.is_empty() {
        output::say("nothing would change");
        return;
    }
    for change in settings {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let (before, after) = (value(&change.before), value(&change.after));
        output::say(&format!("{} {}: {before} becomes {after}", change.newsletter, change.key));
    }
    let signed = |sign: &str, coming: &Coming| [vec![sign.to_owned()], row(publication, coming)].concat();
    let mut rows: Vec<_> = gone.iter().map(|coming| (coming, signed("-", coming))).collect();
    rows.extend(new.iter().map(|coming| (coming, signed("+", coming))));
    rows.sort_by_key(|(coming, _)| coming.slot);
    output::table(&rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
    for row in left_without {
        output::say(&slotless(row));
    }
}
