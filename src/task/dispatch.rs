//! Deliveries out: claimed with a lease, rendered, handed to a relay, settled under a fence.
//!
//! A connection takes its next delivery only when the outcome of the one before is committed, so after a crash at
//! most the messages in flight on open connections go out twice, and then under the same Message-ID. All connections
//! share one commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chrono::TimeDelta;
use serde::Serialize;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::render::Renderer;
use super::{Publication, TaskError};
use crate::config::{Relay, Tls};
use crate::domain::delivery::{DeliveryState, Fault, Next, Outcome, RetryPolicy, Stage, fault};
use crate::domain::digest::DigestState;
use crate::mail::Mailer;
use crate::mail::outbox::Outbox;
use crate::mail::smtp::{self, RelaySettings};
use crate::store::{Claimed, Settled};

/// How long a claim holds: longer than the slowest single message may take (10 minutes for the final dot, RFC 5321
/// §4.5.3.2.6), so that no other worker sends what is still under way.
const LEASE: TimeDelta = TimeDelta::minutes(20);
/// How long a relay that does not answer is left alone.
const COOLING: TimeDelta = TimeDelta::minutes(1);
/// Deliveries claimed per connection at a time.
const CLAIMED_PER_CONNECTION: usize = 20;
/// Writers into the outbox: files, so a few are enough.
const OUTBOX_WRITERS: usize = 2;

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

/// A delivery with the place where its worker waits for the commit.
type Verdict = (Settled, oneshot::Sender<()>);

struct Round<'a> {
    publication: &'a Publication,
    renderer: Renderer<'a>,
    policy: RetryPolicy,
    counts: &'a Counts,
    /// Nothing more is to be claimed: the relay is away.
    relay_away: std::sync::Mutex<Option<String>>,
    halted: std::sync::Mutex<Vec<(crate::domain::digest::DigestId, String)>>,
    ended: AtomicBool,
    stop: Stop,
}

/// Sends everything that is due, until nothing is, the relay is away, or the word to stop is given.
///
/// # Errors
/// When the store fails; what was in flight is in doubt until its lease ends, everything else is as it was.
pub async fn dispatch(publication: &Publication, stop: &Stop, counts: &Counts) -> Result<DispatchReport, TaskError> {
    let now = publication.clock.now();
    publication.store.skip_unwanted(now).await?;
    let claim = uuid::Uuid::now_v7().to_string();
    let mut mailers = mailers(publication);
    let round = Round {
        publication,
        renderer: Renderer::new(publication),
        policy: RetryPolicy::default(),
        counts,
        relay_away: std::sync::Mutex::default(),
        halted: std::sync::Mutex::default(),
        ended: AtomicBool::new(false),
        stop: stop.clone(),
    };
    let batch = mailers.len() * CLAIMED_PER_CONNECTION;
    let (jobs, queue) = mpsc::channel::<Claimed>(batch);
    let queue = Arc::new(Mutex::new(queue));
    let (verdicts, settling) = mpsc::channel::<Verdict>(batch);

    let claimer = async {
        let claimed = round.claim(&claim, batch, jobs).await;
        if claimed.is_err() {
            round.ended.store(true, Ordering::Release);
        }
        claimed
    };
    let workers = async {
        let working = mailers.iter_mut().map(|mailer| round.work(mailer, Arc::clone(&queue), verdicts.clone()));
        let done = futures_join(working).await;
        drop(verdicts);
        done.into_iter().collect::<Result<(), TaskError>>()
    };
    let settler = round.settle(&claim, settling);
    let (claimed, worked, settled) = tokio::join!(claimer, workers, settler);
    for mailer in mailers {
        mailer.close().await;
    }
    let mut report = settled?;
    claimed?;
    worked?;
    publication.store.finish_digests(publication.clock.now()).await?;
    report.stopped = stop.is_given();
    report.relay_away.clone_from(&lock(&round.relay_away));
    report.halted = lock(&round.halted).iter().map(|(_, why)| why.clone()).collect();
    Ok(report)
}

