//! Telling another's hub that a document has changed, as hubs have it since PubSubHubbub: `hub.mode=publish` with the
//! document's address in `hub.url`. The hub then comes and looks.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;
use tokio::task::JoinSet;
use url::Url;

use super::{Post, TICK, announce, reach};
use crate::config::Hub;
use crate::domain::hub::{Heard, heard, next_try};
use crate::fetch::{Limits, Request};
use crate::store::Ping;
use crate::task::chain;
use crate::task::run::Event;
use crate::task::{Publication, TaskError};

/// Pings under way at a time; there is one host that they go to.
const BATCH: i64 = 16;
/// For how long a process has a ping that it is about to send.
const LEASE: TimeDelta = TimeDelta::minutes(5);
/// What a hub may take to say that it has it.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), whole: Duration::from_secs(10), body: 0, ratio: 1 };

/// Announces each new site and pings until the word to stop; what is broken off then is due again in some minutes.
pub(super) async fn keep(mut post: Post) {
    let mut bell = post.publication.hub.bell.subscribe();
    let mut last = None;
    loop {
        let look = async {
            let site = post.site.load_full();
            if last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &site)) {
                announce(&post.publication, &site, &post.publication.config.live_urls()).await?;
                last = Some(site);
            }
            ping(&post.publication).await
        };
        tokio::select! {
            () = post.stop.given() => return,
            pinged = look => match pinged {
                Ok(Pinged { told: 0, .. }) => {}
                Ok(pinged) => post.say(Event::HubPinged(pinged.told)),
                Err(error) => post.say(Event::Failed(error)),
            }
        }
        tokio::select! {
            () = post.stop.given() => return,
            _ = bell.changed() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// What became of pings.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Pinged {
    /// How many documents the hub knows of now.
    pub told: u64,
    /// Why others were not told of, each reason once.
    pub faults: Vec<String>,
}

/// Tells the hub of each document that is due.
///
/// # Errors
/// When the store fails. A hub that does not take it is told again later.
pub async fn ping(publication: &Publication) -> Result<Pinged, TaskError> {
    let mut pinged = Pinged::default();
    let Some(Hub::Other(hub)) = &publication.config.hub else { return Ok(pinged) };
    let store = &publication.store;
    loop {
        let now = publication.clock.now();
        let due = store.claim_pings(BATCH, now + LEASE, now).await?;
        if due.is_empty() {
            return Ok(pinged);
        }
        let mut under_way = JoinSet::new();
        for ping in due {
            let (publication, hub) = (publication.clone(), hub.clone());
            under_way.spawn(async move {
                let fault = post(&publication, hub, &ping).await.err();
                (ping, fault)
            });
        }
        while let Some(done) = under_way.join_next().await {
            let (ping, fault) = done?;
            let now = publication.clock.now();
            let Some((why, asked)) = fault else {
                store.end_ping(&ping, now).await?;
                pinged.told += 1;
                continue;
            };
            tracing::warn!(topic = ping.topic, %why, "the hub was not told");
            match next_try(ping.attempts, ping.first_at, asked, now) {
                Some(at) => store.ping_later(&ping, at, &why).await?,
                None => store.end_ping(&ping, now).await?,
            }
            if !pinged.faults.contains(&why) {
                pinged.faults.push(why);
            }
        }
    }
}

/// One ping; if it was not taken, why, and how long the hub asks us to wait.
async fn post(publication: &Publication, hub: Url, ping: &Ping) -> Result<(), (String, Option<TimeDelta>)> {
    let fields = [("hub.mode", "publish"), ("hub.url", ping.topic.as_str())];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post(hub, "application/x-www-form-urlencoded", body)
        .within(reach(publication))
        .limited(LIMITS)
        .without_body();
    match publication.hub.fetcher.fetch(request).await {
        Ok(answer) if heard(answer.status.as_u16()) == Heard::Yes => Ok(()),
        Ok(answer) => Err((format!("it answered {}", answer.status), answer.retry_after(publication.clock.now()))),
        Err(error) => Err((chain(&error), None)),
    }
}
