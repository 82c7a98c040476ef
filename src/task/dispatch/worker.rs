//! One connection's work: a delivery, its outcome, the commit, the next.
//!
//! The envelope of the next message is written together with the end of the one before, and the one after that is
//! rendered while the relay works. Its body waits until the outcome before is noted or committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use chrono::TimeDelta;
use tokio::sync::{mpsc, oneshot};

use super::queue::Next as Given;
use super::settle::Patience;
use super::ways::COOLING;
use super::{Job, Round, Verdict, describe, lock};
use crate::domain::delivery::{Attempt, DeliveryState, Fault, Next, Outcome, RetryPolicy, Stage, fault};
use crate::mail::Mailer;
use crate::mail::smtp::{Connection, Parcel};
use crate::store::{Claimed, Settled};
use crate::task::render::{Prepared, Renderer};
use crate::task::{Publication, TaskError, report};

/// Failures of the connection itself, one after another, after which it is given up for a while: a relay that says
/// 421 to everything would otherwise be asked once for each reader.
const FAILURES: u32 = 3;
/// Recipients of a digest refused by policy in one round, from which on it is taken for a ban on us, unless they are few
/// beside what was accepted.
const SUSPICIOUS: u64 = 3;
/// Few are one in so many.
const ONE_IN: u64 = 20;

/// What a worker needs to begin.
pub(super) struct Worker {
    pub(super) round: Arc<Round>,
    /// Place of its way out.
    pub(super) way: usize,
    /// Whether it is the first to ask its relay.
    pub(super) asks_first: bool,
    pub(super) mailer: Mailer,
    pub(super) verdicts: mpsc::UnboundedSender<Verdict>,
    /// Failures of the connection since the last answer.
    pub(super) failures: u32,
    /// The memory of messages that are done with.
    pub(super) spare: Vec<Vec<u8>>,
}

/// However a worker ends, a panic included, nobody waits for it in vain.
struct EndsTheRound(Arc<Round>);

impl Drop for EndsTheRound {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A delivery with its message, and the instant of its turn.
struct Ready {
    job: Job,
    prepared: Prepared,
    turn: Instant,
}

impl Ready {
    fn parcel(&self) -> Parcel<'_> {
        let Prepared { from, bytes, .. } = &self.prepared;
        Parcel { from, to: &self.job.claimed.address, message: bytes, is_stuffed: true }
    }

    fn is_due(&self) -> bool {
        self.turn <= Instant::now()
    }
}

/// Why a connection stops working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The round is over.
    Over,
    /// The connection is given up for a while.
    GivenUp,
}

impl Worker {
    /// Works until the round is over.
    pub(super) async fn work(mut self) -> Result<(), TaskError> {
        let round = Arc::clone(&self.round);
        let _guard = EndsTheRound(Arc::clone(&round));
        let renderer = Renderer::sharing(&round.publication, Arc::clone(&round.rendered));
        loop {
            if !self.asks_first {
                round.until_open(self.way).await;
            }
            let depth = round.ways[self.way].depth;
            let end = if depth > 1 { self.chain(&renderer, depth).await? } else { self.carry(&renderer).await? };
            if end == End::GivenUp {
                round.until_over_or(COOLING).await;
            }
            if end == End::Over || round.is_over() {
                break;
            }
            self.failures = 0;
            round.come_back(self.way, self.asks_first);
        }
        self.mailer.close().await;
        Ok(())
    }

