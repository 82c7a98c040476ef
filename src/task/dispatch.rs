//! Deliveries out: claimed with a lease, rendered, handed to a relay, settled under a fence.
//!
//! A connection sends its next body only when the outcome of the one before outlives this process, noted or committed: so
//! after a crash at most the messages in flight on open connections go out twice, and then under the same Message-ID.
//! All connections share one commit. Each is a task of its own, so that every core renders.
//!
//! A lasting no that is our own fault (a wrong password, a blocked sender) halts the digest: an editor has to know.
//! Where another relay still works, a relay that refuses us is merely left alone.

mod absence;
mod queue;
mod settle;
mod vigil;
mod ways;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use self::queue::Queue;
use self::settle::insistently;
use self::ways::Way;
use self::worker::Worker;
use super::render::{Rendered, Renderer};
use super::{Publication, TaskError};
use crate::domain::delivery::{Attempt, DeliveryState, Enhanced, Outcome, RetryPolicy, Stage};
use crate::domain::digest::{DigestId, DigestState, Tally};
use crate::mail::Mailer;
use crate::store::{Book, Claimed, Sender, Settled};

pub use self::vigil::{Vigil, interval};
pub(super) use self::worker::jitter;

/// How long a claim holds, in which no other worker sends the same.
const LEASE: TimeDelta = TimeDelta::minutes(20);
/// What must be left of it when a message is begun: 10 minutes for the final dot (RFC 5321 §4.5.3.2.6) and 5 for what
/// comes before. What waited for its turn for longer goes back and is claimed anew.
const LEAST_LEASE: TimeDelta = TimeDelta::minutes(15);
/// Deliveries claimed per connection at a time, at most.
const CLAIMED_PER_CONNECTION: usize = 20;
/// Deliveries claimed at a time are what goes out in about this time: whoever leaves meanwhile is still written to.
const CLAIMED_AHEAD: Duration = Duration::from_millis(500);

/// How often it is looked for what fell due while the last of a round are under way.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

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

/// Counts that a progress bar reads while the work goes on. Clones count together.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// Accepted so far.
    pub sent: Arc<AtomicU64>,
    /// Put off, refused, given up or skipped so far.
    pub others: Arc<AtomicU64>,
    /// Of these, put off to be tried again.
    pub deferred: Arc<AtomicU64>,
    /// And refused for good.
    pub refused: Arc<AtomicU64>,
}

impl Counts {
    fn add(&self, settled: &[Settled]) {
        let sent = settled.iter().filter(|one| one.state == DeliveryState::Sent).count();
        let back = settled.iter().filter(|one| !one.state.is_final() && !one.counts).count();
        self.sent.fetch_add(sent as u64, Ordering::Relaxed);
        self.others.fetch_add((settled.len() - sent - back) as u64, Ordering::Relaxed);
        let deferred = settled.iter().filter(|one| !one.state.is_final()).count() - back;
        let refused = settled.iter().filter(|one| one.state == DeliveryState::Refused).count();
        self.deferred.fetch_add(deferred as u64, Ordering::Relaxed);
        self.refused.fetch_add(refused as u64, Ordering::Relaxed);
    }
}

/// A claimed delivery on its way to a worker.
#[derive(Debug)]
struct Job {
    claimed: Claimed,
    lease_until: DateTime<Utc>,
}

/// A delivery, with the place where its worker waits for the commit if it does.
type Verdict = (Settled, Option<oneshot::Sender<()>>);

/// What the parts of a round wait for.
#[derive(Debug, Default)]
struct Pace {
    /// Deliveries claimed and not settled.
    open: usize,
    /// Deliveries settled so far.
    settled: u64,
    /// A connection stands: more than the first ones can be claimed.
    is_up: bool,
    /// Nothing more is to be begun.
    is_over: bool,
}

