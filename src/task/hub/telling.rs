//! Bringing a document that has changed to whoever listens (WebSub §7): to many at once, to none of them twice at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hyper::body::Bytes;
use tokio::task::{JoinError, JoinSet};

use super::{AT_ONCE, Post, TICK, announce, reach, topics};
use crate::domain::hub::{Heard, heard, next_try};
use crate::fetch::{Limits, Request, signature};
use crate::store::{Listener, Told};
use crate::task::TaskError;
use crate::task::chain;
use crate::task::publish::Site;
use crate::task::run::Event;

/// Listeners that are taken from the store at a time: few enough that a host with many leaves room for others.
const BATCH: usize = 64;
/// For how long a process has a listener that it is about to tell: longer than the turns before it may take.
const LEASE: TimeDelta = TimeDelta::minutes(10);
/// What a listener may take to say that it has it.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), whole: Duration::from_secs(10), body: 0, ratio: 1 };
/// How long those under way have after the word to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// How often leases that have run out are looked for.
const LEASES: Duration = Duration::from_mins(1);

/// A document as it is sent.
#[derive(Debug, Clone)]
struct Message {
    bytes: Arc<[u8]>,
    content_type: &'static str,
    link: String,
    version: i64,
}

/// What a process tells.
struct Telling {
    post: Post,
    /// The site that was announced last.
    site: Option<Arc<Site>>,
    /// By topic, those whose last version is here.
    messages: HashMap<String, Message>,
    under_way: JoinSet<(String, Told)>,
    /// Who is under way, with its host.
    whom: HashMap<String, String>,
    hosts: HashMap<String, usize>,
    /// What is not noted in the store yet.
    told: Vec<(String, Told)>,
    /// Whether there may be more that is due.
    may_be_more: bool,
    /// Whether those under way may be told of what has changed meanwhile.
    is_overtaken: bool,
    took: u64,
    failed: u64,
    looked_for_leases: Option<Instant>,
}

/// Tells until the word to stop. What is not told then is due as before.
pub(super) async fn keep(post: Post) {
    let mut bell = post.publication.hub.bell.subscribe();
    let mut stop = post.stop.clone();
    let mut telling = Telling::new(post);
    loop {
        if let Err(error) = telling.round().await {
            telling.post.say(Event::Failed(error));
        }
        tokio::select! {
            () = stop.given() => break,
            Some(done) = telling.under_way.join_next() => telling.note(done),
            _ = bell.changed() => telling.may_be_more = true,
            () = tokio::time::sleep(TICK) => telling.may_be_more = true,
        }
    }
    if let Err(error) = telling.end().await {
        telling.post.say(Event::Failed(error));
    }
}

impl Telling {
    fn new(post: Post) -> Self {
        Self {
            post,
            site: None,
            messages: HashMap::new(),
            under_way: JoinSet::new(),
            whom: HashMap::new(),
            hosts: HashMap::new(),
            told: vec![],
            may_be_more: true,
            is_overtaken: false,
            took: 0,
            failed: 0,
            looked_for_leases: None,
        }
    }

    async fn round(&mut self) -> Result<(), TaskError> {
        while let Some(done) = self.under_way.try_join_next() {
            self.note(done);
        }
        self.settle().await?;
        self.look().await?;
        self.fill().await?;
        if self.under_way.is_empty() && self.took + self.failed > 0 {
            let (took, failed) = (std::mem::take(&mut self.took), std::mem::take(&mut self.failed));
            self.post.say(Event::HubTold(took, failed));
        }
        if self.looked_for_leases.is_none_or(|last| last.elapsed() >= LEASES) {
            self.looked_for_leases = Some(Instant::now());
            self.post.publication.store.end_leases(self.post.publication.clock.now()).await?;
        }
        Ok(())
    }

    /// Announces a new site.
    async fn look(&mut self) -> Result<(), TaskError> {
        let site = self.post.site.load_full();
        if self.site.as_ref().is_some_and(|last| Arc::ptr_eq(last, &site)) {
            return Ok(());
        }
        let publication = &self.post.publication;
        let urls = publication.config.live_urls();
        announce(publication, &site, &urls).await?;
        let documents: HashMap<_, _> = topics(&site, &urls).collect();
        let known = publication.store.topics(&documents.keys().map(String::as_str).collect::<Vec<_>>()).await?;
        let here = known.into_iter().filter_map(|known| {
            let document = documents.get(&known.topic).filter(|document| document.hash() == known.hash)?;
            let message = Message {
                bytes: Arc::clone(&document.bytes),
                content_type: document.content_type,
                link: document.link.clone().unwrap_or_default(),
                version: known.version,
            };
            Some((known.topic, message))
        });
        self.messages = here.collect();
        self.site = Some(site);
        self.may_be_more = true;
        self.is_overtaken = !self.under_way.is_empty();
        Ok(())
    }

