//! `tidings segments`.

use clap::Subcommand;
use serde_json::json;

use super::output::{self, count, grouped};
use super::{Ended, called_as};
use crate::domain::segment::{Segment, SegmentName};
use crate::problem::{Problem, did_you_mean};
use crate::task::{Publication, TaskError};

/// Addresses that are shown of a segment.
const SAMPLE: i64 = 10;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Who is in a segment: how many, and the first ten
    Show {
        /// Its file's name
        name: String,
    },
}

pub(super) async fn run(publication: &Publication, verb: Option<Verb>, json: bool) -> anyhow::Result<Ended> {
    match verb {
        None => list(publication, json).await,
        Some(Verb::Show { name }) => show(publication, &name, json).await,
    }
}

/// The segment of this name.
pub(super) fn named<'a>(publication: &'a Publication, name: &str) -> Result<&'a Segment, TaskError> {
    if let Some(segment) = publication.segments.iter().find(|segment| segment.name.as_str() == name) {
        return Ok(segment);
    }
    let file = format!("segments/{name}.toml");
    let faults: Vec<Problem> =
        publication.segment_problems.iter().filter(|problem| problem.file == file).cloned().collect();
    if !faults.is_empty() {
        return Err(TaskError::Problems(faults));
    }
    let known: Vec<&str> = publication.segments.iter().map(|segment| segment.name.as_str()).collect();
    let hint = match did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None if known.is_empty() => "write one, such as segments/lisbon.toml".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    };
    Err(Problem::new(name, "there is no such segment").hint(hint).into())
}

async fn list(publication: &Publication, json: bool) -> anyhow::Result<Ended> {
    let setting = publication.setting();
    let mut found: Vec<(&SegmentName, &str, u64)> = vec![];
    for segment in publication.segments.iter() {
        let number = publication.store.count_in(&segment.whom, &setting).await?;
        found.push((&segment.name, &segment.title, number));
    }
    let faults = &publication.segment_problems;
    if json {
        let segments: Vec<_> = found
            .iter()
            .map(|(name, title, number)| json!({ "segment": name, "title": title, "subscribers": number }))
            .collect();
        output::json(&segments)?;
        return Ok(Ended::with(faults));
    }
    output::problems(faults);
    if found.is_empty() && faults.is_empty() {
        output::say(
            "no segment yet\n  hint: write one, such as segments/lisbon.toml with a title and, below [select], attribute.city = \"Lisbon\"",
        );
        return Ok(Ended::Well);
    }
    let mut rows = vec![["SEGMENT", "SUBSCRIBERS", "TITLE"].map(str::to_owned).to_vec()];
    rows.extend(
        found.iter().map(|(name, title, number)| vec![name.to_string(), grouped(*number), (*title).to_owned()]),
    );
    output::table(&rows);
    Ok(Ended::with(faults))
}

async fn show(publication: &Publication, name: &str, json: bool) -> anyhow::Result<Ended> {
    let segment = named(publication, name)?;
    let (setting, store) = (publication.setting(), &publication.store);
    let number = store.count_in(&segment.whom, &setting).await?;
    let mut sample = vec![];
    for who in store.first_in(&segment.whom, &setting, SAMPLE).await? {
        sample.extend(store.subscriber(who).await?.map(|person| person.address));
    }
    if json {
        output::json(&json!({
            "segment": segment.name, "title": segment.title, "subscribers": number, "sample": sample,
        }))?;
        return Ok(Ended::Well);
    }
    output::say(&format!("{}: {}", segment.title, count(number, "subscriber", "subscribers")));
    for address in &sample {
        output::say(&format!("  {address}"));
    }
    if number > sample.len() as u64 {
        let rest = grouped(number - sample.len() as u64);
        output::say(&format!("  … and {rest} more: {} subscribers list --segment {}", called_as(), segment.name));
    }
    Ok(Ended::Well)
}
