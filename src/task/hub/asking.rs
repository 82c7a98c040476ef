//! Asking a callback whether it wants what was asked for it (WebSub §5.3): one question at a time to each host, so that
//! whoever does not answer is known before it is asked again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::task::JoinSet;

use super::{FULL, NO_TOPIC, Post, TICK, reach, topics};
use crate::domain::hub::{MOST_LISTENERS, Mode, Wish, denial};
use crate::fetch::{Limits, Request};
use crate::store::Asked;
use crate::task::run::Event;
use crate::task::{TaskError, hex};

/// Hosts that are asked at a time.
const HOSTS: usize = 32;
/// For how long a process has a request that it is about to look into: longer than a host may take for all of its own.
const LEASE: TimeDelta = TimeDelta::minutes(20);
/// Random bytes of a challenge.
const CHALLENGE: usize = 32;
/// What an answer may take. It is the challenge and nothing else.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(5), whole: Duration::from_secs(10), body: 1024, ratio: u64::MAX };

/// Asks until the word to stop. What is not asked then waits.
pub(super) async fn keep(mut post: Post) {
    let mut bell = post.publication.hub.bell.subscribe();
    let mut under_way: JoinSet<(String, Result<(), TaskError>)> = JoinSet::new();
    let mut hosts: HashSet<String> = HashSet::new();
    loop {
        if hosts.len() < HOSTS {
            match claim(&post, &hosts).await {
                Ok(by_host) => {
                    for (host, asked) in by_host {
                        hosts.insert(host.clone());
                        let post = post.clone();
                        under_way.spawn(async move {
                            let done = ask_each(&post, &host, asked).await;
                            (host, done)
                        });
                    }
                }
                Err(error) => post.say(Event::Failed(error)),
            }
        }
        tokio::select! {
            () = post.stop.given() => break,
            Some(done) = under_way.join_next() => {
                if let Ok((host, done)) = done {
                    hosts.remove(&host);
                    if let Err(error) = done {
                        post.say(Event::Failed(error));
                    }
                }
            }
            _ = bell.changed() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
    // One question takes no longer than an answer may; those behind it are given back.
    while under_way.join_next().await.is_some() {}
}

async fn claim(post: &Post, hosts: &HashSet<String>) -> Result<HashMap<String, Vec<Asked>>, TaskError> {
    let (store, now) = (&post.publication.store, post.publication.clock.now());
    let but: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let limit = i64::try_from(HOSTS - hosts.len()).unwrap_or(1);
    let mut by_host: HashMap<String, Vec<Asked>> = HashMap::new();
    for asked in store.claim_requests(&but, limit, now + LEASE, now).await? {
        by_host.entry(asked.wish.host().to_owned()).or_default().push(asked);
    }
    Ok(by_host)
}

async fn ask_each(post: &Post, host: &str, asked: Vec<Asked>) -> Result<(), TaskError> {
    let publication = &post.publication;
    let mut asked = asked.into_iter();
    while let Some(one) = asked.next() {
        if post.stop.is_given() {
            let rest: Vec<String> = std::iter::once(one).chain(asked).map(|asked| asked.id).collect();
            publication.store.give_back(&[], &rest).await?;
            return Ok(());
        }
        let now = publication.clock.now();
        if publication.hub.barred(host, now).is_some() {
            publication.store.deny_host(host).await?;
            return Ok(());
        }
        if let Some(reason) = reason_against(post, &one).await? {
            if !is_told(post, &one.wish, reason).await {
                publication.hub.has_failed(host, now);
            }
            publication.store.deny(&one).await?;
            continue;
        }
        match wants(post, &one.wish).await? {
            Ok(()) => publication.store.grant(&one, publication.clock.now()).await?,
            Err(why) => {
                tracing::info!(host, %why, "a callback does not want what was asked for it");
                publication.hub.has_failed(host, now);
                publication.store.deny(&one).await?;
            }
        }
    }
    Ok(())
}

/// Why we refuse what was accepted to be looked into, if we do: much may have happened since.
async fn reason_against(post: &Post, asked: &Asked) -> Result<Option<&'static str>, TaskError> {
    let publication = &post.publication;
    if asked.wish.mode == Mode::Unsubscribe {
        return Ok(None);
    }
    let site = post.site.load_full();
    // Before the first publish of this process nothing is known of what there is.
    let is_topic = site.documents.is_empty()
        || topics(&site, &publication.config.live_urls()).any(|(topic, _)| topic == asked.wish.topic);
    let (listeners, is_listener) = publication.store.listeners(&asked.id).await?;
    Ok(match (is_topic, listeners >= MOST_LISTENERS && !is_listener) {
        (false, _) => Some(NO_TOPIC),
        (true, true) => Some(FULL),
        (true, false) => None,
    })
}

/// Tells a callback that we refuse, and why (WebSub §5.2). Whether it heard.
async fn is_told(post: &Post, wish: &Wish, reason: &str) -> bool {
    let request = Request::get(denial(wish, reason))
        .within(reach(&post.publication))
        .limited(LIMITS)
        .without_redirects()
        .without_body();
    let answer = post.publication.hub.fetcher.fetch(request).await;
    answer.is_ok_and(|answer| answer.status.is_success())
}

/// Whether the callback answers with our challenge; if not, what it did.
async fn wants(post: &Post, wish: &Wish) -> Result<Result<(), String>, TaskError> {
    let mut challenge = [0; CHALLENGE];
    getrandom::fill(&mut challenge).map_err(|_| TaskError::Random)?;
    let challenge = hex(&challenge);
    let request =
        Request::get(wish.question(&challenge)).within(reach(&post.publication)).limited(LIMITS).without_redirects();
    Ok(match post.publication.hub.fetcher.fetch(request).await {
        Ok(answer) if !answer.status.is_success() => Err(format!("it answered {}", answer.status)),
        Ok(answer) if answer.body != challenge.as_bytes() => Err("it did not answer with the challenge".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    })
}
