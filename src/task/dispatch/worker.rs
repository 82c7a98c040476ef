//! One connection's work: a delivery, its outcome, the commit, the next.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{Job, Round, Verdict, describe, lock};
use crate::domain::delivery::{DeliveryState, Fault, Next, Outcome, Stage, fault};
use crate::mail::Mailer;
use crate::store::{Claimed, Settled};
use crate::task::TaskError;
use crate::task::render::Renderer;

/// How long a delivery that found every relay away is left alone.
const COOLING: TimeDelta = TimeDelta::minutes(1);
/// Failures of the connection itself, one after another, after which it is given up for this round: a relay that says
/// 421 to everything would otherwise be asked once for each reader.
const FAILURES: u32 = 3;

/// Recipients refused by policy in one round, from which on it is taken for a ban on us.
const SUSPICIOUS: u32 = 3;

/// What a worker needs to begin.
pub(super) struct Worker {
    pub(super) round: Arc<Round>,
    /// Place of its way out.
    pub(super) way: usize,
    /// Whether it is the first to ask its relay.
    pub(super) asks_first: bool,
    pub(super) mailer: Mailer,
    pub(super) queue: Arc<Mutex<mpsc::Receiver<Job>>>,
    pub(super) verdicts: mpsc::Sender<Verdict>,
    /// Failures of the connection since the last answer.
    pub(super) failures: u32,
}

/// However a worker ends, a panic included, nobody waits for it in vain.
struct EndsTheRound(Arc<Round>);

impl Drop for EndsTheRound {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Worker {
    /// Works until the queue is closed. What is in the queue when the round is over goes back.
    pub(super) async fn work(mut self) -> Result<(), TaskError> {
        let round = Arc::clone(&self.round);
        let _guard = EndsTheRound(Arc::clone(&round));
        let renderer = Renderer::sharing(&round.publication, Arc::clone(&round.rendered));
        if !self.asks_first {
            round.until_open(self.way).await;
        }
        loop {
            let Some(job) = self.queue.lock().await.recv().await else { break };
            let settled = match round.held_back(&job) {
                Some(settled) => settled,
                None => self.deliver(&renderer, &job).await?,
            };
            let (done, committed) = oneshot::channel();
            if self.verdicts.send((settled, done)).await.is_err() || committed.await.is_err() {
                break;
            }
            if self.is_given_up() {
                round.until_over().await;
            }
        }
        self.mailer.close().await;
        Ok(())
    }

    fn is_given_up(&self) -> bool {
        self.failures >= FAILURES
    }

    async fn deliver(&mut self, renderer: &Renderer<'_>, job: &Job) -> Result<Settled, TaskError> {
        let claimed = &job.claimed;
        let prepared = match renderer.prepare(claimed).await {
            Ok(Some(prepared)) => prepared,
            Ok(None) => {
                return Ok(self.round.settled(claimed, DeliveryState::Skipped, false, "nothing left to bring".into()));
            }
            Err(error @ TaskError::Store(_)) => return Err(error),
            Err(error) => return self.round.halt(job, error.to_string()).await,
        };
        if let Err(outcome) = self.mailer.connect().await {
            return self.not_connected(job, &outcome).await;
        }
        self.round.opened(self.way);
        let outcome = self.mailer.send(&prepared.from, &claimed.address, &prepared.file_stem, &prepared.bytes).await;
        if is_before_the_message(&outcome) {
            return self.not_connected(job, &outcome).await;
        }
        self.failures = if is_failure_of_the_connection(&outcome) { self.failures + 1 } else { 0 };
        if self.is_given_up() {
            self.round.give_up_one(self.way, &describe(&outcome));
        }
        self.judge(job, &outcome).await
    }

    /// The relay did not even look at the message: nobody is counted as attempted. A lasting no to the first
    /// connection is our own fault; to a further one it means that there are enough.
    async fn not_connected(&mut self, job: &Job, outcome: &Outcome) -> Result<Settled, TaskError> {
        let words = describe(outcome);
        let is_open = self.round.ways[self.way].is_open();
        if matches!(outcome, Outcome::Refused { .. }) && !is_open {
            return self.round.halt(job, words).await;
        }
        self.failures = FAILURES;
        let nothing_is_left = self.round.give_up_one(self.way, &words);
        let wait = if nothing_is_left { COOLING } else { TimeDelta::zero() };
        Ok(self.round.put_back(&job.claimed, wait, &words))
    }

    /// Whether so few recipients of the digest were refused by policy that it is rather theirs than a ban on us: a
    /// mailbox that takes mail from inside only must not halt a digest, and its reader is tried again later.
    fn is_one_of_few(&self, claimed: &Claimed) -> bool {
        let mut suspicions = lock(&self.round.suspicions);
        let count = suspicions.entry(claimed.digest).or_default();
        *count += 1;
        *count < SUSPICIOUS
    }

    /// What follows from a relay's verdict on a message.
    async fn judge(&self, job: &Job, outcome: &Outcome) -> Result<Settled, TaskError> {
        let (round, claimed) = (&self.round, &job.claimed);
        let words = describe(outcome);
        let now = round.publication.clock.now();
        let first = claimed.first_attempt_at.unwrap_or(now);
        let next = |outcome| round.policy.next(outcome, claimed.attempts + 1, first, now, jitter());
        let next = match next(outcome) {
            Next::HaltDigest => match as_put_off(outcome) {
                Some(put_off) if self.is_one_of_few(claimed) => next(&put_off),
                _ => Next::HaltDigest,
            },
            other => other,
        };
        let state = match next {
            Next::Sent => DeliveryState::Sent,
            Next::Failed => DeliveryState::Failed,
            Next::Refused => {
                if fault(outcome) == Some(Fault::Address) {
                    suppress(round, claimed, &words).await?;
                }
                DeliveryState::Refused
            }
            Next::RetryAt(at) => {
                return Ok(Settled { at, ..round.settled(claimed, DeliveryState::Deferred, true, words) });
            }
            Next::HaltDigest => return round.halt(job, words).await,
        };
        Ok(round.settled(claimed, state, true, words))
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

async fn suppress(round: &Round, claimed: &Claimed, words: &str) -> Result<(), TaskError> {
    let publication = &round.publication;
    let hash = publication.keyring.address_hash(&claimed.address.key());
    Ok(publication.store.suppress(&hash, "refused", words, publication.clock.now()).await?)
}

/// The connection was lost again before the message was on its way.
fn is_before_the_message(outcome: &Outcome) -> bool {
    match outcome {
        // Whatever the enhanced code says: "421 4.7.0 too many connections" is about no message either.
        Outcome::Deferred { stage, .. } => {
            matches!(stage, Stage::Connect | Stage::Hello | Stage::StartTls | Stage::Auth)
        }
        Outcome::Accepted { .. } | Outcome::Refused { .. } | Outcome::Unknown { .. } => false,
    }
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
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness retries are merely less spread out.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
