//! The ways out, relays or the outbox, as one round sees them.
//!
//! A relay is asked by one connection first; the others follow when that one stands. So a relay that is away costs one
//! attempt per round, and no delivery is counted as attempted. A relay that takes fewer connections than are
//! configured keeps those that it took. It is away when none of its connections is left; then it is left alone for a
//! while, and the round ends when every relay is away.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::lock;
use crate::config::{Config, Relay};
use crate::domain::delivery::{Outcome, Stage, asks_for_patience};
use crate::domain::pace::{Learned, Rate, Turns, WarmUp};
use crate::mail::Mailer;
use crate::mail::outbox::Outbox;
use crate::mail::smtp::RelaySettings;

/// Writers into the outbox: each waits for the disk, so a few are enough.
const OUTBOX_WRITERS: usize = 4;

/// One way out.
#[derive(Debug)]
pub(super) struct Way {
    /// Its name in logs.
    pub(super) name: String,
    pub(super) connections: usize,
    /// Messages under way on one connection.
    pub(super) depth: usize,
    weight: u32,
    rate: Option<Rate>,
    warm_up: Option<WarmUp>,
    /// What the warm-up still allows today.
    allowance: AtomicI64,
    /// What it accepted and the store has not counted yet.
    accepted: AtomicU64,
    turns: Mutex<(Option<Turns>, Learned)>,
    standing: Mutex<Standing>,
}

/// How a way stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its first connection asks.
    Asked,
    /// It was away, and its first connection asks again.
    AskedAgain,
    /// So many of its connections are good, or not tried yet.
    Open { left: usize },
    /// It is left alone.
    Away,
}

impl Way {
    fn outbox() -> Self {
        let standing = Standing::Open { left: OUTBOX_WRITERS };
        Self {
            name: "outbox".into(),
            connections: OUTBOX_WRITERS,
            depth: 1,
            weight: 1,
            rate: None,
            warm_up: None,
            allowance: AtomicI64::new(i64::MAX),
            accepted: AtomicU64::new(0),
            turns: Mutex::default(),
            standing: Mutex::new(standing),
        }
    }

    fn relay(relay: &Relay) -> Self {
        Self {
            name: relay.host.clone(),
            connections: relay.connections,
            depth: relay.depth,
            weight: relay.weight,
            rate: relay.rate,
            warm_up: relay.warm_up,
            allowance: AtomicI64::new(if relay.warm_up.is_some() { 0 } else { i64::MAX }),
            accepted: AtomicU64::new(0),
            turns: Mutex::new((relay.rate.map(Turns::new), Learned::default())),
            standing: Mutex::new(Standing::Asked),
        }
    }

    /// Whether one of its connections has stood and is not given up.
    pub(super) fn is_open(&self) -> bool {
        matches!(*lock(&self.standing), Standing::Open { .. })
    }

    /// Whether it was away and has not stood since: it is not to be relied on.
    pub(super) fn is_doubtful(&self) -> bool {
        *lock(&self.standing) == Standing::AskedAgain
    }

    /// Whether nothing goes out by it for now.
    pub(super) fn is_away(&self) -> bool {
        *lock(&self.standing) == Standing::Away
    }

    /// One of its connections stands. Returns whether it is the first.
    pub(super) fn opened(&self) -> bool {
        let mut standing = lock(&self.standing);
        let is_first = !matches!(*standing, Standing::Open { .. });
        if is_first {
            *standing = Standing::Open { left: self.connections };
        }
        is_first
    }

    /// One of its connections is given up; before any stood, all are. Returns whether it is away now.
    pub(super) fn give_up_one(&self) -> bool {
        let mut standing = lock(&self.standing);
        *standing = match *standing {
            Standing::Open { left } if left > 1 => Standing::Open { left: left - 1 },
            _ => Standing::Away,
        };
        *standing == Standing::Away
    }

    /// A connection that was given up has been left alone for long enough.
    pub(super) fn come_back(&self, asks_first: bool) {
        let mut standing = lock(&self.standing);
        *standing = match *standing {
            Standing::Open { left } => Standing::Open { left: (left + 1).min(self.connections) },
            Standing::Away if asks_first => Standing::AskedAgain,
            other => other,
        };
    }

    /// Whether a message may be given to it.
    pub(super) fn has_room(&self) -> bool {
        !self.is_away() && self.allowance.load(Ordering::Acquire) > 0
    }