    /// Message after message, each envelope riding with the message before.
    async fn carry(&mut self, renderer: &Renderer<'_>) -> Result<End, TaskError> {
        let round = Arc::clone(&self.round);
        let (mut current, mut ahead): (Option<Ready>, Option<Ready>) = (None, None);
        // Whether the relay has the envelope of the current one.
        let mut is_offered = false;
        loop {
            if current.is_none() {
                current = ahead.take();
            }
            let Some(ready) = (match current.take() {
                Some(ready) => Some(ready),
                None => self.awaited(renderer).await?,
            }) else {
                return Ok(End::Over);
            };
            let Some(ready) = self.when_due(ready, is_offered).await? else {
                if is_offered {
                    self.mailer.abandon();
                    is_offered = false;
                }
                continue;
            };
            let started = Instant::now();
            let connection = if is_offered {
                self.mailer.kept()
            } else {
                match self.connected().await {
                    Ok(connection) => connection,
                    Err(outcome) => {
                        if let Some(ahead) = ahead {
                            self.put_back(&ahead.job, TimeDelta::zero(), "no connection");
                        }
                        return self.not_connected(&ready.job, &outcome).await;
                    }
                }
            };
            let Some(connection) = connection else {
                let Prepared { from, bytes, file_stem, .. } = &ready.prepared;
                let outcome = self.mailer.send(from, &ready.job.claimed.address, file_stem, bytes).await;
                self.conclude(&ready.job, &outcome, started).await?;
                continue;
            };
            let permitted = match if is_offered { Ok(()) } else { connection.offer(&ready.parcel()).await } {
                Ok(()) => connection.permitted().await,
                Err(outcome) => Err(outcome),
            };
            let outcome = match permitted {
                // It was lost on the way of the message before, which says nothing of this one.
                Err(outcome) if is_offered && is_failure_of_the_connection(&outcome) => {
                    is_offered = false;
                    current = Some(ready);
                    continue;
                }
                Err(outcome) => {
                    is_offered = false;
                    outcome
                }
                Ok(()) => {
                    if ahead.is_none() {
                        ahead = self.at_hand(renderer).await?;
                    }
                    let Some(connection) = self.mailer.kept() else { continue };
                    let may_ride = !round.is_over() && connection.has_room_after_this();
                    let rides = ahead.as_ref().filter(|ahead| may_ride && ahead.is_due()).map(Ready::parcel);
                    is_offered = connection.hand_over(&ready.parcel(), rides.as_ref()).await;
                    // The relay works; so do we.
                    if current.is_none() {
                        current = ahead.take();
                        ahead = self.at_hand(renderer).await?;
                    }
                    match self.mailer.kept() {
                        Some(connection) => connection.verdict().await,
                        None => continue,
                    }
                }
            };
            self.conclude(&ready.job, &outcome, started).await?;
            self.spare.push(ready.prepared.bytes);
            if self.gives_up(&outcome).await {
                for left in [current, ahead].into_iter().flatten() {
                    self.put_back(&left.job, TimeDelta::zero(), "the connection was given up");
                }
                return Ok(End::GivenUp);
            }
        }
    }

    /// Several messages under way at once, on a relay that takes chunks.
    async fn chain(&mut self, renderer: &Renderer<'_>, depth: usize) -> Result<End, TaskError> {
        let round = Arc::clone(&self.round);
        let mut posted: VecDeque<(Ready, Instant)> = VecDeque::new();
        // One whose turn has not come, while others are under way.
        let mut ahead: Option<Ready> = None;
        loop {
            while posted.is_empty() || (posted.len() < depth && self.has_room_beside(posted.len())) {
                let next = match ahead.take() {
                    Some(ready) => Some(ready),
                    None if posted.is_empty() => self.awaited(renderer).await?,
                    None => self.at_hand(renderer).await?,
                };
                let Some(ready) = next else { break };
                if !posted.is_empty() && !ready.is_due() {
                    // The answers to those who are under way do not wait for it.
                    ahead = Some(ready);
                    break;
                }
                let Some(ready) = self.when_due(ready, false).await? else { continue };
                let connected = if posted.is_empty() { self.connected().await } else { Ok(self.mailer.kept()) };
                let connection = match connected {
                    Ok(connection) => connection.filter(|connection| connection.takes_chunks()),
                    Err(outcome) => return self.not_connected(&ready.job, &outcome).await,
                };
                let started = Instant::now();
                let Some(connection) = connection else {
                    self.put_back(&ready.job, TimeDelta::zero(), "the relay takes no chunks");
                    return self.carry(renderer).await;
                };
                match connection.post(&ready.parcel()).await {
                    Ok(()) => posted.push_back((ready, started)),
                    // Only those who are under way know how the connection was lost.
                    Err(outcome) if !posted.is_empty() && is_failure_of_the_connection(&outcome) => {
                        self.put_back(&ready.job, TimeDelta::zero(), "the connection was lost");
                        break;
                    }
                    Err(outcome) => {
                        self.conclude(&ready.job, &outcome, started).await?;
                        if posted.is_empty() && self.gives_up(&outcome).await {
                            return Ok(End::GivenUp);
                        }
                    }
                }
            }
            let Some((ready, started)) = posted.pop_front() else {
                if round.is_over() {
                    return Ok(End::Over);
                }
                continue;
            };
            let Some(connection) = self.mailer.kept() else { continue };
            let was_lost = connection.is_lost();
            let outcome = connection.verdict().await;
            let failures = self.failures;
            self.conclude(&ready.job, &outcome, started).await?;
            self.spare.push(ready.prepared.bytes);
            if was_lost {
                // One connection that was lost is one failure, however many were under way.
                self.failures = failures;
            }
            if posted.is_empty() && self.gives_up(&outcome).await {
                if let Some(ahead) = ahead {
                    self.put_back(&ahead.job, TimeDelta::zero(), "the connection was given up");
                }
                return Ok(End::GivenUp);
            }
        }
    }

