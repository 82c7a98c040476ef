//! The ways out, relays or the outbox, as one round sees them.
//!
//! A relay is asked by one connection first; the others follow when that one stands. So a relay that is away costs one
//! attempt per round, and no delivery is counted as attempted. A relay that takes fewer connections than are
//! configured keeps those that it took. It is away when none of its connections is left; the round ends when that is
//! so of every relay.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::config::{Config, Relay};
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
    connections: usize,
    left: AtomicUsize,
    is_open: AtomicBool,
}

impl Way {
    fn new(name: String, connections: usize, is_open: bool) -> Self {
        Self { name, connections, left: AtomicUsize::new(connections), is_open: AtomicBool::new(is_open) }
    }

    /// Whether one of its connections has stood.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// One of its connections stands. Returns whether it is the first.
    pub(super) fn opened(&self) -> bool {
        !self.is_open.swap(true, Ordering::AcqRel)
    }

    /// One of its connections is given up; before any stood, all are. Returns whether it is away now.
    pub(super) fn give_up_one(&self) -> bool {
        if self.is_open() {
            self.left.fetch_sub(1, Ordering::AcqRel) == 1
        } else {
            self.left.store(0, Ordering::Release);
            true
        }
    }

    /// Whether nothing more can go out by it in this round.
    pub(super) fn is_away(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }
}

/// The ways out of a publication.
pub(super) fn ways(config: &Config) -> Vec<Way> {
    if config.relays.is_empty() {
        return vec![Way::new("outbox".into(), OUTBOX_WRITERS, true)];
    }
    config.relays.iter().map(|relay| Way::new(relay.host.clone(), relay.connections, false)).collect()
}

/// The connections of the ways, each with the place of its way and whether it is the one that asks first.
pub(super) fn connections(config: &Config, ways: &[Way]) -> Vec<(usize, bool, Mailer)> {
    let places = ways.iter().enumerate();
    places
        .flat_map(|(place, way)| (0..way.connections).map(move |number| (place, number == 0, mailer(config, place))))
        .collect()
}

/// A mailer for a single message: by the relay at `place`, or into the outbox.
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
    settings
}
