//! `check`, `sync`, `publish`, `status`.

use anyhow::Context as _;
use serde_json::json;

use super::output::{self, count};
use super::progress::Shown;
use super::{Ended, called_as};
use crate::config::Config;
use crate::domain::digest::{Digest, DigestState, Tally};
use crate::problem::{Problem, printable};
use crate::task::sync::SyncReport;
use crate::task::{Clock, Publication, TaskError, check, hub, publish, schedule, sync};

/// Names everything wrong; changes nothing.
pub(super) async fn check(config: Config, json: bool) -> anyhow::Result<Ended> {
    let checked = tokio::task::spawn_blocking(move || check::check(&config, &Clock::system()))
        .await
        .context("the check ended early")?;
    if json {
        output::json(&checked.problems)?;
    } else {
        output::problems(&checked.problems);
        output::say(&format!(
            "{} and {} read, {} found",
            count(checked.articles, "article", "articles"),
            count(checked.feeds, "feed", "feeds"),
            count(checked.problems.len(), "problem", "problems")
        ));
    }
    Ok(Ended::with(&checked.problems))
}

async fn synced(publication: &Publication) -> Result<SyncReport, TaskError> {
    let shown = Shown::new("articles");
    sync::sync(publication, &|done, total| shown.set(done, total)).await
}

/// What is wrong with the definitions of feeds, of their newsletters, and of segments.
pub(super) fn faults_of_feeds(publication: &Publication) -> Vec<Problem> {
    let newsletters = check::newsletters(&publication.config, &publication.feeds, &publication.templates);
    let segments = publication.segment_problems.iter().cloned();
    publication.feed_problems.iter().cloned().chain(newsletters).chain(segments).collect()
}

fn describe(report: &SyncReport) -> String {
    let mut parts = vec![count(report.found, "file", "files")];
    let mut add = |number: u64, what: &str| {
        if number > 0 {
            parts.push(format!("{} {what}", output::grouped(number)));
        }
    };
    add(report.new as u64, "new");
    add(report.changed as u64, "changed");
    add(report.withdrawn as u64, "withdrawn");
    add(report.released, if report.first { "released as archive" } else { "released" });
    if parts.len() == 1 {
        parts.push("nothing changed".into());
    }
    parts.join(", ")
}

pub(super) async fn sync(publication: &Publication, json: bool) -> anyhow::Result<Ended> {
    let mut report = synced(publication).await?;
    report.problems.extend(faults_of_feeds(publication));
    if json {
        output::json(&json!({ "sync": report, "problems": report.problems }))?;
    } else {
        output::problems(&report.problems);
        output::say(&describe(&report));
    }
    Ok(Ended::with(&report.problems))
}

pub(super) async fn publish(publication: &Publication, all: bool, json: bool) -> anyhow::Result<Ended> {
    let mut report = synced(publication).await?;
    report.problems.extend(faults_of_feeds(publication));
    let published = {
        let shown = Shown::new("pages");
        publish::publish(publication, all, &|done, total| shown.set(done, total)).await?
    };
    let pinged = hub::ping(publication).await?;
    if json {
        output::json(&json!({ "sync": report, "publish": published, "hub": pinged, "problems": report.problems }))?;
        return Ok(Ended::with(&report.problems));
    }
    output::problems(&report.problems);
    output::say(&describe(&report));
    let public = publication.config.name_of(&publication.config.public);
    if published.unchanged {
        output::say(&format!("{public}/ is as it was"));
    } else {
        output::say(&format!(
            "{public}/: {} with {}, {} rendered, {} written{}",
            count(published.feeds, "feed document", "feed documents"),
            count(published.entries, "entry", "entries"),
            count(published.pages, "article page", "article pages"),
            count(published.written, "file", "files"),
            if published.removed > 0 { format!(", {} removed", published.removed) } else { String::new() }
        ));
    }
    if pinged.told > 0 {
        output::say(&format!("hub: told of {}", count(pinged.told, "feed document", "feed documents")));
    }
    for why in &pinged.faults {
        output::complain(&format!("hub: {}; it is told again by serve, or the next publish", printable(why)));
    }
    Ok(Ended::with(&report.problems))
}

/// The digests that are being sent, and where their deliveries stand.
async fn sending(publication: &Publication) -> Result<Vec<(Digest, Tally)>, TaskError> {
    let mut sending = vec![];
    for digest in publication.store.digests(None, 50).await? {
        if digest.state == DigestState::Sending {
            let tally = publication.store.tally(digest.id).await?;
            sending.push((digest, tally));
        }
    }
    Ok(sending)
}

