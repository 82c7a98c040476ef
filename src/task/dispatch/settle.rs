//! Outcomes in, all that have come at once in one commit; and the sign of life.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Counts, DispatchReport, Round, Stop, Verdict, Vigil, interval, lock};
use crate::domain::delivery::{DeliveryState, brake};
use crate::domain::digest::DigestId;
use crate::store::{Settled, StoreError};
use crate::task::TaskError;

/// The first wait for a store that does not answer; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// How long an outcome waits for others to be committed together with it.
const MOMENT: Duration = Duration::from_millis(1);
/// And one that was noted.
const WHILE: Duration = Duration::from_millis(50);
/// Outcomes taken over at a time.
const AT_ONCE: usize = 1000;
/// Tries that are left once the word to stop was given.
const LAST_TRIES: u32 = 5;

/// Does something with the store until it is done: a full disk, a lock, a restart of the database pass, and what is in
/// hand is kept meanwhile. An error is what time does not mend, or anything once the word to stop was given.
///
/// A macro, since the compiler cannot tell that what an asynchronous closure makes may move between threads.
macro_rules! insistently {
    ($stop:expr, $attempt:expr) => {{
        let mut patience = $crate::task::dispatch::settle::Patience::new($stop);
        loop {
            match $attempt.await {
                Ok(done) => break Ok(done),
                Err(error) => match patience.after(error).await {
                    Ok(()) => {}
                    Err(error) => break Err(error),
                },
            }
        }
    }};
}
pub(super) use insistently;

/// How [`insistently`] waits.
pub(super) struct Patience {
    stop: Stop,
    wait: Duration,
    tries_left: u32,
}

impl Patience {
    pub(super) fn new(stop: &Stop) -> Self {
        Self { stop: stop.clone(), wait: FIRST_WAIT, tries_left: LAST_TRIES }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The one given, where it is not worth another try.
    pub(super) async fn after(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !matches!(error, StoreError::Statement(_)) {
            return Err(error);
        }
        if self.stop.is_given() {
            self.tries_left -= 1;
            if self.tries_left == 0 {
                return Err(error);
            }
            self.wait = FIRST_WAIT;
        }
        let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::error!(why, "the store does not answer: sending waits until it does, nothing is lost");
        if tokio::time::timeout(self.wait, self.stop.given()).await.is_ok() {
            // The word was given, or nobody is left to give it.
            tokio::time::sleep(FIRST_WAIT).await;
        }
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Ok(())
    }
}

impl Round {
    /// Commits whatever outcomes have come in, all at once, then lets their workers go on.
    pub(super) async fn settle(
        &self,
        mut settling: mpsc::UnboundedReceiver<Verdict>,
        counts: &Counts,
    ) -> Result<DispatchReport, TaskError> {
        let mut report = DispatchReport::default();
        let mut verdicts: Vec<Verdict> = vec![];
        while settling.recv_many(&mut verdicts, AT_ONCE).await > 0 {
            self.gather(&mut settling, &mut verdicts).await;
            let page = self.book.as_ref().map(|book| {
                book.turn(|| {
                    while let Ok(verdict) = settling.try_recv() {
                        verdicts.push(verdict);
                    }
                })
            });
            let (settled, waiting): (Vec<Settled>, Vec<_>) = verdicts.drain(..).unzip();
            let committed = insistently!(&self.stop, self.publication.store.settle(&self.claim, &settled, self.now()));
            if let Err(error) = committed {
                self.end();
                return Err(error.into());
            }
            if let Some(Err(error)) = self.book.as_ref().zip(page).map(|(book, page)| book.forget(page)) {
                tracing::warn!(%error, "noted outcomes are kept for longer than need be");
            }
            report.count(&settled);
            counts.add(&settled);
            let (count, mut waited) = (settled.len(), 0);
            for waiting in waiting.into_iter().flatten() {
                waited += 1;
                // A worker that no longer waits has ended.
                let _ = waiting.send(());
            }
            self.pace.send_modify(|pace| {
                pace.open = pace.open.saturating_sub(count);
                pace.settled += count as u64;
            });
            self.recorded(if self.book.is_some() { waited } else { count });
        }
        Ok(report)
    }

