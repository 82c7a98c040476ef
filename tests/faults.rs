//! What becomes of readers when a relay misbehaves: every stage of the dialogue × every fault, held to one table.
//!
//! Whatever happens: nobody is lost, nobody is asked for again after a lasting no, nobody gets two unless it could not
//! be known whether the first was taken, nothing gets stuck, and those who were not hit are not touched. What is hit is
//! chosen by a seed: `TIDINGS_FAULT_SEEDS` says how many are tried (1), `TIDINGS_FAULT_SEED` the first of them (1). Of the
//! two kinds of hit that each cell of the table has, one seed tries the one and the next seed the other.
//!
//! Silence is not in the table: its limits are minutes, and `tests/mail.rs` holds each stage to them.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use support::publication::{Lantern, Setup};
use support::smtp_sink::{Answer, Certificate, Moment, Options, Sink, Step};
use tidings::domain::digest::{Digest, DigestState};
use tidings::task::dispatch::{Counts, DispatchReport, Stop, dispatch};

/// Readers of each digest; three more are refused where the stage is RSET, which only a refusal brings about.
const READERS: usize = 14;
const CONNECTIONS: usize = 3;

/// What follows for the readers whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// No harm: sent at once.
    Sent,
    /// Not now: sent later, one copy.
    Later,
    /// A lasting no: asked for once, and refused.
    Refused,
    /// The address does not exist: refused, and never written to again.
    Banned,
    /// Our own fault: the digest halts, says why and counts nobody; resumed, it is sent.
    Halts,
    /// It cannot be known whether it was taken: sent again under the same Message-ID. It was not taken: one copy.
    Again,
    /// The same, and it was taken: two copies.
    Twice,
    /// The same, where the client may also notice in time that the answers are out of step: one copy or two.
    OnceOrTwice,
    /// Sent at once or later, one copy: how the relay's answers fall into place decides.
    Once,
    /// Does not exist there.
    None,
}

