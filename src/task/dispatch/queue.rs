//! Claimed deliveries between the claimer and the connections: each assigned to a way, and given out when the domain of
//! its recipient may be asked to take another. One slow domain never holds up the rest.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::ways::Way;
use super::{Job, lock};
use crate::domain::delivery::{Outcome, Stage, asks_for_patience};
use crate::domain::pace::{DomainPace, Learned, Turns};

/// How far the queue is looked through for somebody whose domain has a turn.
const LOOK_AHEAD: usize = 64;
/// Whoever would wait for longer than this goes back to the store, to make room for others.
const PATIENCE: Duration = Duration::from_secs(2);
/// Those who go back come again at this interval at most.
const RHYTHM: Duration = Duration::from_millis(250);
/// Nobody goes back for longer than this, but for a pace that asks for it: a domain may recover.
const LONGEST_BACK: Duration = Duration::from_mins(15);

/// The queues of all ways.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Vec<Notify>,
}

#[derive(Debug)]
struct State {
    waiting: Vec<VecDeque<Job>>,
    /// Messages given to each way so far.
    given: Vec<u64>,
    gates: HashMap<String, Gate>,
    paces: Vec<DomainPace>,
    is_closed: bool,
}

/// What one domain may be asked to take.
#[derive(Debug, Default)]
struct Gate {
    limit: Option<usize>,
    turns: Option<Turns>,
    learned: Learned,
    under_way: usize,
    /// When the next of those who go back would have its turn.
    later: Option<Instant>,
    /// When it had its last answer, and how long there is between two of them, about.
    answered: Option<(Instant, Duration)>,
}

/// What a connection gets when it asks for work.
#[derive(Debug)]
pub(super) enum Next {
    /// To be sent.
    Job(Job),
    /// Its domain has no turn soon: it goes back for so long.
    GoesBack(Job, Duration),
    /// Nothing for now; something after so long.
    Nothing(Duration),
    /// Nothing, and nothing will come.
    Closed,
}

impl Gate {
    fn wait(&self, now: Instant) -> Duration {
        self.turns.as_ref().map_or(Duration::ZERO, |turns| turns.wait(now)).max(self.learned.wait(now))
    }

    fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.under_way >= limit)
    }

    fn enter(&mut self, now: Instant) {
        self.under_way += 1;
        self.learned.take(now);
        if let Some(turns) = &mut self.turns {
            turns.take(now);
        }
    }

    /// How long someone is sent back for: one after another, in the domain's rhythm.
    fn sent_back(&mut self, now: Instant) -> Duration {
        let wait = self.wait(now).max(PATIENCE);
        let later = self.later.map_or(now + wait, |later| later.max(now + wait)) + self.rhythm();
        let later = later.min(now + wait.max(LONGEST_BACK));
        self.later = Some(later);
        later - now
    }

    /// The time between two messages that the domain takes. Whoever comes back too early merely goes back again.
    fn rhythm(&self) -> Duration {
        let set = self.turns.as_ref().map_or(Duration::ZERO, Turns::interval).max(self.learned.interval());
        let measured = || self.answered.map_or(RHYTHM, |(_, between)| between / 4 * 3);
        if set.is_zero() { measured() } else { set }.min(RHYTHM)
    }

    fn answered(&mut self, now: Instant) {
        let between = self
            .answered
            .map_or(RHYTHM, |(last, between)| (between * 7 + now.saturating_duration_since(last).min(RHYTHM)) / 8);
        self.answered = Some((now, between));
    }
}

impl Queue {
    pub(super) fn new(ways: usize, paces: &[DomainPace]) -> Self {
        let state = State {
            waiting: (0..ways).map(|_| VecDeque::new()).collect(),
            given: vec![0; ways],
            gates: HashMap::new(),
            paces: paces.to_vec(),
            is_closed: false,
        };
        Self { state: Mutex::new(state), arrived: (0..ways).map(|_| Notify::new()).collect() }
    }

    /// Assigns a delivery to the way that has the least for its weight; back comes what no way has room for. A way that
    /// does not stand is asked with one and gets no more where another may have them: it may take a minute to fail.
    pub(super) fn put(&self, job: Job, ways: &[Way]) -> Option<Job> {
        let mut state = lock(&self.state);
        let open = ways.iter().enumerate().filter(|(_, way)| way.has_room());
        let load = |(place, way): &(usize, &Way)| {
            let has_enough = !way.is_open() && !state.waiting[*place].is_empty();
            let (is_spare, load) = way.load(state.given[*place]);
            (has_enough && way.is_doubtful(), is_spare, has_enough, load)
        };
        let Some((place, way)) = open.min_by_key(load) else {
            return Some(job);
        };
        way.given();
        state.given[place] += 1;
        state.waiting[place].push_back(job);
        self.arrived[place].notify_one();
        None
    }

    /// What waits for this way is assigned anew, to others; back comes what no way has room for.
    pub(super) fn reassign(&self, place: usize, ways: &[Way]) -> Vec<Job> {
        let waiting = std::mem::take(&mut lock(&self.state).waiting[place]);
        waiting.into_iter().filter_map(|job| self.put(job, ways)).collect()
    }