    /// Waits for others that are about to come: a commit costs much and a row little.
    async fn gather(&self, settling: &mut mpsc::UnboundedReceiver<Verdict>, verdicts: &mut Vec<Verdict>) {
        if self.book.is_some() && verdicts.iter().all(|(_, waiting)| waiting.is_none()) {
            // Nobody waits: they are noted.
            let _ = tokio::time::timeout(WHILE, self.until(|_| self.is_in_hand() == 0)).await;
            return;
        }
        let enough = self.ways.iter().map(|way| way.connections).sum::<usize>() / 2;
        let moment = tokio::time::Instant::now() + MOMENT;
        while verdicts.len() < enough.min(self.is_in_hand()) {
            match tokio::time::timeout_at(moment, settling.recv_many(verdicts, AT_ONCE)).await {
                Ok(more) if more > 0 => {}
                _ => break,
            }
        }
    }

    /// Counts an outcome for its digest, and stops that one where it was one refusal too many.
    pub(super) async fn tally(&self, digest: DigestId, state: DeliveryState) -> Result<(), TaskError> {
        {
            let mut tallies = lock(&self.tallies);
            let (tally, _) = tallies.entry(digest).or_default();
            match state {
                DeliveryState::Sent => tally.sent += 1,
                DeliveryState::Refused => tally.refused += 1,
                _ => {}
            }
        }
        if state == DeliveryState::Refused { self.brake(digest, 0).await } else { Ok(()) }
    }

    /// Stops a digest that too many refuse or complain of.
    async fn brake(&self, digest: DigestId, complaints: u64) -> Result<(), TaskError> {
        let tally = lock(&self.tallies).get(&digest).map(|(tally, _)| *tally).unwrap_or_default();
        match brake(&tally, complaints, &self.publication.config.brakes) {
            Some(why) => self.stop_digest(digest, why).await,
            None => Ok(()),
        }
    }

    /// Stops the digests of which too many have complained since the round began.
    async fn hear_complaints(&self) -> Result<(), TaskError> {
        let digests: Vec<_> = lock(&self.tallies).keys().copied().collect();
        for digest in digests {
            let complained = self.publication.store.reports_of(digest).await?.complained;
            let before = lock(&self.tallies).get_mut(&digest).map(|(_, before)| *before.get_or_insert(complained));
            self.brake(digest, complained.saturating_sub(before.unwrap_or(complained))).await?;
        }
        Ok(())
    }

    /// Shows that we are alive, and sees which digests rest, for as long as anything is in hand.
    pub(super) async fn stay_alive(&self) -> std::convert::Infallible {
        let mut vigil = Vigil::default();
        loop {
            tokio::time::sleep(interval(&self.publication)).await;
            if let Err(error) = self.look_around(&mut vigil).await {
                let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(why, "out of touch with the store");
            }
        }
    }

    async fn look_around(&self, vigil: &mut Vigil) -> Result<(), TaskError> {
        let store = &self.publication.store;
        if !store.beat(&self.claim).await? {
            // Others took us for dead, and have what we had.
            self.end();
            return Ok(());
        }
        *lock(&self.alive_at) = Instant::now();
        let seen = vigil.look(&self.publication, Instant::now()).await?;
        let senders = seen.alive.max(1);
        self.ways.iter().for_each(|way| way.share(senders));
        self.queue.share(senders);
        let halts = self.halts();
        let met: Vec<_> = lock(&self.met).iter().copied().collect();
        let resting = store.not_sending(&met).await?;
        if halts.is_some() && self.halts() == halts {
            *lock(&self.resting) = resting.into_iter().collect();
        }
        self.hear_complaints().await?;
        self.note_absences().await?;
        self.allow().await
    }
}