    /// Why its warm-up allows nothing more today, if that is so.
    pub(super) fn exhausted(&self, now: DateTime<Utc>) -> Option<String> {
        let warm_up = self.warm_up.filter(|_| self.allowance.load(Ordering::Acquire) <= 0)?;
        Some(format!("{}: the warm-up allows {} messages today", self.name, warm_up.allows(now.date_naive())))
    }

    /// What it accepted and the store has not counted yet.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    /// The store has counted so many.
    pub(super) fn counted(&self, accepted: u64) {
        self.accepted.fetch_sub(accepted, Ordering::AcqRel);
    }

    /// Whether it has a warm-up, for which what it accepted today has to be known.
    pub(super) fn warms_up(&self) -> bool {
        self.warm_up.is_some()
    }

    /// The warm-up allows what is left of today beyond what was accepted and what is in hand.
    pub(super) fn allow(&self, accepted: u64, in_hand: u64, now: DateTime<Utc>) {
        if let Some(warm_up) = self.warm_up {
            let left = warm_up.allows(now.date_naive()).saturating_sub(accepted).saturating_sub(in_hand);
            self.allowance.store(i64::try_from(left).unwrap_or(i64::MAX), Ordering::Release);
        }
    }

    /// A message was given to it.
    pub(super) fn given(&self) {
        if self.warm_up.is_some() {
            self.allowance.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// How full it is beside others, if it already has `given` messages: the emptiest is next. One of weight 0 is for
    /// when all others are away.
    pub(super) fn load(&self, given: u64) -> (bool, u64) {
        (self.weight == 0, (given + 1).saturating_mul(1_000_000) / u64::from(self.weight.max(1)))
    }

    /// How full it is with so many messages, in millionths of its weight; one of weight 0 is never full.
    pub(super) fn level(&self, given: u64) -> u64 {
        if self.weight == 0 { 0 } else { given.saturating_mul(1_000_000) / u64::from(self.weight) }
    }

    /// With how many messages it is that full.
    pub(super) fn given_at(&self, level: u64) -> u64 {
        level.saturating_mul(u64::from(self.weight)) / 1_000_000
    }

    /// Most messages a second, where set.
    pub(super) fn per_second(&self) -> Option<f64> {
        self.rate.map(Rate::per_second)
    }

    /// So many processes send by it: they keep its rate together.
    pub(super) fn share(&self, senders: usize) {
        if let (Some(rate), Some(turns)) = (self.rate, &mut lock(&self.turns).0) {
            turns.set(rate.shared_by(senders));
        }
    }

    /// The instant of the next message, taken with this.
    pub(super) fn turn(&self, now: Instant) -> Instant {
        let mut turns = lock(&self.turns);
        let learned = now + turns.1.wait(now);
        turns.1.take(now);
        turns.0.as_mut().map_or(learned, |turns| turns.take(now).max(learned))
    }

    /// What its answer says of its pace.
    pub(super) fn learn(&self, outcome: &Outcome, now: Instant) {
        let learned = &mut lock(&self.turns).1;
        match outcome {
            Outcome::Accepted { .. } => {
                self.accepted.fetch_add(1, Ordering::AcqRel);
                learned.went_well();
            }
            // After a goodbye (421) the connection is given up soon; that is pause enough.
            Outcome::Deferred { stage: Stage::Mail, code, .. } if *code != Some(421) && asks_for_patience(outcome) => {
                learned.put_off(now);
            }
            _ => {}
        }
    }
}

/// How long a connection, or a relay, that failed is left alone.
pub(super) const COOLING: Duration = Duration::from_mins(1);

/// The ways out of a publication.
pub(super) fn ways(config: &Config) -> Vec<Way> {
    if config.relays.is_empty() { vec![Way::outbox()] } else { config.relays.iter().map(Way::relay).collect() }
}

/// A mailer for one connection: by the relay at `place`, or into the outbox.
pub(super) fn mailer(config: &Config, place: usize) -> Mailer {
    match config.relays.get(place) {
        None => Mailer::outbox(Outbox::new(&config.mail.outbox)),
        Some(relay) => Mailer::relay(settings(relay)),
    }
}

fn settings(relay: &Relay) -> RelaySettings {
    let mut settings = RelaySettings::new(&relay.host, relay.port, relay.tls);
    settings.credentials.clone_from(&relay.credentials);
    settings.hello.clone_from(&relay.hello);
    settings.root_certificates.clone_from(&relay.authority);
    settings.messages_per_connection = relay.messages_per_connection;
    settings
}