pub(super) async fn status(publication: &Publication, json: bool) -> anyhow::Result<Ended> {
    let faults = faults_of_feeds(publication);
    let store = &publication.store;
    let (public, drafts, waiting) = store.article_counts().await?;
    let subscriptions = store.subscription_counts().await?;
    let digests = store.digests(None, 5).await?;
    let sending = sending(publication).await?;
    let senders = store.senders().await?;
    let next = schedule::next_slot(publication).await?;
    let remotes = store.remotes().await?;
    let config = &publication.config;
    let relays: Vec<String> = config.relays.iter().map(|relay| format!("{}:{}", relay.host, relay.port)).collect();
    if json {
        let rows: Vec<_> = subscriptions
            .iter()
            .map(|(feed, cadence, state, number)| json!({ "feed": feed, "cadence": cadence, "state": state, "subscriptions": number }))
            .collect();
        output::json(&json!({
            "publication": config.publication.title,
            "articles": { "public": public, "drafts": drafts, "waiting": waiting },
            "feeds": publication.feeds.iter().map(|feed| feed.name.as_str()).collect::<Vec<_>>(),
            "subscriptions": rows,
            "digests": digests,
            "sending": sending.iter().map(|(digest, tally)| json!({ "digest": digest, "deliveries": tally })).collect::<Vec<_>>(),
            "senders": senders.iter().map(|one| json!({ "host": one.host, "pid": one.pid, "started_at": one.started_at })).collect::<Vec<_>>(),
            "next_slot": next.as_ref().map(|(slot, newsletter, cadence)| json!({ "slot": slot, "newsletter": newsletter, "cadence": cadence })),
            "relays": relays,
            "sources": config.sources.iter().map(|source| {
                let remote = remotes.iter().find(|remote| remote.name == source.name);
                json!({ "name": source.name, "succeeded_at": remote.and_then(|remote| remote.succeeded_at),
                    "trouble": remote.and_then(|remote| remote.trouble.as_deref()) })
            }).collect::<Vec<_>>(),
        }))?;
        return Ok(Ended::with(&faults));
    }
    output::problems(&faults);
    output::say(&config.publication.title);
    let names: Vec<&str> = publication.feeds.iter().map(|feed| feed.name.as_str()).collect();
    let mail = match relays.as_slice() {
        [] => format!("to the folder {}/, nothing leaves this machine", config.name_of(&config.mail.outbox)),
        relays => format!("by {}", relays.join(", ")),
    };
    let zone = config.publication.time_zone;
    let slot = next.map_or_else(
        || "none: nobody waits for one".to_owned(),
        |(slot, newsletter, cadence)| {
            format!("{newsletter} {cadence}, {}", slot.with_timezone(&zone).format("%-d %B %Y %H:%M %Z"))
        },
    );
    let mut rows = vec![
        vec!["  Articles".into(), format!("{public} public, {drafts} drafts, {waiting} waiting for their date")],
        vec!["  Feeds".into(), names.join(", ")],
        vec!["  Mail".into(), mail],
        vec!["  Next slot".into(), slot],
    ];
    for source in &config.sources {
        let remote = remotes.iter().find(|remote| remote.name == source.name);
        let at = remote.and_then(|remote| remote.succeeded_at).map(|at| at.with_timezone(&zone));
        let last = at.map_or_else(|| "not asked yet".to_owned(), |at| at.format("asked %-d %B %Y %H:%M").to_string());
        let how = remote.and_then(|remote| remote.trouble.clone()).unwrap_or(last);
        rows.push(vec!["  Source".into(), printable(&format!("{}: {how}", source.name))]);
    }
    for (feed, cadence, state, number) in &subscriptions {
        rows.push(vec!["  Subscriptions".into(), format!("{feed} {cadence}: {number} {state}")]);
    }
    for digest in &digests {
        let tally = store.tally(digest.id).await?;
        let when = digest.key.slot.with_timezone(&zone).format("%-d %B %Y %H:%M");
        rows.push(vec![
            "  Digest".into(),
            format!("{} {when}: {}, {} of {} sent", digest.key.newsletter, digest.state, tally.sent, tally.total()),
        ]);
    }
    for sender in &senders {
        let since = sender.started_at.with_timezone(&zone).format("%-d %B %Y %H:%M");
        rows.push(vec!["  Sending".into(), format!("process {} on {}, since {since}", sender.pid, sender.host)]);
    }
    output::table(&rows);
    if public + drafts + waiting == 0 {
        output::say(&format!("\nNothing is in the store yet: {} sync", called_as()));
    }
    Ok(Ended::with(&faults))
}