/// What a relay does.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Says this and goes on.
    Says(&'static str),
    /// Says this and closes.
    Leaves(&'static str),
    /// Closes without a word.
    Drops,
    /// Takes the message and closes without a word.
    TakesAndDrops,
    /// Says something that is not SMTP.
    Babbles,
    /// Says line after line and never the last one.
    NeverEnds,
    /// Says something that has no line end.
    HasNoLineEnd,
    /// Says the right code in several lines.
    YesInLines,
    /// Says the right code and a text that is not UTF-8.
    YesInEightBits,
    /// Says a temporary no in a text that is not UTF-8.
    LaterInEightBits,
    /// Says another code than the right one, and a yes all the same.
    AnotherYes,
    /// Says yes twice.
    YesTwice,
}

const STAGES: [Step; 10] = [
    Step::Greeting,
    Step::Hello,
    Step::StartTls,
    Step::Auth,
    Step::Mail,
    Step::Rcpt,
    Step::Data,
    Step::Content,
    Step::Dot,
    Step::Reset,
];

use Fault::{
    AnotherYes, Babbles, Drops, HasNoLineEnd, LaterInEightBits, Leaves, NeverEnds, Says, TakesAndDrops, YesInEightBits,
    YesInLines, YesTwice,
};
use Then::{Again, Banned, Halts, Later, None as No, Once, OnceOrTwice as OneTwo, Refused, Sent, Twice};

/// The law. Up to AUTH a fault hits the first connection; on a further one it means no more than "enough of them".
#[rustfmt::skip]
const LAW: [(Fault, [Then; 10]); 26] = [
    //                                         greeting EHLO   STARTTLS AUTH  MAIL     RCPT     DATA     content  dot      RSET
    (Says("451 not now"),                     [Later,  Later,  Later,  Later, Later,   Later,   Later,   Later,   Later,   Later]),
    (Says("451 4.3.0 not now"),               [Later,  Later,  Later,  Later, Later,   Later,   Later,   Later,   Later,   Later]),
    (Says("450 4.2.1 mailbox busy"),          [Later,  Later,  Later,  Later, Later,   Later,   Later,   Later,   Later,   Later]),
    (Says("451-4.7.1 grey\r\n451 4.7.1 list"),[Later,  Later,  Later,  Later, Later,   Later,   Later,   Later,   Later,   Later]),
    (Says("250-fine\r\n451 4.3.0 or not"),    [Later,  Later,  Later,  Later, Later,   Later,   Later,   No,      Later,   Later]),
    (Says("421 4.3.2 going down"),            [Later,  Later,  Later,  Later, Later,   Later,   Later,   Later,   Later,   Later]),
    (Leaves("421 4.3.2 going down"),          [Later,  Later,  Later,  Later, Later,   Later,   Later,   Later,   Later,   Later]),
    (Leaves("451 4.3.0 not now"),             [Later,  Later,  Later,  Later, Later,   Later,   Later,   Later,   Later,   Later]),
    (Says("554 no"),                          [Halts,  Halts,  Halts,  Halts, Halts,   Refused, Halts,   Refused, Refused, Later]),
    (Says("550 5.1.1 no such user"),          [Halts,  Halts,  Halts,  Halts, Halts,   Banned,  Banned,  Banned,  Banned,  Later]),
    (Says("550-5.1.1 no\r\n550 5.1.1 such"),  [Halts,  Halts,  Halts,  Halts, Halts,   Banned,  Banned,  Banned,  Banned,  Later]),
    (Says("552 5.2.2 mailbox full"),          [Halts,  Halts,  Halts,  Halts, Refused, Refused, Refused, Refused, Refused, Later]),
    (Says("550 5.7.1 you are blocked"),       [Halts,  Halts,  Halts,  Halts, Halts,   Later,   Halts,   Halts,   Halts,   Later]),
    (Says("530 5.7.0 log in first"),          [Halts,  Halts,  Halts,  Halts, Halts,   Later,   Halts,   Halts,   Halts,   Later]),
    (Leaves("554 5.7.1 you are blocked"),     [Halts,  Halts,  Halts,  Halts, Halts,   Later,   Halts,   Halts,   Halts,   Later]),
    (Drops,                                   [Later,  Later,  Later,  Later, Later,   Later,   Later,   Later,   Again,   Later]),
    (TakesAndDrops,                           [No,     No,     No,     No,    No,      No,      No,      No,      Twice,   No]),
    (Babbles,                                 [Later,  Later,  Later,  Later, Later,   Later,   Later,   Again,   Again,   Later]),
    (NeverEnds,                               [Later,  Later,  Later,  Later, Later,   Later,   Later,   No,      Again,   Later]),
    (HasNoLineEnd,                            [Later,  Later,  Later,  Later, Later,   Later,   Later,   No,      Again,   Later]),
    (YesInLines,                              [Sent,   Sent,   Sent,   Sent,  Sent,    Sent,    Sent,    No,      Sent,    Sent]),
    (YesInEightBits,                          [Sent,   Sent,   Sent,   Sent,  Sent,    Sent,    Sent,    No,      Sent,    Sent]),
    (LaterInEightBits,                        [Later,  Later,  Later,  Later, Later,   Later,   Later,   No,      Later,   Later]),
    (AnotherYes,                              [Later,  Later,  Later,  Later, Later,   Later,   Later,   No,      Again,   Later]),
    (YesTwice,                                [Once,   Once,   Once,   Once,  Once,    Once,    OneTwo,  No,      Once,    Once]),
    (Says("220 hello"),                       [Sent,   Sent,   Sent,   Sent,  Sent,    Sent,    Later,   No,      Sent,    Sent]),
];

/// The good answer's code.
fn yes(stage: Step) -> &'static str {
    match stage {
        Step::Greeting | Step::StartTls => "220",
        Step::Auth => "235",
        Step::Data => "354",
        _ => "250",
    }
}