/// Runs futures side by side on this task and keeps their order: they wait for the network far more than they work.
async fn futures_join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut all = true;
        for (future, done) in &mut pending {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => all = false,
                }
            }
        }
        if all { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, done)| done).collect()
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One mailer per connection.
fn mailers(publication: &Publication) -> Vec<Mailer> {
    let config = &publication.config;
    match config.relays.first() {
        None => (0..OUTBOX_WRITERS).map(|_| Mailer::outbox(Outbox::new(&config.mail.outbox))).collect(),
        Some(_) => config
            .relays
            .iter()
            .flat_map(|relay| (0..relay.connections).map(|_| Mailer::relay(settings(relay))))
            .collect(),
    }
}

/// A mailer for a single message outside of any digest.
pub fn single_mailer(publication: &Publication) -> Mailer {
    match publication.config.relays.first() {
        None => Mailer::outbox(Outbox::new(&publication.config.mail.outbox)),
        Some(relay) => Mailer::relay(settings(relay)),
    }
}

fn settings(relay: &Relay) -> RelaySettings {
    let tls = match relay.tls {
        Tls::Implicit => smtp::Tls::Implicit,
        Tls::Required => smtp::Tls::Required,
        Tls::Opportunistic => smtp::Tls::Opportunistic,
        Tls::None => smtp::Tls::None,
    };
    let mut settings = RelaySettings::new(&relay.host, relay.port, tls);
    settings.credentials =
        relay.credentials.as_ref().map(|(user, password)| (user.clone(), smtp::Secret::new(password.reveal())));
    settings.hello.clone_from(&relay.hello);
    settings.root_certificates.clone_from(&relay.authority);
    settings
}

