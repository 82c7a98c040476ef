//! Deliveries out: claimed with a lease, rendered, handed to a relay, settled under a fence.
//!
//! A connection takes its next delivery only when the outcome of the one before is committed, so after a crash at
//! most the messages in flight on open connections go out twice, and then under the same Message-ID. All connections
//! share one commit. Each is a task of its own, so that every core renders.
//!
//! A lasting no that is our own fault (a wrong password, a blocked sender) halts the digest even where another relay
//! would have taken it: an editor has to know.

mod ways;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use self::ways::Way;
use self::worker::Worker;
use super::render::Rendered;
use super::{Publication, TaskError};
use crate::domain::delivery::{DeliveryState, Outcome, RetryPolicy};
use crate::domain::digest::{DigestId, DigestState};
use crate::mail::Mailer;
use crate::store::{Claimed, Settled};

/// How long a claim holds, in which no other worker sends the same.
const LEASE: TimeDelta = TimeDelta::minutes(20);
/// What must be left of it when a message is begun: 10 minutes for the final dot (RFC 5321 §4.5.3.2.6) and 5 for what
/// comes before. What waited for its turn for longer goes back and is claimed anew.
const LEAST_LEASE: TimeDelta = TimeDelta::minutes(15);
/// Deliveries claimed per connection at a time.
const CLAIMED_PER_CONNECTION: usize = 20;

/// Says when to stop: what is under way is finished, what is claimed is put back.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A stop and the sender that gives the word.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether the word was given.
    pub fn is_given(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the word.
    pub async fn given(&mut self) {
        // A sender that is gone will not give it any more; then nobody waits for us either.
        let _ = self.0.wait_for(|given| *given).await;
    }
}

/// What became of the deliveries of one round.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct DispatchReport {
    /// Accepted.
    pub sent: u64,
    /// Put off.
    pub deferred: u64,
    /// Refused for good.
    pub refused: u64,
    /// Given up.
    pub failed: u64,
    /// Left out: nothing to bring any more.
    pub skipped: u64,
    /// Why digests were halted.
    pub halted: Vec<String>,
    /// Why the relay could not be used, if so.
    pub relay_away: Option<String>,
    /// Whether it was stopped from outside.
    pub stopped: bool,
}

/// Counts that a progress bar reads while the work goes on.
#[derive(Debug, Default)]
pub struct Counts {
    /// Accepted so far.
    pub sent: AtomicU64,
    /// Everything else so far.
    pub others: AtomicU64,
}

/// A claimed delivery on its way to a worker.
struct Job {
    claimed: Claimed,
    /// Number of the claim that brought it, from 1.
    batch: u64,
    lease_until: DateTime<Utc>,
}

/// A delivery with the place where its worker waits for the commit.
type Verdict = (Settled, oneshot::Sender<()>);

/// What the parts of a round wait for.
#[derive(Debug, Default)]
struct Pace {
    /// Deliveries claimed and not settled.
    open: usize,
    /// A connection stands: more than the first ones can be claimed.
    is_up: bool,
    /// Nothing more is to be begun.
    is_over: bool,
}

struct Round {
    publication: Publication,
    rendered: Arc<Rendered>,
    policy: RetryPolicy,
    ways: Vec<Way>,
    pace: watch::Sender<Pace>,
    /// Claims begun so far.
    batches: AtomicU64,
    /// Halted digests with the last claim that may have been begun before: what a later one brings was resumed.
    halted: std::sync::Mutex<HashMap<DigestId, u64>>,
    /// How many recipients of a digest were refused by policy, which may be the recipient's or ours.
    suspicions: std::sync::Mutex<HashMap<DigestId, u32>>,
    /// Why digests were halted.
    faults: std::sync::Mutex<Vec<String>>,
    /// What a relay said that gave up.
    given_up: std::sync::Mutex<Option<String>>,
    stop: Stop,
}