impl Fault {
    fn answer(self, stage: Step) -> Answer {
        let yes = yes(stage);
        match self {
            // In the middle of a message a relay that speaks also leaves: whatever it would say later has been said.
            Says(words) if stage == Step::Content => Answer::SayAndDrop(words.to_owned()),
            Babbles if stage == Step::Content => Answer::SayAndDrop("what?".to_owned()),
            Says(words) => Answer::Say(words.to_owned()),
            Leaves(words) => Answer::SayAndDrop(words.to_owned()),
            Drops => Answer::Drop,
            TakesAndDrops => Answer::TakeAndDrop,
            Babbles => Answer::Raw(b"\x00\xffwhat?\r\n".to_vec()),
            NeverEnds => Answer::Raw(format!("{yes}-and so on\r\n").repeat(4000).into_bytes()),
            HasNoLineEnd => Answer::Raw(vec![b'2'; 20_000]),
            YesInLines => Answer::Say(format!("{yes}-well\r\n{yes}-yes\r\n{yes} of course")),
            YesInEightBits => Answer::SayBytes([yes.as_bytes(), b" gr\xfc\xdfe"].concat()),
            LaterInEightBits => Answer::SayBytes(b"451 4.3.0 sp\xe4ter".to_vec()),
            AnotherYes => Answer::Say(if stage == Step::Data { "250 fine" } else { "354 fine" }.to_owned()),
            YesTwice => Answer::Say(format!("{yes} yes\r\n{yes} yes")),
        }
    }
}

/// What a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hit {
    /// The first connection, which asks for the others too.
    FirstConnection,
    /// One of the others.
    AnotherConnection,
    /// Two readers, at the relay's own choice.
    Readers { pipelining: bool },
}

fn is_opening(stage: Step) -> bool {
    matches!(stage, Step::Greeting | Step::Hello | Step::StartTls | Step::Auth)
}

macro_rules! stages {
    ($($name:ident: $stage:expr),+ $(,)?) => { $(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::column($stage, true).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::column($stage, false).await;
            }
        }
    )+ };
}

stages! {
    faults_of_the_greeting: super::Step::Greeting,
    faults_at_ehlo: super::Step::Hello,
    faults_at_starttls: super::Step::StartTls,
    faults_at_auth: super::Step::Auth,
    faults_at_mail: super::Step::Mail,
    faults_at_rcpt: super::Step::Rcpt,
    faults_at_data: super::Step::Data,
    faults_within_the_message: super::Step::Content,
    faults_at_the_final_dot: super::Step::Dot,
    faults_at_rset: super::Step::Reset,
}