    /// Whether the connection takes another message beside so many that are under way.
    fn has_room_beside(&mut self, under_way: usize) -> bool {
        self.mailer.kept().is_some_and(|connection| connection.room() > under_way)
    }

    /// The connection, opened if need be: a round that is over does not wait for that.
    async fn connected(&mut self) -> Result<Option<&mut Connection>, Outcome> {
        let round = Arc::clone(&self.round);
        let connected = tokio::select! {
            connected = self.mailer.connect() => connected.map(drop),
            () = round.until_over() => {
                let text = "the round was over before a connection stood".to_owned();
                Err(Outcome::Deferred { stage: Stage::Connect, code: None, enhanced: None, text })
            }
        };
        connected.map(|()| {
            round.opened(self.way);
            self.mailer.kept()
        })
    }

    /// The next delivery with its message, whenever it comes; `None` when the round is over.
    async fn awaited(&mut self, renderer: &Renderer<'_>) -> Result<Option<Ready>, TaskError> {
        let round = Arc::clone(&self.round);
        loop {
            if round.is_over() {
                return Ok(None);
            }
            match self.given(renderer).await? {
                Ok(ready) => return Ok(Some(ready)),
                Err(Given::Closed) => return Ok(None),
                Err(Given::Nothing(wait)) => {
                    tokio::select! {
                        () = round.queue.arrived(self.way, wait) => {}
                        () = round.until_over() => {}
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// The next delivery with its message, if there is one at once.
    async fn at_hand(&mut self, renderer: &Renderer<'_>) -> Result<Option<Ready>, TaskError> {
        while !self.round.is_over() {
            match self.given(renderer).await? {
                Ok(ready) => return Ok(Some(ready)),
                Err(Given::Closed | Given::Nothing(_)) => return Ok(None),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Looks into the queue once. What is not to be sent is settled on the way.
    async fn given(&mut self, renderer: &Renderer<'_>) -> Result<Result<Ready, Given>, TaskError> {
        let round = Arc::clone(&self.round);
        let job = match round.queue.next(self.way, Instant::now()) {
            Given::Job(job) => job,
            Given::GoesBack(job, wait) => {
                let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
                self.settle(round.put_back(&job.claimed, wait, "its domain is busy"));
                return Ok(Err(Given::GoesBack(job, std::time::Duration::ZERO)));
            }
            nothing => return Ok(Err(nothing)),
        };
        if let Some(settled) = round.held_back(&job) {
            self.release(&job, settled);
            return Ok(Err(Given::GoesBack(job, std::time::Duration::ZERO)));
        }
        let mut patience = Patience::new(&round.stop);
        let mut buffer = self.spare.pop().unwrap_or_default();
        let prepared = loop {
            match renderer.prepare(&job.claimed, std::mem::take(&mut buffer)).await {
                Err(TaskError::Store(error)) => patience.after(error).await?,
                done => break done,
            }
        };
        let settled = match prepared {
            Ok(Some(prepared)) => {
                let turn = round.ways[self.way].turn(Instant::now());
                return Ok(Ok(Ready { job, prepared, turn }));
            }
            Ok(None) => {
                let why = "nothing left to bring".to_owned();
                Round::settled(&job.claimed, DeliveryState::Skipped, round.publication.clock.now(), None, Some(why))
            }
            Err(error) => round.halt(&job, error.to_string()).await?,
        };
        self.release(&job, settled);
        Ok(Err(Given::GoesBack(job, std::time::Duration::ZERO)))
    }

    /// Waits for the turn of a delivery. `None` where it must not be sent any more; then it has gone back.
    async fn when_due(&mut self, ready: Ready, is_offered: bool) -> Result<Option<Ready>, TaskError> {
        let round = Arc::clone(&self.round);
        if !ready.is_due() {
            tokio::select! {
                () = tokio::time::sleep_until(ready.turn.into()) => {}
                () = round.until_over() => {}
            }
        }
        // What the relay has been told of is under way: a stop waits for it.
        if is_offered && round.is_over() && round.stop.is_given() {
            return Ok(Some(ready));
        }
        let Some(settled) = round.held_back(&ready.job) else { return Ok(Some(ready)) };
        self.release(&ready.job, settled);
        Ok(None)
    }

    /// A delivery goes back untried.
    fn put_back(&mut self, job: &Job, wait: TimeDelta, why: &str) {
        let settled = self.round.put_back(&job.claimed, wait, why);
        self.release(job, settled);
    }

    fn release(&mut self, job: &Job, settled: Settled) {
        self.round.queue.done(job.claimed.address.domain(), None, Instant::now());
        self.settle(settled);
    }

    /// Hands over that a delivery was not tried. Nobody waits for the commit: without it the delivery passes on.
    fn settle(&mut self, settled: Settled) {
        // Whoever receives it ends only with the store.
        let _ = self.verdicts.send((settled, None));
        if self.round.book.is_some() {
            self.round.recorded(1);
        }
    }

    /// Hands an outcome over, and waits until it outlives this process: noted in the book, or committed.
    async fn conclude(&mut self, job: &Job, outcome: &Outcome, started: Instant) -> Result<(), TaskError> {
        let round = Arc::clone(&self.round);
        let now = Instant::now();
        round.queue.done(job.claimed.address.domain(), Some(outcome), now);
        round.ways[self.way].learn(outcome, now);
        self.failures = if is_failure_of_the_connection(outcome) { self.failures + 1 } else { 0 };
        let settled = self.judge(job, outcome, now.saturating_duration_since(started)).await?;
        let (digest, state) = (settled.digest, settled.state);
        if state == DeliveryState::Sent {
            round.accepted.fetch_add(1, Ordering::AcqRel);
        }
        let (mut settled, mut is_heard) = (Some(settled), true);
        if let (Some(book), Some(noted)) = (&round.book, &settled) {
            let line = book.line(noted);
            let done = book.note(&line, || {
                is_heard = settled.take().is_some_and(|settled| self.verdicts.send((settled, None)).is_ok());
            });
            match done {
                Ok(()) => round.recorded(1),
                Err(error) => tracing::warn!(%error, "an outcome could not be noted: it is committed by itself"),
            }
        }
        if let Some(settled) = settled {
            let (done, committed) = oneshot::channel();
            is_heard = self.verdicts.send((settled, Some(done))).is_ok() && committed.await.is_ok();
        }
        if !is_heard {
            // The store is gone for good; the round ends, and nothing more may be begun.
            round.end();
        }
        round.tally(digest, state).await
    }

    /// Whether the connection has failed so often that it is given up, after what was said last.
    async fn gives_up(&mut self, outcome: &Outcome) -> bool {
        if self.failures < FAILURES {
            return false;
        }
        self.round.give_up_one(self.way, &describe(outcome)).await;
        true
    }

    /// The relay did not even look at the message: nobody is counted as attempted. A lasting no to the first
    /// connection is our own fault; to a further one it means that there are enough.
    async fn not_connected(&mut self, job: &Job, outcome: &Outcome) -> Result<End, TaskError> {
        let round = Arc::clone(&self.round);
        let words = describe(outcome);
        if round.is_over() {
            self.put_back(job, TimeDelta::zero(), &words);
            return Ok(End::Over);
        }
        let is_ours = matches!(outcome, Outcome::Refused { .. }) && !round.ways[self.way].is_open();
        if is_ours && round.is_last_way(self.way) {
            let settled = round.halt(job, words).await?;
            self.release(job, settled);
            return Ok(End::Over);
        }
        let nothing_is_left = round.give_up_one(self.way, &words).await;
        let wait = if nothing_is_left { TimeDelta::from_std(COOLING).unwrap_or_default() } else { TimeDelta::zero() };
        self.put_back(job, wait, &words);
        Ok(End::GivenUp)
    }

    /// Whether so few recipients of the digest were refused by policy that it is rather theirs than a ban on us: a
    /// mailbox that takes mail from inside only must not halt a digest, and its reader is tried again later.
    fn is_one_of_few(&self, claimed: &Claimed) -> bool {
        let mut suspicions = lock(&self.round.suspicions);
        let count = suspicions.entry(claimed.digest).or_default();
        *count += 1;
        *count < SUSPICIOUS || *count * ONE_IN <= self.round.accepted.load(Ordering::Acquire)
    }

    /// What follows from a relay's verdict on a message.
    async fn judge(&self, job: &Job, outcome: &Outcome, took: std::time::Duration) -> Result<Settled, TaskError> {
        let (round, claimed) = (&self.round, &job.claimed);
        let now = round.publication.clock.now();
        let attempt = Some(Attempt::new(outcome, &round.ways[self.way].name, now, took));
        if matches!(outcome, Outcome::Accepted { .. }) {
            return Ok(Round::settled(claimed, DeliveryState::Sent, now, attempt, None));
        }
        let first = claimed.first_attempt_at.unwrap_or(now);
        let feed = claimed.newsletter.as_ref().and_then(|name| round.publication.feed(name));
        let life = feed.and_then(|feed| feed.newsletter.as_ref()?.life).unwrap_or(round.policy.life);
        let policy = RetryPolicy { life, ..round.policy };
        let next = |outcome| policy.next(outcome, claimed.attempts + 1, first, now, jitter());
        let next = match next(outcome) {
            Next::HaltDigest => match as_put_off(outcome) {
                Some(put_off) if self.is_one_of_few(claimed) => next(&put_off),
                _ => Next::HaltDigest,
            },
            other => other,
        };
        let (state, at) = match next {
            Next::Sent => (DeliveryState::Sent, now),
            Next::Failed => (DeliveryState::Failed, now),
            Next::Refused => {
                let mut patience = Patience::new(&round.stop);
                while let Err(error) = remember_refusal(&round.publication, claimed, outcome).await {
                    match error {
                        TaskError::Store(error) => patience.after(error).await?,
                        error => return Err(error),
                    }
                }
                (DeliveryState::Refused, now)
            }
            Next::RetryAt(at) => (DeliveryState::Deferred, at),
            Next::HaltDigest => {
                let halted = round.halt(job, describe(outcome)).await?;
                // It is kept that it was tried; that it counts would shorten its life.
                return Ok(Settled { attempt, ..halted });
            }
        };
        Ok(Round::settled(claimed, state, at, attempt, Some(describe(outcome))))
    }
}

/// A refusal of one recipient, as if the relay had said "later".
fn as_put_off(outcome: &Outcome) -> Option<Outcome> {
    match outcome {
        Outcome::Refused { stage: stage @ Stage::Rcpt, code, enhanced, text } => {
            Some(Outcome::Deferred { stage: *stage, code: Some(*code), enhanced: *enhanced, text: text.clone() })
        }
        _ => None,
    }
}

/// Bans an address that does not exist, and counts a mailbox that took nothing. Twice is like once.
async fn remember_refusal(publication: &Publication, claimed: &Claimed, outcome: &Outcome) -> Result<(), TaskError> {
    if fault(outcome) == Some(Fault::Address) {
        let (hash, words) = (publication.keyring.address_hash(&claimed.address.key()), describe(outcome));
        publication.store.suppress(&hash, "refused", &words, publication.clock.now()).await?;
    }
    report::mailbox_refused(publication, claimed.digest, claimed.subscriber, &claimed.address, outcome).await?;
    Ok(())
}

/// The relay closed or broke off: 421, or no answer at all.
fn is_failure_of_the_connection(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Deferred { code, .. } => code.is_none_or(|code| code == 421),
        Outcome::Unknown { .. } => true,
        Outcome::Accepted { .. } | Outcome::Refused { .. } => false,
    }
}

/// A random number from 0 to 1.
pub(in crate::task) fn jitter() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness retries are merely less spread out.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