/// Sends everything that is due, until nothing is, every relay is away, or the word to stop is given.
///
/// # Errors
/// When the store fails; what was in flight is in doubt until its lease ends, everything else is as it was.
pub async fn dispatch(publication: &Publication, stop: &Stop, counts: &Counts) -> Result<DispatchReport, TaskError> {
    publication.store.skip_unwanted(publication.clock.now()).await?;
    let claim = uuid::Uuid::now_v7().to_string();
    let round = Arc::new(Round::new(publication, stop));
    let connections = ways::connections(&publication.config, &round.ways);
    let batch = connections.len() * CLAIMED_PER_CONNECTION;
    // Room for a batch and the half of the one before, so that the claimer never waits with rows in its hands.
    let (jobs, queue) = mpsc::channel::<Job>(batch * 2);
    let queue = Arc::new(Mutex::new(queue));
    let (verdicts, settling) = mpsc::channel::<Verdict>(batch);

    let mut workers = JoinSet::new();
    for (way, asks_first, mailer) in connections {
        let (round, queue, verdicts) = (Arc::clone(&round), Arc::clone(&queue), verdicts.clone());
        workers.spawn(Worker { round, way, asks_first, mailer, queue, verdicts, failures: 0 }.work());
    }
    drop((queue, verdicts));
    let (claimed, settled) = tokio::join!(round.claim(&claim, batch, jobs), round.settle(&claim, settling, counts));
    let mut worked = Ok(());
    while let Some(done) = workers.join_next().await {
        worked = worked.and(done.map_err(TaskError::from).flatten());
    }
    let mut report = settled?;
    claimed?;
    worked?;
    publication.store.finish_digests(publication.clock.now()).await?;
    report.stopped = stop.is_given();
    report.relay_away = round.ways.iter().all(Way::is_away).then(|| lock(&round.given_up).clone()).flatten();
    report.halted.clone_from(&lock(&round.faults));
    Ok(report)
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A mailer for a single message outside of any digest.
pub fn single_mailer(publication: &Publication) -> Mailer {
    ways::mailer(&publication.config, 0)
}

impl Round {
    fn new(publication: &Publication, stop: &Stop) -> Self {
        let ways = ways::ways(&publication.config);
        let is_up = ways.iter().any(Way::is_open);
        Self {
            publication: publication.clone(),
            rendered: Arc::default(),
            policy: RetryPolicy::default(),
            ways,
            pace: watch::Sender::new(Pace { is_up, ..Pace::default() }),
            batches: AtomicU64::new(0),
            halted: std::sync::Mutex::default(),
            suspicions: std::sync::Mutex::default(),
            faults: std::sync::Mutex::default(),
            given_up: std::sync::Mutex::default(),
            stop: stop.clone(),
        }
    }

    fn is_over(&self) -> bool {
        self.stop.is_given() || self.pace.borrow().is_over
    }

    /// Nothing more is begun.
    fn end(&self) {
        self.pace.send_modify(|pace| pace.is_over = true);
    }

    /// Waits for what `done` looks for, or until the round is over.
    async fn until(&self, done: impl Fn(&Pace) -> bool) {
        let mut pace = self.pace.subscribe();
        let mut stop = self.stop.clone();
        let waiting = pace.wait_for(|pace| pace.is_over || done(pace));
        tokio::pin!(waiting);
        tokio::select! {
            _ = &mut waiting => return,
            () = stop.given() => {}
        }
        if !self.stop.is_given() {
            // Nobody is left who could give the word.
            let _ = waiting.await;
        }
    }

    async fn until_over(&self) {
        self.until(|_| false).await;
    }

    async fn until_open(&self, way: usize) {
        self.until(|_| self.ways[way].is_open()).await;
    }

    /// A connection of this way stands: its others may follow.
    fn opened(&self, way: usize) {
        if self.ways[way].opened() {
            self.pace.send_modify(|pace| pace.is_up = true);
        }
    }

    /// A connection of this way is given up. Returns whether nothing is left to send by.
    fn give_up_one(&self, way: usize, why: &str) -> bool {
        *lock(&self.given_up) = Some(why.to_owned());
        if self.ways[way].give_up_one() {
            tracing::warn!(relay = self.ways[way].name, why = %crate::problem::printable(why), "relay is away");
        }
        let nothing_is_left = self.ways.iter().all(Way::is_away);
        if nothing_is_left {
            self.end();
        }
        nothing_is_left
    }

    /// Claims batch after batch while there is something due. It ends the round.
    async fn claim(&self, claim: &str, batch: usize, jobs: mpsc::Sender<Job>) -> Result<(), TaskError> {
        let claimed = self.claim_what_is_due(claim, batch, &jobs).await;
        self.end();
        claimed
    }

    async fn claim_what_is_due(&self, claim: &str, batch: usize, jobs: &mpsc::Sender<Job>) -> Result<(), TaskError> {
        while !self.is_over() {
            let was_up = self.pace.borrow().is_up;
            // Until a relay answers, each has one delivery to be asked with.
            let limit = if was_up { batch } else { self.ways.len() };
            let number = self.batches.fetch_add(1, Ordering::AcqRel) + 1;
            let now = self.publication.clock.now();
            let lease_until = now + LEASE;
            let claimed = self.publication.store.claim(claim, lease_until, limit, now).await?;
            let is_full = claimed.len() == limit;
            if claimed.is_empty() && self.pace.borrow().open == 0 {
                break;
            }
            self.pace.send_modify(|pace| pace.open += claimed.len());
            for claimed in claimed {
                if jobs.send(Job { claimed, batch: number, lease_until }).await.is_err() {
                    return Ok(());
                }
            }
            // The next batch comes when this one is half through: a claim should not wait in a queue. After the last
            // one all have to be settled, since some may have been put back.
            let few = if is_full { limit / 2 } else { 0 };
            self.until(|pace| pace.open <= few || (pace.is_up && !was_up)).await;
        }
        Ok(())
    }

    /// What becomes of a delivery that must not be sent now; `None` where it must.
    fn held_back(&self, job: &Job) -> Option<Settled> {
        let claimed = &job.claimed;
        let why = if self.is_over() {
            "put back"
        } else if lock(&self.halted).get(&claimed.digest).is_some_and(|last| job.batch <= *last) {
            "halted"
        } else if job.lease_until - self.publication.clock.now() < LEAST_LEASE {
            "waited too long"
        } else {
            return None;
        };
        Some(self.put_back(claimed, TimeDelta::zero(), why))
    }

    /// Stops a digest for a fault of ours; the editor mends it and resumes. The delivery goes back.
    async fn halt(&self, job: &Job, why: String) -> Result<Settled, TaskError> {
        let digest = job.claimed.digest;
        let is_first = {
            let mut halted = lock(&self.halted);
            let is_first = halted.get(&digest).is_none_or(|last| job.batch > *last);
            if is_first {
                halted.insert(digest, u64::MAX);
                lock(&self.faults).push(why.clone());
            }
            is_first
        };
        if is_first {
            tracing::error!(%digest, why = %crate::problem::printable(&why), "digest halted");
            self.publication.store.move_digest(digest, "sending", &DigestState::Halted { why }).await?;
            lock(&self.halted).insert(digest, self.batches.load(Ordering::Acquire));
        }
        Ok(self.put_back(&job.claimed, TimeDelta::zero(), "halted"))
    }

    fn settled(&self, claimed: &Claimed, state: DeliveryState, attempted: bool, outcome: String) -> Settled {
        let at = self.publication.clock.now();
        Settled { digest: claimed.digest, subscriber: claimed.subscriber, state, at, attempted, outcome }
    }

    fn put_back(&self, claimed: &Claimed, wait: TimeDelta, why: &str) -> Settled {
        let settled = self.settled(claimed, DeliveryState::Queued, false, why.to_owned());
        Settled { at: settled.at + wait, ..settled }
    }

    /// Commits whatever outcomes have come in, all at once, then lets their workers go on.
    async fn settle(
        &self,
        claim: &str,
        mut settling: mpsc::Receiver<Verdict>,
        counts: &Counts,
    ) -> Result<DispatchReport, TaskError> {
        let mut report = DispatchReport::default();
        let mut verdicts: Vec<Verdict> = vec![];
        while settling.recv_many(&mut verdicts, 1000).await > 0 {
            let (settled, waiting): (Vec<Settled>, Vec<_>) = verdicts.drain(..).unzip();
            if let Err(error) = self.publication.store.settle(claim, &settled, self.publication.clock.now()).await {
                self.end();
                return Err(error.into());
            }
            report.count(&settled);
            counts.sent.store(report.sent, Ordering::Relaxed);
            let others = report.deferred + report.refused + report.failed + report.skipped;
            counts.others.store(others, Ordering::Relaxed);
            for waiting in waiting {
                // A worker that no longer waits has ended.
                let _ = waiting.send(());
            }
            self.pace.send_modify(|pace| pace.open = pace.open.saturating_sub(settled.len()));
        }
        Ok(report)
    }
}

impl DispatchReport {
    fn count(&mut self, settled: &[Settled]) {
        for one in settled {
            match one.state {
                DeliveryState::Sent => self.sent += 1,
                DeliveryState::Deferred => self.deferred += 1,
                DeliveryState::Refused => self.refused += 1,
                DeliveryState::Failed => self.failed += 1,
                DeliveryState::Skipped => self.skipped += 1,
                DeliveryState::Queued | DeliveryState::Claimed => {}
            }
        }
    }
}

/// An outcome in one line.
pub fn describe(outcome: &Outcome) -> String {
    let codes = |code: Option<u16>, enhanced: Option<(u8, u16, u16)>| {
        let code = code.map(|code| format!(" {code}")).unwrap_or_default();
        let enhanced = enhanced.map(|(a, b, c)| format!(" {a}.{b}.{c}")).unwrap_or_default();
        format!("{code}{enhanced}")
    };
    match outcome {
        Outcome::Accepted { reply } => reply.clone(),
        Outcome::Refused { stage, code, enhanced, text } => {
            format!("{}:{} {text}", stage.as_str(), codes(Some(*code), *enhanced))
        }
        Outcome::Deferred { stage, code, enhanced, text } => {
            format!("{}:{} {text}", stage.as_str(), codes(*code, *enhanced))
        }
        Outcome::Unknown { text } => format!("no answer after the message: {text}"),
    }
}