    /// Takes whoever is due, as long as there is room.
    async fn fill(&mut self) -> Result<(), TaskError> {
        while self.may_be_more && self.under_way.len() + BATCH <= 2 * AT_ONCE.0 && !self.messages.is_empty() {
            let (store, now) = (&self.post.publication.store, self.post.publication.clock.now());
            let here: Vec<_> = self.messages.iter().map(|(topic, message)| (topic.as_str(), message.version)).collect();
            let busy = self.hosts.iter().filter(|(_, number)| **number >= AT_ONCE.1);
            let busy: Vec<&str> = busy.map(|(host, _)| host.as_str()).collect();
            let listeners = store.claim_listeners(&here, &busy, BATCH, now + LEASE, now).await?;
            self.may_be_more = listeners.len() == BATCH;
            for listener in listeners {
                let Some(message) = self.messages.get(&listener.topic).cloned() else { continue };
                self.whom.insert(listener.id.clone(), listener.host.clone());
                *self.hosts.entry(listener.host.clone()).or_default() += 1;
                let post = self.post.clone();
                self.under_way.spawn(async move {
                    let told = tell(&post, &listener, message).await;
                    (listener.id, told)
                });
            }
        }
        Ok(())
    }

    fn note(&mut self, done: Result<(String, Told), JoinError>) {
        // One that broke down is due again when its claim ends.
        let Ok((id, told)) = done else { return };
        if let Some(host) = self.whom.remove(&id)
            && let Some(number) = self.hosts.get_mut(&host)
        {
            *number -= 1;
            // It was passed over while it was busy.
            self.may_be_more |= *number + 1 == AT_ONCE.1;
            if *number == 0 {
                self.hosts.remove(&host);
            }
        }
        match &told {
            Told::Yes(_) => self.took += 1,
            Told::Later(..) | Told::Gone => self.failed += 1,
        }
        self.told.push((id, told));
    }

    async fn settle(&mut self) -> Result<(), TaskError> {
        if !self.told.is_empty() {
            let publication = &self.post.publication;
            publication.store.settle_listeners(&self.told, publication.clock.now()).await?;
            self.told.clear();
            // Who was told of a version that is not the last any more is due again.
            self.may_be_more |= self.is_overtaken;
            self.is_overtaken &= !self.under_way.is_empty();
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), TaskError> {
        let last = tokio::time::Instant::now() + LAST_ANSWERS;
        while let Ok(Some(done)) = tokio::time::timeout_at(last, self.under_way.join_next()).await {
            self.note(done);
        }
        self.under_way.shutdown().await;
        self.settle().await?;
        let rest: Vec<String> = self.whom.drain().map(|(id, _)| id).collect();
        Ok(self.post.publication.store.give_back(&rest, &[]).await?)
    }
}

/// Brings a document to a listener.
async fn tell(post: &Post, listener: &Listener, message: Message) -> Told {
    let publication = &post.publication;
    let Ok(callback) = listener.callback.parse() else { return Told::Gone };
    let signed = listener.secret.as_ref().map(|secret| signature(secret.as_bytes(), &message.bytes));
    let mut request = Request::post(callback, message.content_type, Bytes::from_owner(message.bytes))
        .header("link", &message.link)
        .within(reach(publication))
        .limited(LIMITS)
        .without_body();
    if let Some(signed) = signed {
        request = request.header("x-hub-signature", &signed);
    }
    let answer = publication.hub.fetcher.fetch(request).await;
    let now = publication.clock.now();
    let (why, asked, is_lasting) = match answer {
        Ok(answer) => match heard(answer.status.as_u16()) {
            Heard::Yes => return Told::Yes(message.version),
            Heard::Gone => return Told::Gone,
            Heard::NotNow => (format!("it answered {}", answer.status), answer.retry_after(now), false),
        },
        Err(error) => (chain(&error), None, error.is_lasting()),
    };
    tracing::info!(host = listener.host, %why, attempts = listener.attempts, "a listener was not told");
    let next = next_try(listener.attempts, listener.failing_since.unwrap_or(now), asked, now);
    Told::Later(next.filter(|_| !is_lasting), why)
}