struct Round {
    publication: Publication,
    claim: String,
    rendered: Arc<Rendered>,
    policy: RetryPolicy,
    ways: Vec<Way>,
    queue: Queue,
    pace: watch::Sender<Pace>,
    /// Where outcomes are noted before they are settled, if the store has such a book.
    book: Option<Book>,
    /// Deliveries claimed whose outcome is neither noted nor settled; those who wait hear when they are few, and when
    /// there is none.
    in_hand: AtomicUsize,
    few: AtomicUsize,
    /// Messages that were accepted.
    accepted: AtomicU64,
    /// Digests met so far.
    met: std::sync::Mutex<HashSet<DigestId>>,
    /// Those of them that are not being sent any more, by an editor's word or a halt.
    resting: std::sync::Mutex<HashSet<DigestId>>,
    /// Halts begun and halts done so far: what was read before or during one is out of date.
    halts: (AtomicU64, AtomicU64),
    /// Outcomes of each digest since the round began, and the complaints that there were before: what an editor resumed
    /// in spite of them is not stopped for them again.
    tallies: std::sync::Mutex<HashMap<DigestId, (Tally, Option<u64>)>>,
    /// How many recipients of a digest were refused by policy, which may be the recipient's or ours.
    suspicions: std::sync::Mutex<HashMap<DigestId, u64>>,
    /// Why digests were halted.
    faults: std::sync::Mutex<Vec<String>>,
    /// What a relay said that gave up.
    given_up: std::sync::Mutex<Option<String>>,
    /// Relays that the store knows to be away.
    absent: std::sync::Mutex<HashSet<String>>,
    /// When the store last heard that we are alive.
    alive_at: std::sync::Mutex<Instant>,
    stop: Stop,
}

/// Sends everything that is due, until nothing is, every relay is away, or the word to stop is given.
///
/// A store that does not answer is waited for, with everything in hand kept, until it does or the word to stop is given.
///
/// # Errors
/// When the store fails for good; what was in flight is in doubt until its lease ends, everything else is as it was.
pub async fn dispatch(publication: &Publication, stop: &Stop, counts: &Counts) -> Result<DispatchReport, TaskError> {
    publication.store.skip_unwanted(publication.clock.now()).await?;
    let round = Arc::new(Round::begin(publication, stop).await?);
    let (verdicts, settling) = mpsc::unbounded_channel::<Verdict>();
    let mut workers = JoinSet::new();
    for (way, number) in round.ways.iter().enumerate().flat_map(|(at, way)| (0..way.connections).map(move |n| (at, n)))
    {
        let mailer = ways::mailer(&publication.config, way);
        let (round, verdicts) = (Arc::clone(&round), verdicts.clone());
        workers
            .spawn(Worker { round, way, asks_first: number == 0, mailer, verdicts, failures: 0, spare: vec![] }.work());
    }
    // Beside the connections, so that whoever has an outcome wakes no further thread.
    let (claimer, settler, counts) = (Arc::clone(&round), Arc::clone(&round), counts.clone());
    let claiming = apart(async move { claimer.claim(verdicts).await });
    let settling = apart(async move { settler.settle(settling, &counts).await });
    let (claimed, settled) = tokio::select! {
        done = async { tokio::join!(claiming, settling) } => done,
        never = round.stay_alive() => match never {},
    };
    let mut worked = Ok(());
    while let Some(done) = workers.join_next().await {
        worked = worked.and(done.map_err(TaskError::from).flatten());
    }
    let mut report = settled?;
    let rest: Vec<_> =
        round.queue.drain().iter().map(|job| round.put_back(&job.claimed, TimeDelta::zero(), "put back")).collect();
    insistently!(stop, round.publication.store.settle(&round.claim, &rest, round.now()))?;
    // What a worker that failed had in hand passes on: the sender is not signed off.
    claimed?;
    worked?;
    round.allow().await?;
    round.note_absences().await?;
    publication.store.end_sender(&round.claim).await?;
    close_digests(publication).await?;
    report.stopped = stop.is_given();
    report.relay_away =
        if round.ways.iter().all(Way::is_away) { lock(&round.given_up).clone() } else { round.exhausted() };
    report.halted.clone_from(&lock(&round.faults));
    Ok(report)
}

