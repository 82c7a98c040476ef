//! `tidings hub`: who is told at once that a feed has changed.

use serde_json::json;

use super::Ended;
use super::output::{self, count, grouped};
use super::schedule::when;
use crate::config::Hub;
use crate::problem::printable;
use crate::task::Publication;
use crate::task::hub::{Audience, Failing};

/// Listeners that are named because they fail.
const NAMED: i64 = 50;

pub(super) async fn run(publication: &Publication, json: bool) -> anyhow::Result<Ended> {
    let (store, now) = (&publication.store, publication.clock.now());
    let own = publication.config.hubs(&publication.config.live_urls());
    let audiences = store.audiences(now).await?;
    let failing = store.failing_listeners(NAMED, now).await?;
    let (_, requests) = store.hub_requests("").await?;
    let (pings, why) = store.pings().await?;
    if json {
        let kind = publication.config.hub.as_ref().map(|hub| if *hub == Hub::Own { "own" } else { "other" });
        output::json(&json!({
            "hub": kind, "url": own.first(), "topics": audiences, "failing": failing, "requests": requests,
            "pings": { "waiting": pings, "why": why },
        }))?;
        return Ok(Ended::Well);
    }
    let Some(url) = own.first() else {
        output::say(
            "No hub tells of changes in the feeds: set feeds.hub to \"own\" or to a hub's address in config.toml.",
        );
        return Ok(Ended::Well);
    };
    if publication.config.hub != Some(Hub::Own) {
        let left = match pings {
            0 => "knows of every change".to_owned(),
            some => format!("is still to be told of {}", count(some, "feed document", "feed documents")),
        };
        let why = why.map(|why| format!(": {}", printable(&why))).unwrap_or_default();
        output::say(&format!("{url} {left}{why}"));
        return Ok(Ended::Well);
    }
    let listeners = audiences.iter().map(|audience| audience.listeners).sum::<u64>();
    output::say(&format!("{url} tells {}", count(listeners, "listener", "listeners")));
    if requests > 0 {
        output::say(&format!("{} to be asked", count(requests, "callback is still", "callbacks are still")));
    }
    show(publication, &audiences, &failing);
    Ok(Ended::Well)
}

fn show(publication: &Publication, audiences: &[Audience], failing: &[Failing]) {
    let base = publication.config.live_urls().base().to_owned();
    let short = |topic: &str| printable(topic.strip_prefix(&base).unwrap_or(topic));
    if audiences.is_empty() {
        return;
    }
    let head = ["  Feed", "Listeners", "To be told", "Failing"].map(str::to_owned).to_vec();
    let rows = audiences.iter().map(|audience| {
        let numbers = [audience.listeners, audience.due, audience.failing].map(grouped);
        std::iter::once(format!("  {}", short(&audience.topic))).chain(numbers).collect()
    });
    output::say("");
    output::table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    if failing.is_empty() {
        return;
    }
    output::say("\nNot reached:");
    let rows = failing.iter().map(|one| {
        let next =
            one.due_at.map_or("with the next change".to_owned(), |at| format!("again {}", when(publication, at)));
        vec![
            format!("  {}", printable(&one.host)),
            short(&one.topic),
            format!("since {}", when(publication, one.since)),
            count(one.attempts, "attempt", "attempts"),
            next,
            printable(&one.why),
        ]
    });
    output::table(&rows.collect::<Vec<_>>());
}