fn number(name: &str) -> usize {
    std::env::var(name).map_or(1, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// One column of the table. On PostgreSQL every third row: what is new there is the store, not the dialogue.
async fn column(stage: Step, on_sqlite: bool) {
    let place = STAGES.iter().position(|one| *one == stage).unwrap();
    let first = number("TIDINGS_FAULT_SEED");
    let (mut broken, mut cases) = (vec![], 0);
    for seed in first..first + number("TIDINGS_FAULT_SEEDS") {
        for (row, (fault, law)) in LAW.iter().enumerate() {
            if law[place] == No || !(on_sqlite || row % 3 == place % 3) {
                continue;
            }
            let case = Case::new(stage, *fault, law[place], seed, (row + seed).is_multiple_of(2));
            let folder = tempfile::tempdir().unwrap();
            let url = if on_sqlite {
                format!("sqlite://{}/test.db", folder.path().display())
            } else {
                let Some(url) = support::postgres::fresh_database() else { return };
                url
            };
            cases += 1;
            broken.extend(case.run(&url).await.into_iter().map(|what| format!("{case:?}: {what}")));
        }
    }
    eprintln!("{stage:?}: {cases} cases");
    assert!(broken.is_empty(), "at {stage:?} the law is broken:\n{}", broken.join("\n"));
}

/// A script that does as the fault says when it is its time.
struct Trap {
    is_set: Arc<AtomicBool>,
    hits: Arc<AtomicUsize>,
}

impl Trap {
    fn new() -> Self {
        Self { is_set: Arc::new(AtomicBool::new(true)), hits: Arc::default() }
    }

    fn script(&self, case: &Case) -> impl Fn(&Moment<'_>) -> Answer + Send + Sync + 'static {
        let (is_set, hits, events) = (Arc::clone(&self.is_set), Arc::clone(&self.hits), AtomicUsize::new(0));
        let (stage, hit, answer) = (case.stage, case.hit, case.fault.answer(case.stage));
        let chosen = case.chosen();
        move |moment| {
            // A refusal each for those readers who are there so that RSET is said.
            if stage == Step::Reset && moment.step == Step::Rcpt && moment.line.contains("<refused") {
                return Answer::Say("550 5.1.1 no such user".to_owned());
            }
            if moment.step != stage || !is_set.load(Ordering::SeqCst) {
                return Answer::Usual;
            }
            let is_it = match hit {
                Hit::FirstConnection => moment.connection == 1,
                Hit::AnotherConnection => moment.connection == 2,
                Hit::Readers { .. } => chosen.contains(&events.fetch_add(1, Ordering::SeqCst)),
            };
            if !is_it {
                return Answer::Usual;
            }
            hits.fetch_add(1, Ordering::SeqCst);
            answer.clone()
        }
    }
}

#[derive(Debug)]
struct Case {
    stage: Step,
    fault: Fault,
    hit: Hit,
    then: Then,
    seed: usize,
}

impl Case {
    fn new(stage: Step, fault: Fault, law: Then, seed: usize, is_one_kind: bool) -> Self {
        let hit = match (is_opening(stage), is_one_kind) {
            (true, true) => Hit::FirstConnection,
            (true, false) => Hit::AnotherConnection,
            (false, pipelining) => Hit::Readers { pipelining },
        };
        let then = if law == Halts && hit == Hit::AnotherConnection { Later } else { law };
        Self { stage, fault, hit, then, seed }
    }

    /// Which of the transactions that reach the stage are hit.
    fn chosen(&self) -> [usize; 2] {
        if self.stage == Step::Reset {
            return [0, 1];
        }
        let first = (self.seed * 7 + 2) % READERS;
        [first, (first + 1 + self.seed * 5 % (READERS - 1)) % READERS]
    }

    /// Whether no reader's message was on its way when it happened.
    fn hits_nobody(&self) -> bool {
        is_opening(self.stage) && !matches!(self.fault, YesTwice)
    }

    fn options(&self, trap: &Trap) -> Options {
        let secured = matches!(self.stage, Step::StartTls | Step::Auth);
        Options {
            pipelining: self.hit != Hit::Readers { pipelining: false },
            starttls: secured,
            auth: secured.then_some(("PLAIN", "lantern", "secret")),
            ..Options::script(trap.script(self))
        }
    }

    /// Runs it; what is against the law.
    async fn run(&self, url: &str) -> Vec<String> {
        let trap = Trap::new();
        let sink = Sink::start(self.options(&trap)).await;
        let (lantern, digest) = composed(url, &sink, self.stage).await;
        let mut faults = vec![];
        let first = match round(&lantern).await {
            Ok(first) => first,
            Err(why) => return vec![why],
        };
        trap.is_set.store(false, Ordering::SeqCst);
        let hits = trap.hits.load(Ordering::SeqCst);
        let refused = if self.stage == Step::Reset { 3 } else { 0 };
        self.judge_first_round(&lantern, &digest, &first, hits, refused, &mut faults).await;
        // What was refused or halted was asked for once.
        let asked = asked(&sink);
        let again = asked.values().filter(|times| **times > 1).count();
        if matches!(self.then, Refused | Banned | Halts) && again > 0 {
            faults.push(format!("{again} readers were asked for again after a lasting no"));
        }
        if self.then == Halts {
            lantern.publication.store.move_digest(digest.id, "halted", &DigestState::Sending).await.unwrap();
        }
        for _ in 0..12 {
            if state(&lantern, &digest).await == DigestState::Sent {
                break;
            }
            // The longest wait between two attempts.
            lantern.pass(TimeDelta::hours(4));
            if let Err(why) = round(&lantern).await {
                faults.push(why);
                return faults;
            }
        }
        self.judge_the_end(&lantern, &digest, &sink, hits, refused, &mut faults).await;
        faults
    }

    async fn judge_first_round(
        &self,
        lantern: &Lantern,
        digest: &Digest,
        first: &DispatchReport,
        hits: usize,
        refused: u64,
        faults: &mut Vec<String>,
    ) {
        let mut check = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("first round: {what} ({hits} hits): {first:?}"));
            }
        };
        let hits = hits as u64;
        check(hits > 0 || self.stage == Step::Reset, "nobody was hit");
        let state = state(lantern, digest).await;
        let halted = matches!(&state, DigestState::Halted { .. });
        check(halted == (self.then == Halts) && first.halted.len() == usize::from(halted), "halted or not");
        match self.then {
            Sent => check(first.sent == READERS as u64, "not all were sent"),
            Refused | Banned => check(first.refused == hits + refused, "those who were hit are not refused"),
            Halts => check(first.deferred + first.refused == 0, "somebody was counted"),
            // Whom the fault hits at RSET may be one of those who would have been refused.
            _ if self.stage == Step::Reset => check(first.refused <= refused, "somebody was refused"),
            _ => check(first.refused == 0, "somebody was refused"),
        }
        check(first.deferred <= hits, "more were put off than were hit");
        check(first.failed + first.skipped == 0, "somebody was given up");
        if self.hits_nobody() {
            check(first.deferred == 0, "somebody was counted as attempted");
        }
    }

    async fn judge_the_end(
        &self,
        lantern: &Lantern,
        digest: &Digest,
        sink: &Sink,
        hits: usize,
        refused: u64,
        faults: &mut Vec<String>,
    ) {
        let mut check = |holds: bool, what: String| {
            if !holds {
                faults.push(format!("in the end: {what}"));
            }
        };
        let everyone = READERS + usize::try_from(refused).unwrap();
        let lasting = if matches!(self.then, Refused | Banned) { hits } else { 0 } + everyone - READERS;
        let end = state(lantern, digest).await;
        check(end == DigestState::Sent, format!("the digest is {end:?}"));
        for (word, expected) in [("sent", everyone - lasting), ("refused", lasting)] {
            let count = lantern.deliveries(word).await;
            check(count == i64::try_from(expected).unwrap(), format!("{count} deliveries are {word}, not {expected}"));
        }
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for message in sink.messages() {
            *copies.entry(message.to[0].clone()).or_default() += 1;
        }
        check(copies.len() == everyone - lasting, format!("{} readers have it", copies.len()));
        let doubled: usize = copies.values().map(|copies| copies - 1).sum();
        let (least, most) = match self.then {
            Twice => (hits, hits),
            OneTwo => (0, hits),
            _ => (0, 0),
        };
        check((least..=most).contains(&doubled), format!("{doubled} copies too many, not {least} to {most}"));
        let banned = lantern.count("SELECT COUNT(*) FROM suppressions").await;
        let expected = if self.then == Banned { hits } else { 0 } + everyone - READERS;
        check(banned == i64::try_from(expected).unwrap(), format!("{banned} addresses are banned, not {expected}"));
        let asked = asked(sink);
        let extra: usize = asked.values().map(|times| times - 1).sum();
        // What was announced together with the message before is taken back when that one halts the digest.
        let taken_back = if self.then == Halts { CONNECTIONS } else { 0 };
        check(extra <= 2 * hits + taken_back, format!("{extra} transactions too many"));
        let again = asked.iter().filter(|(address, times)| **times > 1 && !copies.contains_key(*address)).count();
        // A refusal that follows a failed RSET in one batch is not read.
        let unread = if self.stage == Step::Reset { hits } else { 0 };
        check(again <= unread, format!("{again} of the refused were asked for again"));
        let attempts = lantern.count("SELECT MAX(attempts) FROM deliveries").await;
        check(attempts <= 2, format!("{attempts} attempts were counted"));
        if self.hits_nobody() || self.then == Halts {
            check(attempts == 1, format!("{attempts} attempts were counted for one"));
        }
        // Who is answered twice believes that the second answer is to the next command.
        check(
            sink.violations().is_empty() || matches!(self.fault, YesTwice),
            format!("the client misbehaved: {:?}", sink.violations()),
        );
    }
}