/// Does something as a task of its own, which ends with whoever waits for it.
async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, TaskError>> + Send + 'static,
) -> Result<T, TaskError> {
    let mut task = JoinSet::new();
    let handle = task.spawn(work);
    match task.join_next().await {
        Some(done) => done?,
        None => unreachable!("{handle:?} was spawned"),
    }
}

/// As [`dispatch`], and where a process died that had deliveries in hand, waits until they can be taken over, and sends
/// those as well.
///
/// # Errors
/// As [`dispatch`].
pub async fn dispatch_all(
    publication: &Publication,
    stop: &Stop,
    counts: &Counts,
    on_wait: &(dyn Fn() + Sync),
) -> Result<DispatchReport, TaskError> {
    let mut vigil = Vigil::default();
    let mut report = dispatch(publication, stop, counts).await?;
    let mut has_told = false;
    while !report.stopped && report.relay_away.is_none() && publication.store.is_anything_claimed().await? {
        let seen = vigil.look(publication, Instant::now()).await?;
        if seen.taken_over == 0 && seen.in_doubt == 0 {
            // They are in living hands, or wait for the end of a lease.
            break;
        }
        if seen.taken_over > 0 {
            let more = dispatch(publication, stop, counts).await?;
            report.add(more);
            continue;
        }
        if !has_told {
            on_wait();
            has_told = true;
        }
        let mut stop = stop.clone();
        tokio::select! {
            () = tokio::time::sleep(interval(publication)) => {}
            () = stop.given() => report.stopped = true,
        }
    }
    Ok(report)
}

