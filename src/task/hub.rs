//! Who is told at once that a feed has changed (WebSub): whom our own hub tells, or another's hub.
//!
//! | Module | What it does |
//! |---|---|
//! | `asking` | asks a callback whether it wants what was asked for it |
//! | `telling` | brings a document that has changed to whoever listens |
//! | `pinging` | tells another's hub that a document has changed |
//!
//! What is due stands in the store, so that any number of processes may share it, and none is lost when one ends.

mod asking;
mod pinging;
mod telling;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use url::Host;

use super::dispatch::Stop;
use super::publish::Site;
use super::run::Event;
use super::{Publication, TaskError, fingerprint};
use crate::config::{self, Urls};
use crate::domain::hub::{MOST_LISTENERS, MOST_WAITING, Mode, Wish};
use crate::domain::limits::{Allowance, Limits, Network};
use crate::fetch::address::is_public;
use crate::fetch::{Fetcher, Reach};

pub use crate::store::{Audience, Failing};
pub use pinging::ping;

/// How often what is due is looked for, where nobody says that there is something.
const TICK: Duration = Duration::from_secs(2);

/// Requests that one network may make: a reader of many feeds in all their formats asks a few dozen.
const PER_NETWORK: Allowance = Allowance::per_hour(300);
/// Requests from everywhere together.
const OVERALL: Allowance = Allowance::per_hour(5000);

/// Challenges that a host may fail to answer before it is not asked any more for a while: so nobody can have us ask a
/// third party again and again.
const FAILURES: Allowance = Allowance::per_hour(5);
/// The same for all hosts together.
const FAILURES_OVERALL: Allowance = Allowance::per_hour(1000);

/// Requests that the hub makes at a time, to all and to one host.
const AT_ONCE: (usize, usize) = (256, 32);

/// What is said where a topic is none of ours.
pub const NO_TOPIC: &str = "hub.topic is no feed of this publication";
/// What is said where there is no room for another listener.
pub const FULL: &str = "there are as many listeners as there can be";

/// How a person lets the hub into private networks.
const SWITCH: &str = "feeds.hub_private = true";

/// What the hub keeps in this process.
#[derive(Debug)]
pub struct Hub {
    bell: watch::Sender<()>,
    fetcher: Fetcher,
    requests: Mutex<Limits<Network>>,
    failures: Mutex<Limits<String>>,
}

impl Hub {
    /// A hub that has told nobody.
    pub fn new(fetcher: &Fetcher) -> Self {
        Self {
            bell: watch::Sender::new(()),
            fetcher: fetcher.with_room(AT_ONCE.0, AT_ONCE.1),
            requests: Mutex::new(Limits::new(PER_NETWORK, OVERALL)),
            failures: Mutex::new(Limits::new(FAILURES, FAILURES_OVERALL)),
        }
    }

    /// Calls attention to something new.
    pub fn ring(&self) {
        self.bell.send_replace(());
    }

    /// How long a host is not asked, for it failed to answer.
    fn barred(&self, host: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).wait(Some(&host.to_owned()), now)
    }

    fn has_failed(&self, host: &str, now: DateTime<Utc>) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).take(Some(host.to_owned()), now);
    }
}

/// What is said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is going to be looked into.
    Accepted,
    /// It is not as it should be, and why.
    Refused(String),
    /// There is no such document.
    Unknown,
    /// Too many; how long to wait.
    Wait(TimeDelta),
    /// There are as many listeners as there can be.
    Full,
}