    /// A way that was away stands again. It has its share from now on, and does not make up for what it missed alone.
    pub(super) fn catch_up(&self, place: usize, ways: &[Way]) {
        let given = &mut lock(&self.state).given;
        let level = |(at, other): (usize, &Way)| other.level(given[at]);
        let most = ways.iter().enumerate().filter(|(at, way)| *at != place && way.is_open()).map(level).max();
        given[place] = given[place].max(ways[place].given_at(most.unwrap_or(0)));
    }

    /// So many processes send: they keep the rates of domains together.
    pub(super) fn share(&self, senders: usize) {
        let state = &mut *lock(&self.state);
        for pace in &state.paces {
            let Some(rate) = pace.rate else { continue };
            for domain in &pace.domains {
                if let Some(turns) = state.gates.get_mut(domain).and_then(|gate| gate.turns.as_mut()) {
                    turns.set(rate.shared_by(senders));
                }
            }
        }
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        lock(&self.state).is_closed = true;
        for arrived in &self.arrived {
            arrived.notify_waiters();
        }
    }

    /// Everything that was not given out.
    pub(super) fn drain(&self) -> Vec<Job> {
        lock(&self.state).waiting.iter_mut().flat_map(|waiting| waiting.drain(..)).collect()
    }

    /// What is next for this way, without waiting.
    pub(super) fn next(&self, place: usize, now: Instant) -> Next {
        let state = &mut *lock(&self.state);
        let mut wait = Duration::MAX;
        for at in 0..state.waiting[place].len().min(LOOK_AHEAD) {
            let domain = state.waiting[place][at].claimed.address.domain();
            let Some(gate) = gate(&mut state.gates, &state.paces, domain) else {
                return given(&mut state.waiting[place], at);
            };
            let until = gate.wait(now);
            if until > PATIENCE {
                let until = gate.sent_back(now);
                return match given(&mut state.waiting[place], at) {
                    Next::Job(job) => Next::GoesBack(job, until),
                    other => other,
                };
            }
            if until.is_zero() && !gate.is_full() {
                gate.enter(now);
                return given(&mut state.waiting[place], at);
            }
            wait = wait.min(if until.is_zero() { PATIENCE } else { until });
        }
        match state.waiting[place].len() {
            0 if state.is_closed => Next::Closed,
            // The queue is full of those whose domain is busy: some make room for others.
            many if many >= LOOK_AHEAD / 2 => {
                let domain = state.waiting[place][0].claimed.address.domain();
                let until = gate(&mut state.gates, &state.paces, domain).map_or(PATIENCE, |gate| gate.sent_back(now));
                match given(&mut state.waiting[place], 0) {
                    Next::Job(job) => Next::GoesBack(job, until),
                    other => other,
                }
            }
            _ => Next::Nothing(wait),
        }
    }

    /// Waits until there is something new for this way, for so long at most.
    pub(super) async fn arrived(&self, place: usize, wait: Duration) {
        // Whoever waited in vain looks again all the same.
        let _ = tokio::time::timeout(wait.min(Duration::from_secs(1)), self.arrived[place].notified()).await;
    }

    /// A delivery that was given out has its outcome; `None` where it was not tried.
    pub(super) fn done(&self, domain: &str, outcome: Option<&Outcome>, now: Instant) {
        let state = &mut *lock(&self.state);
        let slower = outcome.is_some_and(|outcome| {
            matches!(outcome, Outcome::Deferred { stage: Stage::Rcpt | Stage::Data | Stage::Body, .. })
                && asks_for_patience(outcome)
        });
        if slower && !state.gates.contains_key(domain) {
            state.gates.insert(domain.to_owned(), Gate { under_way: 1, ..Gate::default() });
        }
        let Some(gate) = state.gates.get_mut(domain) else { return };
        gate.under_way = gate.under_way.saturating_sub(1);
        if outcome.is_some() {
            gate.answered(now);
        }
        if slower {
            gate.learned.put_off(now);
        } else if matches!(outcome, Some(Outcome::Accepted { .. })) {
            gate.learned.went_well();
        }
    }
}

/// The gate of a domain, if it has a pace.
fn gate<'a>(gates: &'a mut HashMap<String, Gate>, paces: &[DomainPace], domain: &str) -> Option<&'a mut Gate> {
    if gates.is_empty() && paces.is_empty() {
        return None;
    }
    if !gates.contains_key(domain) {
        let pace = paces.iter().find(|pace| pace.domains.iter().any(|one| one == domain))?;
        let gate = Gate { limit: pace.connections, turns: pace.rate.map(Turns::new), ..Gate::default() };
        gates.insert(domain.to_owned(), gate);
    }
    gates.get_mut(domain)
}

fn given(waiting: &mut VecDeque<Job>, at: usize) -> Next {
    waiting.remove(at).map_or(Next::Nothing(PATIENCE), Next::Job)
}