/// Leaves those out who still wait for a cancelled digest, since a sender put them back or died, and marks as sent what
/// is. A process that dies before it comes to this leaves it to the next.
///
/// # Errors
/// When the store fails.
pub async fn close_digests(publication: &Publication) -> Result<(), TaskError> {
    let (store, now) = (&publication.store, publication.clock.now());
    for digest in store.cancelled_with_waiting().await? {
        store.leave_out(digest, now).await?;
    }
    store.finish_digests(now).await?;
    Ok(())
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A mailer for a single message outside of any digest.
pub fn single_mailer(publication: &Publication) -> Mailer {
    ways::mailer(&publication.config, 0)
}

/// A mailer for each relay, in their order, or the one for the outbox.
pub fn mailers(publication: &Publication) -> Vec<Mailer> {
    let relays = publication.config.relays.len().max(1);
    (0..relays).map(|place| ways::mailer(&publication.config, place)).collect()
}

impl Round {
    fn new(publication: &Publication, stop: &Stop) -> Self {
        let ways = ways::ways(&publication.config);
        let is_up = ways.iter().any(Way::is_open);
        Self {
            publication: publication.clone(),
            claim: uuid::Uuid::now_v7().to_string(),
            rendered: Arc::default(),
            policy: publication.config.mail.retry,
            queue: Queue::new(ways.len(), &publication.config.paces),
            ways,
            pace: watch::Sender::new(Pace { is_up, ..Pace::default() }),
            book: None,
            in_hand: AtomicUsize::new(0),
            few: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            met: std::sync::Mutex::default(),
            resting: std::sync::Mutex::default(),
            halts: (AtomicU64::new(0), AtomicU64::new(0)),
            tallies: std::sync::Mutex::default(),
            suspicions: std::sync::Mutex::default(),
            faults: std::sync::Mutex::default(),
            given_up: std::sync::Mutex::default(),
            absent: std::sync::Mutex::default(),
            alive_at: std::sync::Mutex::new(Instant::now()),
            stop: stop.clone(),
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.publication.clock.now()
    }

    /// Makes itself known, and learns what the warm-ups allow.
    async fn begin(publication: &Publication, stop: &Stop) -> Result<Self, TaskError> {
        let mut round = Self::new(publication, stop);
        let host = lettre::transport::smtp::extension::ClientId::default().to_string();
        let (claim, pid) = (round.claim.clone(), std::process::id());
        let sender = Sender { claim, host, pid, beat: 0, started_at: round.now() };
        round.book = publication.store.begin_sender(&sender).await?;
        round.learn_absences().await?;
        round.allow().await?;
        Ok(round)
    }

    /// So many deliveries are not in hand any more.
    fn recorded(&self, count: usize) {
        let before = self.in_hand.fetch_sub(count, Ordering::AcqRel);
        let (left, few) = (before - count, self.few.load(Ordering::Acquire));
        if left == 0 || (left <= few && before > few) {
            self.pace.send_modify(|_| {});
        }
    }

    fn is_in_hand(&self) -> usize {
        self.in_hand.load(Ordering::Acquire)
    }

    /// Counts what was accepted, and asks what the warm-ups still allow.
    async fn allow(&self) -> Result<(), TaskError> {
        for way in &self.ways {
            let accepted = way.accepted();
            if accepted > 0 {
                self.publication.store.count_accepted(&way.name, accepted, self.now()).await?;
                way.counted(accepted);
            }
        }
        for way in self.ways.iter().filter(|way| way.warms_up()) {
            let now = self.now();
            let accepted = self.publication.store.accepted_today(&way.name, now).await?;
            way.allow(accepted, self.is_in_hand() as u64, now);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stop.is_given() || self.pace.borrow().is_over
    }

    /// Nothing more is begun.
    fn end(&self) {
        self.pace.send_modify(|pace| pace.is_over = true);
        self.queue.close();
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

    /// Waits for so long, or until the round is over.
    async fn until_over_or(&self, wait: Duration) {
        // Either way the waiting is over.
        let _ = tokio::time::timeout(wait, self.until_over()).await;
    }

    async fn until_open(&self, way: usize) {
        self.until(|_| self.ways[way].is_open()).await;
    }

    /// A connection of this way stands: its others may follow.
    fn opened(&self, way: usize) {
        if self.ways[way].is_open() {
            return;
        }
        if self.ways[way].is_doubtful() {
            self.queue.catch_up(way, &self.ways);
        }
        if self.ways[way].opened() {
            self.pace.send_modify(|pace| pace.is_up = true);
        }
    }

    /// A connection of this way was left alone for a while and may be tried again.
    fn come_back(&self, way: usize, asks_first: bool) {
        self.ways[way].come_back(asks_first);
        self.pace.send_modify(|_| {});
    }

    /// Whether no other way is left.
    fn is_last_way(&self, way: usize) -> bool {
        self.ways.iter().enumerate().all(|(at, other)| at == way || other.is_away())
    }

    /// Why no relay takes more today, if that is so.
    fn exhausted(&self) -> Option<String> {
        if self.ways.iter().any(Way::has_room) {
            return None;
        }
        self.ways.iter().find_map(|way| way.exhausted(self.now()))
    }

    /// A connection of this way is given up. Returns whether nothing is left to send by.
    async fn give_up_one(&self, way: usize, why: &str) -> bool {
        *lock(&self.given_up) = Some(why.to_owned());
        if self.ways[way].give_up_one() {
            tracing::warn!(relay = self.ways[way].name, why = %crate::problem::printable(why), "relay is away");
        }
        let nothing_is_left = self.ways.iter().all(Way::is_away);
        if nothing_is_left {
            self.end();
        } else if self.ways[way].is_away() {
            let left = self.queue.reassign(way, &self.ways);
            let back: Vec<_> =
                left.iter().map(|job| self.put_back(&job.claimed, TimeDelta::zero(), "its relay is away")).collect();
            let count = back.len();
            let settled = insistently!(&self.stop, self.publication.store.settle(&self.claim, &back, self.now()));
            if settled.is_err() {
                // The store is gone for good. What was not put back passes on with all that is in hand.
                self.end();
            }
            self.pace.send_modify(|pace| pace.open = pace.open.saturating_sub(count));
            self.recorded(count);
        }
        nothing_is_left
    }

    /// Claims batch after batch while there is something due. It ends the round.
    async fn claim(&self, verdicts: mpsc::UnboundedSender<Verdict>) -> Result<(), TaskError> {
        let claimed = self.claim_what_is_due(&verdicts).await;
        self.end();
        claimed
    }

    async fn claim_what_is_due(&self, verdicts: &mpsc::UnboundedSender<Verdict>) -> Result<(), TaskError> {
        let connections: usize = self.ways.iter().map(|way| way.connections * way.depth).sum();
        let mut last = (Instant::now(), 0);
        let renderer = Renderer::sharing(&self.publication, Arc::clone(&self.rendered));
        while !self.is_over() {
            let was_up = self.pace.borrow().is_up;
            // Until a relay answers, each has one delivery to be asked with.
            let limit = if was_up { self.batch(connections, &mut last) } else { self.ways.len() };
            let now = self.now();
            let lease_until = now + LEASE;
            let halts = self.halts();
            let mut claimed =
                insistently!(&self.stop, self.publication.store.claim(&self.claim, lease_until, limit, now))?;
            insistently!(&self.stop, renderer.complete(&mut claimed))?;
            let is_full = claimed.len() == limit;
            if claimed.is_empty() && self.pace.borrow().open == 0 {
                break;
            }
            self.in_hand.fetch_add(claimed.len(), Ordering::AcqRel);
            self.pace.send_modify(|pace| pace.open += claimed.len());
            self.meet(&claimed, halts);
            let mut nobody_takes_more = false;
            for claimed in claimed {
                if let Some(job) = self.queue.put(Job { claimed, lease_until }, &self.ways) {
                    // Every relay has had enough for today; or all went away just now.
                    nobody_takes_more = true;
                    let back = self.put_back(&job.claimed, TimeDelta::minutes(1), "no relay takes more now");
                    // Whoever settles ends only with the store.
                    let _ = verdicts.send((back, None));
                    if self.book.is_some() {
                        self.recorded(1);
                    }
                }
            }
            // The next batch comes when this one is half through: a claim should not wait in a queue. After the last
            // one all have to be settled, since some may have been put back.
            let few = if is_full && !nobody_takes_more { limit / 2 } else { 0 };
            self.few.store(few, Ordering::Release);
            let done = self.until(|pace| {
                let is_done = if few > 0 { self.is_in_hand() <= few } else { pace.open == 0 };
                is_done || (pace.is_up && !was_up)
            });
            if was_up && !is_full && !nobody_takes_more {
                // One that a relay keeps waiting for minutes does not hold up what falls due meanwhile.
                let _ = tokio::time::timeout(LOOK_AGAIN, done).await;
            } else {
                done.await;
            }
            if nobody_takes_more {
                break;
            }
        }
        Ok(())
    }

    /// Remembers the digests of what was claimed. Only those that are being sent are claimed: whatever was known of them
    /// before is out of date, unless one was halted meanwhile.
    fn meet(&self, claimed: &[Claimed], halts: Option<u64>) {
        let mut met = lock(&self.met);
        let mut resting = lock(&self.resting);
        for claimed in claimed {
            met.insert(claimed.digest);
            if halts.is_some() && self.halts() == halts {
                resting.remove(&claimed.digest);
            }
        }
    }

    /// The number of halts so far; `None` while one is under way.
    fn halts(&self) -> Option<u64> {
        let done = self.halts.1.load(Ordering::Acquire);
        (self.halts.0.load(Ordering::Acquire) == done).then_some(done)
    }

    /// How many to claim: what goes out in a short while.
    fn batch(&self, connections: usize, last: &mut (Instant, u64)) -> usize {
        let settled = self.pace.borrow().settled;
        let took = last.0.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let measured = (settled - last.1) as f64 / took;
        *last = (Instant::now(), settled);
        let set: Option<f64> = self.ways.iter().map(Way::per_second).sum();
        let rate = set.map_or(measured, |set| measured.min(set));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is neither huge nor negative"
        )]
        let wanted = (rate * CLAIMED_AHEAD.as_secs_f64()) as usize;
        let least = if set.is_some() { self.ways.len() } else { connections * 3 };
        wanted.clamp(least, (connections * CLAIMED_PER_CONNECTION).max(least))
    }

    /// What becomes of a delivery that must not be sent now; `None` where it must.
    fn held_back(&self, job: &Job) -> Option<Settled> {
        let claimed = &job.claimed;
        let why = if lock(&self.resting).contains(&claimed.digest) {
            "the digest rests"
        } else if self.is_over() {
            "put back"
        } else if job.lease_until - self.now() < LEAST_LEASE {
            "waited too long"
        } else if lock(&self.alive_at).elapsed() > self.publication.config.mail.take_over_after / 2 {
            "out of touch with the store"
        } else {
            return None;
        };
        Some(self.put_back(claimed, TimeDelta::zero(), why))
    }

    /// Stops a digest for a fault of ours; the editor mends it and resumes. The delivery goes back.
    async fn halt(&self, job: &Job, why: String) -> Result<Settled, TaskError> {
        self.stop_digest(job.claimed.digest, why).await?;
        Ok(self.put_back(&job.claimed, TimeDelta::zero(), "halted"))
    }

    /// Stops a digest; an editor resumes it.
    async fn stop_digest(&self, digest: DigestId, why: String) -> Result<(), TaskError> {
        let state = DigestState::Halted { why: why.clone() };
        self.halts.0.fetch_add(1, Ordering::AcqRel);
        let is_first = lock(&self.resting).insert(digest);
        if is_first {
            lock(&self.faults).push(why.clone());
            tracing::error!(%digest, why = %crate::problem::printable(&why), "digest halted");
        }
        let store = &self.publication.store;
        let moved = if is_first {
            insistently!(&self.stop, store.move_digest(digest, "sending", &state)).map(drop)
        } else {
            Ok(())
        };
        self.halts.1.fetch_add(1, Ordering::AcqRel);
        Ok(moved?)
    }

    fn settled(
        claimed: &Claimed,
        state: DeliveryState,
        at: DateTime<Utc>,
        attempt: Option<Attempt>,
        outcome: Option<String>,
    ) -> Settled {
        let counts = attempt.is_some();
        Settled { digest: claimed.digest, subscriber: claimed.subscriber, state, at, attempt, counts, outcome }
    }

    fn put_back(&self, claimed: &Claimed, wait: TimeDelta, why: &str) -> Settled {
        let state = if claimed.attempts > 0 { DeliveryState::Deferred } else { DeliveryState::Queued };
        Self::settled(claimed, state, self.now() + wait, None, Some(why.to_owned()))
    }
}

impl DispatchReport {
    fn count(&mut self, settled: &[Settled]) {
        for one in settled {
            match one.state {
                DeliveryState::Sent => self.sent += 1,
                DeliveryState::Deferred if one.counts => self.deferred += 1,
                DeliveryState::Refused => self.refused += 1,
                DeliveryState::Failed => self.failed += 1,
                DeliveryState::Skipped => self.skipped += 1,
                DeliveryState::Queued | DeliveryState::Claimed | DeliveryState::Deferred => {}
            }
        }
    }

    fn add(&mut self, more: Self) {
        self.sent += more.sent;
        self.deferred += more.deferred;
        self.refused += more.refused;
        self.failed += more.failed;
        self.skipped += more.skipped;
        self.halted.extend(more.halted);
        self.relay_away = more.relay_away;
        self.stopped = more.stopped;
    }
}

/// An outcome in one line.
pub fn describe(outcome: &Outcome) -> String {
    let said = |stage: &Stage, code: Option<u16>, enhanced: Option<Enhanced>, text: &str| {
        let code = code.map(|code| format!(" {code}")).unwrap_or_default();
        let enhanced = enhanced.map(|(a, b, c)| format!(" {a}.{b}.{c}")).unwrap_or_default();
        // A relay's text begins with it.
        let enhanced = if text.starts_with(enhanced.trim_start()) { "" } else { &enhanced };
        format!("{}:{code}{enhanced} {text}", stage.as_str())
    };
    match outcome {
        Outcome::Accepted { reply } => reply.clone(),
        Outcome::Refused { stage, code, enhanced, text } => said(stage, Some(*code), *enhanced, text),
        Outcome::Deferred { stage, code, enhanced, text } => said(stage, *code, *enhanced, text),
        Outcome::Unknown { text } => format!("no answer after the message: {text}"),
    }
}