impl Round<'_> {
    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire) || self.stop.is_given() || lock(&self.relay_away).is_some()
    }

    /// Claims batch after batch while there is something due.
    async fn claim(&self, claim: &str, batch: usize, jobs: mpsc::Sender<Claimed>) -> Result<(), TaskError> {
        while !self.is_over() {
            let now = self.publication.clock.now();
            let claimed = self.publication.store.claim(claim, now + LEASE, batch, now).await?;
            if claimed.is_empty() {
                break;
            }
            for delivery in claimed {
                if jobs.send(delivery).await.is_err() {
                    return Ok(());
                }
            }
            // The next batch is claimed when this one is nearly through: a claim should not wait in a queue.
            while !self.is_over() && jobs.capacity() < jobs.max_capacity() / 2 {
                let half = jobs.max_capacity() / 2;
                match jobs.reserve_many(half).await {
                    Ok(permits) => drop(permits),
                    Err(_) => return Ok(()),
                }
            }
        }
        Ok(())
    }

    /// One connection's work: a delivery, its outcome, the commit, the next.
    async fn work(
        &self,
        mailer: &mut Mailer,
        queue: Arc<Mutex<mpsc::Receiver<Claimed>>>,
        verdicts: mpsc::Sender<Verdict>,
    ) -> Result<(), TaskError> {
        loop {
            let Some(claimed) = queue.lock().await.recv().await else { return Ok(()) };
            let settled = if self.is_over() || self.is_halted(&claimed) {
                self.put_back(&claimed, TimeDelta::zero(), "put back")
            } else {
                self.deliver(mailer, &claimed).await?
            };
            let (done, committed) = oneshot::channel();
            if verdicts.send((settled, done)).await.is_err() || committed.await.is_err() {
                return Ok(());
            }
        }
    }

    fn is_halted(&self, claimed: &Claimed) -> bool {
        lock(&self.halted).iter().any(|(digest, _)| *digest == claimed.digest)
    }

    async fn deliver(&self, mailer: &mut Mailer, claimed: &Claimed) -> Result<Settled, TaskError> {
        if claimed.is_unwanted {
            return Ok(self.settled(claimed, DeliveryState::Skipped, false, "left".into()));
        }
        let prepared = match self.renderer.prepare(claimed).await {
            Ok(Some(prepared)) => prepared,
            Ok(None) => {
                return Ok(self.settled(claimed, DeliveryState::Skipped, false, "nothing left to bring".into()));
            }
            Err(error @ TaskError::Store(_)) => return Err(error),
            Err(error) => {
                self.halt(claimed, error.to_string()).await?;
                return Ok(self.put_back(claimed, TimeDelta::zero(), "halted"));
            }
        };
        let outcome = mailer.send(&prepared.from, &claimed.address, &prepared.file_stem, &prepared.bytes).await;
        self.judge(claimed, &outcome).await
    }

    /// What follows from a relay's verdict.
    async fn judge(&self, claimed: &Claimed, outcome: &Outcome) -> Result<Settled, TaskError> {
        let words = describe(outcome);
        if is_relay_away(outcome) {
            lock(&self.relay_away).get_or_insert_with(|| words.clone());
            return Ok(self.put_back(claimed, COOLING, &words));
        }
        let now = self.publication.clock.now();
        let first = claimed.first_attempt_at.unwrap_or(now);
        let state = match self.policy.next(outcome, claimed.attempts + 1, first, now, jitter()) {
            Next::Sent => DeliveryState::Sent,
            Next::Failed => DeliveryState::Failed,
            Next::Refused => {
                if fault(outcome) == Some(Fault::Address) {
                    let hash = self.publication.keyring.address_hash(&claimed.address.key());
                    self.publication.store.suppress(&hash, "refused", &words, now).await?;
                }
                DeliveryState::Refused
            }
            Next::RetryAt(at) => {
                return Ok(Settled { at, ..self.settled(claimed, DeliveryState::Deferred, true, words) });
            }
            Next::HaltDigest => {
                self.halt(claimed, words).await?;
                return Ok(self.put_back(claimed, TimeDelta::zero(), "halted"));
            }
        };
        Ok(self.settled(claimed, state, true, words))
    }

    /// Stops a digest for a fault of ours; the editor mends it and resumes.
    async fn halt(&self, claimed: &Claimed, why: String) -> Result<(), TaskError> {
        let is_first = {
            let mut halted = lock(&self.halted);
            let known = halted.iter().any(|(digest, _)| *digest == claimed.digest);
            if !known {
                halted.push((claimed.digest, why.clone()));
            }
            !known
        };
        if is_first {
            tracing::error!(digest = %claimed.digest, why = %crate::problem::printable(&why), "digest halted");
            self.publication.store.move_digest(claimed.digest, "sending", &DigestState::Halted { why }).await?;
        }
        Ok(())
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
    async fn settle(&self, claim: &str, mut settling: mpsc::Receiver<Verdict>) -> Result<DispatchReport, TaskError> {
        let mut report = DispatchReport::default();
        let mut verdicts: Vec<Verdict> = vec![];
        while settling.recv_many(&mut verdicts, 1000).await > 0 {
            let (settled, waiting): (Vec<Settled>, Vec<_>) = verdicts.drain(..).unzip();
            if let Err(error) = self.publication.store.settle(claim, &settled, self.publication.clock.now()).await {
                self.ended.store(true, Ordering::Release);
                return Err(error.into());
            }
            for one in &settled {
                match one.state {
                    DeliveryState::Sent => report.sent += 1,
                    DeliveryState::Deferred => report.deferred += 1,
                    DeliveryState::Refused => report.refused += 1,
                    DeliveryState::Failed => report.failed += 1,
                    DeliveryState::Skipped => report.skipped += 1,
                    DeliveryState::Queued | DeliveryState::Claimed => {}
                }
            }
            self.counts.sent.store(report.sent, Ordering::Relaxed);
            self.counts
                .others
                .store(report.deferred + report.refused + report.failed + report.skipped, Ordering::Relaxed);
            for waiting in waiting {
                // A worker that no longer waits has ended.
                let _ = waiting.send(());
            }
        }
        Ok(report)
    }
}

/// The relay did not even begin to look at the message.
fn is_relay_away(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Deferred { stage, .. } => {
            matches!(stage, Stage::Connect | Stage::Hello | Stage::StartTls | Stage::Auth)
                && fault(outcome) == Some(Fault::Relay)
        }
        Outcome::Accepted { .. } | Outcome::Refused { .. } | Outcome::Unknown { .. } => false,
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

/// A random number from 0 to 1.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness retries are merely less spread out.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