/// How often each recipient was named.
fn asked(sink: &Sink) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for (_, line) in sink.lines() {
        if let Some(rest) = line.strip_prefix("RCPT TO:<") {
            *asked.entry(rest.split('>').next().unwrap().to_owned()).or_default() += 1;
        }
    }
    asked
}

/// A digest that waits to be sent to this relay.
async fn composed(url: &str, sink: &Sink, stage: Step) -> (Lantern, Digest) {
    let secured = matches!(stage, Step::StartTls | Step::Auth).then(|| secured(sink));
    let lantern = Lantern::open(url, Setup { connections: CONNECTIONS, secured, ..Setup::relay(sink.port()) }).await;
    if stage == Step::Reset {
        for number in 0..3 {
            let cadence = tidings::domain::newsletter::Cadence::Daily;
            lantern.reader(&format!("refused{number}@reader.example"), cadence, None).await;
        }
    }
    lantern.readers(READERS).await;
    lantern.release(&["lamp"]).await;
    let digest = lantern.compose().await.expect("somebody to write to").0;
    (lantern, digest)
}

/// The lines of a relay that is spoken to over TLS, with a password.
fn secured(sink: &Sink) -> String {
    format!(
        "host = \"localhost\"\ntls = \"required\"\nuser = \"lantern\"\npassword = \"secret\"\nauthority_file = \"{}\"",
        sink.certificate().display()
    )
}

