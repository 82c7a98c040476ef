//! `tidings digest list` and `show`: where digests stand, and what was said of those who did not get one.

use serde_json::json;

use super::super::output::{self, grouped};
use super::super::{Ended, called_as};
use super::{found, pick, when};
use crate::domain::address::EmailAddress;
use crate::domain::newsletter::Cadence;
use crate::domain::report::ReportCounts;
use crate::task::{Publication, compose, trial};

pub(super) async fn list(publication: &Publication, newsletter: Option<&str>, json: bool) -> anyhow::Result<Ended> {
    let feed =
        newsletter.map(|name| compose::newsletter(publication, name)).transpose()?.map(|(feed, _)| feed.name.clone());
    let mut rows = vec![];
    let mut values = vec![];
    for digest in publication.store.digests(feed.as_ref(), 50).await? {
        let tally = publication.store.tally(digest.id).await?;
        rows.push(vec![
            digest.id.to_string(),
            digest.key.newsletter.to_string(),
            match &digest.key.segment {
                Some(segment) => segment.to_string(),
                None => digest.key.cadence.map_or("every", Cadence::as_str).to_owned(),
            },
            when(publication, &digest),
            digest.state.to_string(),
            format!("{}/{}", grouped(tally.sent), grouped(tally.total())),
        ]);
        values.push(json!({ "digest": digest, "deliveries": tally }));
    }
    if json {
        output::json(&values)?;
    } else if rows.is_empty() {
        output::say(&format!("no digest yet\n  hint: {} digest send NEWSLETTER", called_as()));
    } else {
        rows.insert(0, ["ID", "NEWSLETTER", "TO", "SLOT", "STATE", "SENT"].map(str::to_owned).to_vec());
        output::table(&rows);
    }
    Ok(Ended::Well)
}

pub(super) async fn show(publication: &Publication, id: &str, json: bool) -> anyhow::Result<Ended> {
    let digest = found(publication, id).await?;
    let tally = publication.store.tally(digest.id).await?;
    let articles = publication.store.articles_of(digest.id).await?;
    let outcomes = publication.store.outcomes(digest.id, 20).await?;
    let reports = publication.store.reports_of(digest.id).await?;
    if json {
        let slugs: Vec<&str> = articles.iter().map(|released| released.article.slug.as_str()).collect();
        let outcomes: Vec<_> = outcomes
            .iter()
            .map(|(state, outcome, number)| json!({ "state": state, "outcome": outcome, "deliveries": number }))
            .collect();
        output::json(&json!({
            "digest": digest, "deliveries": tally, "articles": slugs, "outcomes": outcomes, "reports": reports,
            "subjects": match &digest.trial {
                Some(trial) => Some(trial::results(publication, digest.id, trial).await?),
                None => None,
            },
        }))?;
        return Ok(Ended::Well);
    }
    let mut rows = vec![
        vec!["Digest".into(), digest.id.to_string()],
        vec![
            "Newsletter".into(),
            format!("{} ({})", digest.key.newsletter, digest.key.cadence.map_or("every cadence", Cadence::as_str)),
        ],
        vec!["Slot".into(), when(publication, &digest)],
        vec!["State".into(), digest.state.to_string()],
        vec![
            "Deliveries".into(),
            format!(
                "{}: {} sent, {} waiting, {} put off, {} refused, {} given up, {} skipped",
                grouped(tally.total()),
                grouped(tally.sent),
                grouped(tally.queued),
                grouped(tally.deferred),
                grouped(tally.refused),
                grouped(tally.failed),
                grouped(tally.skipped)
            ),
        ],
    ];
    if let Some(segment) = &digest.key.segment {
        rows.insert(2, vec!["Segment".into(), format!("{segment}: only those of its readers who were in it then")]);
    }
    if let Some(trial) = &digest.trial {
        rows.extend(pick::rows(publication, &digest, trial).await?);
    }
    if reports != ReportCounts::default() {
        let told = format!(
            "{} hard bounces, {} soft, {} for the content, {} for the sender, {} complaints, {} left by mail",
            grouped(reports.bounced_hard),
            grouped(reports.bounced_soft),
            grouped(reports.refused_content),
            grouped(reports.refused_sender),
            grouped(reports.complained),
            grouped(reports.left)
        );
        rows.push(vec!["Came back".into(), told]);
    }
    rows.extend(articles.iter().map(|released| vec!["Article".into(), released.article.title.clone()]));
    rows.extend(
        outcomes.iter().map(|(state, outcome, number)| vec!["Not sent".into(), format!("{number} {state}: {outcome}")]),
    );
    output::table(&rows);
    Ok(Ended::Well)
}

pub(super) async fn attempts(publication: &Publication, id: &str, address: &str, json: bool) -> anyhow::Result<Ended> {
    let digest = found(publication, id).await?;
    let reader = match EmailAddress::parse(address) {
        Ok(address) => publication.store.subscriber_by_address(&address.key()).await?,
        Err(_) => None,
    };
    let Some(reader) = reader else {
        output::complain("there is no such subscriber");
        return Ok(Ended::WithFaults);
    };
    let attempts = publication.store.attempts(digest.id, reader.id).await?;
    if json {
        output::json(&json!({ "digest": digest.id, "attempts": attempts }))?;
        return Ok(Ended::Well);
    }
    if attempts.is_empty() {
        output::say("nothing was tried");
    }
    let zone = publication.config.publication.time_zone;
    let rows = attempts.iter().map(|attempt| {
        let enhanced = attempt.enhanced.clone().filter(|code| !attempt.text.starts_with(code));
        let codes = attempt.code.iter().map(ToString::to_string).chain(enhanced);
        let said = attempt.stage.clone().into_iter().chain(codes).chain([crate::problem::printable(&attempt.text)]);
        vec![
            attempt.at.with_timezone(&zone).format("%-d %B %Y %H:%M:%S").to_string(),
            attempt.relay.clone(),
            attempt.verdict.clone(),
            format!("{} ms", grouped(attempt.ms)),
            said.collect::<Vec<_>>().join(" "),
        ]
    });
    output::table(&rows.collect::<Vec<_>>());
    Ok(Ended::Well)
}