/// Takes a request to our own hub (WebSub §5.1) from a network, where that is known.
///
/// # Errors
/// When the store fails.
pub async fn ask(
    publication: &Publication,
    site: &Site,
    network: Option<Network>,
    body: &[u8],
) -> Result<Reply, TaskError> {
    let (config, hub, now) = (&publication.config, &publication.hub, publication.clock.now());
    if let Some(wait) = hub.requests.lock().unwrap_or_else(PoisonError::into_inner).take(network, now) {
        return Ok(Reply::Wait(wait));
    }
    let wish = match Wish::parse(body) {
        Ok(wish) => wish,
        Err(why) => return Ok(Reply::Refused(why)),
    };
    if !topics(site, &config.live_urls()).any(|(topic, _)| topic == wish.topic) {
        return Ok(Reply::Unknown);
    }
    if !config.hub_private && is_private(&wish) {
        return Ok(Reply::Refused("hub.callback is not on the public internet".to_owned()));
    }
    let id = fingerprint([wish.topic.as_str(), wish.callback.as_str()]);
    let (listeners, is_listener) = publication.store.listeners(&id).await?;
    if wish.mode == Mode::Unsubscribe && !is_listener {
        // It is so already, and nobody need be asked.
        return Ok(Reply::Accepted);
    }
    if let Some(wait) = hub.barred(wish.host(), now) {
        return Ok(Reply::Wait(wait));
    }
    let (of_host, all) = publication.store.hub_requests(wish.host()).await?;
    if of_host >= MOST_WAITING.0 || all >= MOST_WAITING.1 {
        return Ok(Reply::Wait(TimeDelta::minutes(1)));
    }
    if listeners >= MOST_LISTENERS && !is_listener {
        return Ok(Reply::Full);
    }
    publication.store.ask_hub(&id, &wish, now).await?;
    hub.ring();
    Ok(Reply::Accepted)
}

/// Whether the callback's host is an address that is nobody's on the internet; a name is looked up when it is asked.
fn is_private(wish: &Wish) -> bool {
    match wish.callback.host() {
        Some(Host::Ipv4(address)) => !is_public(address.into()),
        Some(Host::Ipv6(address)) => !is_public(address.into()),
        Some(Host::Domain(_)) | None => false,
    }
}

/// The documents of a site that change and are told of, by their addresses.
fn topics<'a>(site: &'a Site, urls: &'a Urls) -> impl Iterator<Item = (String, &'a super::document::Document)> {
    site.documents.iter().filter(|(_, document)| document.is_feed()).map(|(path, document)| (urls.at(path), document))
}

/// Notes which documents have changed, and that whoever wants to know is to be told. Returns how many have.
///
/// # Errors
/// When the store fails.
pub(super) async fn announce(publication: &Publication, site: &Site, urls: &Urls) -> Result<usize, TaskError> {
    let Some(hub) = &publication.config.hub else { return Ok(0) };
    let mut topics: Vec<_> = topics(site, urls).collect();
    // In one order, so that of several processes none waits for what another has while that waits for it.
    topics.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let documents: Vec<_> = topics.iter().map(|(topic, document)| (topic.as_str(), document.hash())).collect();
    let now = publication.clock.now();
    let changed = publication.store.announce(&documents, site.revision, *hub == config::Hub::Own, now).await?;
    if changed > 0 {
        publication.hub.ring();
    }
    Ok(changed)
}

fn reach(publication: &Publication) -> Reach {
    Reach::of(publication.config.hub_private, SWITCH)
}

/// What the three that work here have in hand.
#[derive(Clone)]
struct Post {
    publication: Publication,
    site: Arc<ArcSwap<Site>>,
    stop: Stop,
    says: mpsc::UnboundedSender<Event>,
}

impl Post {
    fn say(&self, event: Event) {
        // Nobody listens any more where everything ends.
        let _ = self.says.send(event);
    }
}

/// Tells whoever is to be told until the word to stop: in threads of their own, for a publish keeps one busy.
pub async fn keep_telling_hubs(
    publication: &Publication,
    site: &Arc<ArcSwap<Site>>,
    stop: Stop,
    on_event: &(dyn Fn(Event) + Sync),
) {
    let (says, mut said) = mpsc::unbounded_channel();
    let post = Post { publication: publication.clone(), site: Arc::clone(site), stop, says };
    let mut working = JoinSet::new();
    match &publication.config.hub {
        None => return,
        Some(config::Hub::Own) => {
            working.spawn(asking::keep(post.clone()));
            working.spawn(telling::keep(post));
        }
        Some(config::Hub::Other(_)) => drop(working.spawn(pinging::keep(post))),
    }
    loop {
        tokio::select! {
            Some(event) = said.recv() => on_event(event),
            done = working.join_next() => if done.is_none() { break },
        }
    }
    while let Ok(event) = said.try_recv() {
        on_event(event);
    }
}