async fn state(lantern: &Lantern, digest: &Digest) -> DigestState {
    lantern.publication.store.digest(digest.id).await.unwrap().unwrap().state
}

/// Sends what is due; it must come to an end.
async fn round(lantern: &Lantern) -> Result<DispatchReport, String> {
    let (_word, stop) = Stop::new();
    let counts = Counts::default();
    let sent = dispatch(&lantern.publication, &stop, &counts);
    let sent = tokio::time::timeout(Duration::from_mins(1), sent).await.map_err(|_| "it is stuck".to_owned())?;
    sent.map_err(|error| format!("the round failed: {error}"))
}

support::engines::for_each_engine! { a_relay_that_is_not_who_it_should_be_gets_nothing }

async fn a_relay_that_is_not_who_it_should_be_gets_nothing(url: String) {
    let rows = [
        ("expired", Certificate::Expired, true, "expired"),
        ("of another host", Certificate::OtherHost, true, "not for"),
        ("signed by itself", Certificate::Good, false, "authority_file"),
    ];
    for (number, (what, certificate, is_trusted, why)) in rows.into_iter().enumerate() {
        for (tls, implicit_tls) in [("required", false), ("implicit", true), ("opportunistic", false)] {
            let options = Options {
                certificate,
                implicit_tls,
                starttls: !implicit_tls,
                auth: Some(("PLAIN LOGIN", "lantern", "secret")),
                ..Options::default()
            };
            let sink = Sink::start(options).await;
            let mut how = secured(&sink).replace("required", tls);
            if !is_trusted {
                how = how.lines().filter(|line| !line.starts_with("authority")).collect::<Vec<_>>().join("\n");
            }
            let setup = Setup { connections: CONNECTIONS, secured: Some(how), ..Setup::relay(sink.port()) };
            // A database of its own for each, where that is a matter of a name.
            let url = url.replace("test.db", &format!("{number}{tls}.db"));
            if url.starts_with("postgres") && (number, tls) != (0, "required") {
                continue;
            }
            let lantern = Lantern::open(&url, setup).await;
            lantern.readers(READERS).await;
            lantern.release(&["lamp"]).await;
            let digest = lantern.compose().await.unwrap().0;
            let report = round(&lantern).await.unwrap();
            assert_eq!((report.sent + report.deferred + report.refused, report.halted.len()), (0, 1), "{what}, {tls}");
            let state = state(&lantern, &digest).await;
            let DigestState::Halted { why: said } = state else { panic!("{what}, {tls}: {state:?}") };
            assert!(said.contains("certificate") && said.contains(why), "{what}, {tls}: {said}");
            assert_eq!(lantern.deliveries("queued").await, i64::try_from(READERS).unwrap());
            assert_eq!(lantern.count("SELECT MAX(attempts) FROM deliveries").await, 0);
            assert!(sink.lines().iter().all(|(_, line)| !line.starts_with("AUTH") && !line.starts_with("MAIL")));
        }
    }
}
