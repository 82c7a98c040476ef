//! Watching over the processes that send: whoever shows no sign of life for a while is dead, and what it had in hand
//! passes on. Each watcher goes by its own steady clock, so wall clocks may differ between machines, or jump.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::store::StoreError;
use crate::task::Publication;

/// What one watcher has seen.
#[derive(Debug, Default)]
pub struct Vigil {
    /// The last beat of each sender, and when it was first seen.
    beats: HashMap<String, (i64, Instant, bool)>,
}

/// What a look brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Senders that have moved since they were first seen.
    pub alive: usize,
    /// Senders that may be dead: it is too early to tell.
    pub in_doubt: usize,
    /// Deliveries that were passed on now.
    pub taken_over: u64,
}

impl Vigil {
    /// Looks at all senders, and passes on what the dead ones had in hand.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn look(&mut self, publication: &Publication, now: Instant) -> Result<Seen, StoreError> {
        let senders = publication.store.senders().await?;
        self.beats.retain(|claim, _| senders.iter().any(|sender| sender.claim == *claim));
        let mut seen = Seen::default();
        for sender in senders {
            let known = self.beats.entry(sender.claim.clone()).or_insert((sender.beat, now, false));
            if known.0 != sender.beat {
                *known = (sender.beat, now, true);
            }
            let silent = now.saturating_duration_since(known.1);
            if silent >= publication.config.mail.take_over_after {
                let passed_on = publication.store.take_over(&sender, publication.clock.now()).await?;
                // Without it the sender moved after all, or somebody else was faster.
                if let Some(passed_on) = passed_on {
                    tracing::warn!(host = sender.host, pid = sender.pid, deliveries = passed_on, "a sender died");
                    seen.taken_over += passed_on;
                }
                self.beats.remove(&sender.claim);
            } else if known.2 && silent < interval(publication) * 3 {
                seen.alive += 1;
            } else {
                seen.in_doubt += 1;
            }
        }
        Ok(seen)
    }
}

/// How often a sender shows that it is alive, and how often one looks.
pub fn interval(publication: &Publication) -> Duration {
    (publication.config.mail.take_over_after / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))
}
