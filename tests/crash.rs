//! The program itself, killed again and again in the middle of a digest: nobody is lost, and no more messages go out
//! twice than were in flight.
//!
//! The short form runs with the suite. The long one by command, best in release:
//!
//! ```text
//! TIDINGS_CRASH_READERS=100000 TIDINGS_CRASH_KILLS=100 cargo test --release --test crash
//! ```
//!
//! | Variable | Means | Default |
//! |---|---|---|
//! | `TIDINGS_CRASH_READERS` | readers of the digest | 2,000 |
//! | `TIDINGS_CRASH_KILLS` | times that the program is killed | 5 |
//! | `TIDINGS_CRASH_STOPS` | times that it is stopped by SIGTERM | 3 |
//! | `TIDINGS_CRASH_SEED` | decides when | 1 |
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use support::accounting::{Accounting, Options};
use support::place::{NEWS, Place};
use support::publication::rows;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Connections of each process.
const CONNECTIONS: usize = 10;
/// Nothing here takes longer unless it is stuck: for what the tests wait for, whatever the numbers.
const STUCK: Duration = Duration::from_mins(10);
/// What a dead process had in hand passes on to others soon; not so soon that a busy one is taken for dead.
const TAKE_OVER: (&str, &str) = ("TIDINGS_MAIL__TAKE_OVER_AFTER", "2s");

support::engines::for_each_engine! {
    however_often_it_is_killed_nobody_is_lost,
    killed_with_every_answer_outstanding_it_doubles_one_message_a_connection,
    however_often_it_is_stopped_nobody_is_lost_and_nobody_gets_two,
}

async fn however_often_it_is_killed_nobody_is_lost(url: String) {
    killed(&url, Kill::Anytime, 1).await;
}

async fn killed_with_every_answer_outstanding_it_doubles_one_message_a_connection(url: String) {
    killed(&url, Kill::AnswersOutstanding, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_of_which_one_is_killed_again_and_again_lose_nobody() {
    if let Some(url) = support::postgres::fresh_database() {
        killed(&url, Kill::Anytime, 2).await;
    }
}

/// A number from the environment.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Numbers that look like chance and come again with the seed (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn from_environment() -> Self {
        Self(number("TIDINGS_CRASH_SEED", 1) as u64)
    }

    /// From 1 to `most`.
    fn up_to(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % most.max(1) as u64).unwrap() + 1
    }
}

/// A publication with so many readers, and a relay that keeps account.
struct Stage {
    place: Place,
    url: String,
    relay: Accounting,
    readers: usize,
}

impl Stage {
    fn new(url: &str, readers: usize) -> Self {
        let relay = Accounting::start(Options::default());
        let place = Place::empty();
        place.write(
            "config.toml",
            format!(
                "[publication]\ntitle = \"The Harbour Lantern\"\nurl = \"https://lantern.example\"\n\
                 [database]\nurl = \"{url}\"\n[[relay]]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
                 hello = \"lantern.example\"\nconnections = {CONNECTIONS}\n",
                relay.port()
            ),
        );
        place.write("feeds/news.toml", NEWS);
        let mut list = String::from("address,feeds\n");
        for number in 0..readers {
            writeln!(list, "{},news:daily", address(number)).unwrap();
        }
        place.write("readers.csv", list);
        place.run(&["subscribers", "import", "readers.csv"]).ended(0);
        place.remove("readers.csv");
        // What a first sync finds was there before the readers, and is not sent to them.
        place.article("harbour", "The harbour", "2026-11-01", "It was always there.");
        place.run(&["sync"]).ended(0);
        place.article("lamp", "The lamp is lit again", "2026-11-20", "After nine dark winters.");
        Self { place, url: url.to_owned(), relay, readers }
    }

    /// Starts what an editor would type, and would type again after a crash.
    fn send(&self) -> Running {
        Running::start(self.heir(&["digest", "send", "news", "--yes"]))
    }

    fn heir(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.env(TAKE_OVER.0, TAKE_OVER.1);
        command
    }

    async fn count(&self, sql: &str) -> usize {
        rows(&self.url, sql).await[0][0].parse().unwrap()
    }

    async fn is_sent(&self) -> bool {
        self.count("SELECT COUNT(*) FROM digests WHERE state = 'sent'").await == 1
    }

    /// Sends until the digest is sent.
    async fn finish(&self) {
        let begun = Instant::now();
        while !self.is_sent().await {
            assert!(begun.elapsed() < STUCK, "the digest does not come to its end");
            let (code, said) = self.send().end().await;
            assert_eq!(code, Some(0), "{said}");
        }
    }

    /// Nobody is lost, nobody unexpected is written to, every copy has one id, the ledger agrees. How many came twice.
    async fn settle_accounts(&self) -> usize {
        let records = self.relay.records();
        let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for record in &records {
            assert!(record.message_id.ends_with("@lantern.example"), "{record:?}");
            ids.entry(&record.recipient).or_default().insert(&record.message_id);
        }
        let expected: BTreeSet<String> = (0..self.readers).map(address).collect();
        let lost: Vec<_> = expected.iter().filter(|address| !ids.contains_key(address.as_str())).take(5).collect();
        let unexpected: Vec<_> = ids.keys().filter(|address| !expected.contains(**address)).take(5).collect();
        assert!(lost.is_empty() && unexpected.is_empty(), "lost {lost:?}, unexpected {unexpected:?}");
        assert!(ids.values().all(|ids| ids.len() == 1), "a second copy bears another Message-ID");
        assert_eq!(ids.values().flatten().collect::<BTreeSet<_>>().len(), self.readers, "two readers share an id");
        assert_eq!(self.count("SELECT COUNT(*) FROM deliveries WHERE state = 'sent'").await, self.readers);
        assert_eq!(self.count("SELECT COUNT(*) FROM deliveries").await, self.readers);
        records.len() - self.readers
    }
}

fn address(number: usize) -> String {
    format!("reader{number}@reader.example")
}

/// A run of the program. It is killed when dropped.
struct Running {
    child: Child,
    /// What it says; complete when it has ended.
    said: JoinHandle<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(mut command: Command) -> Self {
        let (mut mouth, words) = std::io::pipe().unwrap();
        command.stdout(words.try_clone().unwrap()).stderr(words);
        let child = command.spawn().expect("the program runs");
        // Ours of the pipe's ends have to close, so that its end is seen.
        drop(command);
        let said = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![];
            let _ = mouth.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self { child, said }
    }

    /// Waits for the end: the code, and what it said.
    async fn end(mut self) -> (Option<i32>, String) {
        let said = timeout(STUCK, &mut self.said).await.expect("the program ends").unwrap();
        (self.child.wait().unwrap().code(), said)
    }

    /// Waits for what is seen at the relay, or for its end. Whether it lives.
    async fn lives_until<T>(&mut self, seen: impl Future<Output = T>) -> bool {
        tokio::select! {
            biased;
            seen = timeout(STUCK, seen) => {
                assert!(seen.is_ok(), "it is stuck");
                true
            }
            said = &mut self.said => {
                // A task's result can be taken once.
                self.said = tokio::spawn(async { said.unwrap() });
                false
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM. How long it took to end, with which code, and what it said.
    async fn stop(self) -> (Duration, Option<i32>, String) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let begun = Instant::now();
        let (code, said) = self.end().await;
        (begun.elapsed(), code, said)
    }
}

/// When the program is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kill {
    /// After a number of messages.
    Anytime,
    /// The relay has taken a message on every connection and answered none: the worst moment there is.
    AnswersOutstanding,
}

async fn killed(url: &str, kill: Kill, processes: usize) {
    let (readers, kills) = (number("TIDINGS_CRASH_READERS", 2000), number("TIDINGS_CRASH_KILLS", 5));
    let mut chance = Chance::from_environment();
    let stage = Stage::new(url, readers);
    let begun = Instant::now();
    let mut running: Vec<Running> = vec![];
    let mut in_doubt = vec![];
    while in_doubt.len() < kills {
        assert!(!stage.is_sent().await, "everything was sent before kill {}", in_doubt.len() + 1);
        while running.len() < processes {
            running.push(stage.send());
        }
        // Nothing goes on between a kill and here, however long a busy machine takes for it.
        stage.relay.hold(false);
        stage.relay.until(|state| state.held == 0).await;
        // Spread over the first three quarters, so that there is something left to be killed in.
        let taken = stage.relay.state().accepted;
        let left = (readers * 3 / 4).saturating_sub(taken);
        let target = taken + chance.up_to(left * 2 / (kills - in_doubt.len())).min(left);
        let victim = chance.up_to(processes) - 1;
        let moment = async {
            stage.relay.taken(target).await;
            stage.relay.hold(true);
            if kill == Kill::AnswersOutstanding {
                stage.relay.until(|state| state.held >= CONNECTIONS * processes).await;
            }
        };
        if running[victim].lives_until(moment).await {
            in_doubt.push(stage.relay.state().open.min(CONNECTIONS));
            running.remove(victim).kill();
        } else {
            // All that is left was claimed by the dead: it passes on when the others have ended too.
            stage.relay.hold(false);
            all_end(&mut running).await;
        }
    }
    stage.relay.hold(false);
    all_end(&mut running).await;
    stage.finish().await;
    let doubled = stage.settle_accounts().await;
    let bound: usize = in_doubt.iter().sum();
    eprintln!(
        "{readers} readers, {kills} kills of {processes} process(es): lost 0, doubled {doubled} of at most {bound} \
         {in_doubt:?}, {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    assert!(doubled <= bound, "{doubled} messages came twice; {bound} were in doubt");
}

async fn all_end(running: &mut Vec<Running>) {
    for one in running.drain(..) {
        let (code, said) = one.end().await;
        assert_eq!(code, Some(0), "{said}");
    }
}

async fn however_often_it_is_stopped_nobody_is_lost_and_nobody_gets_two(url: String) {
    let (readers, stops) = (number("TIDINGS_CRASH_READERS", 2000), number("TIDINGS_CRASH_STOPS", 3));
    let mut chance = Chance::from_environment();
    let stage = Stage::new(&url, readers);
    let mut longest = Duration::ZERO;
    for left in (1..=stops).rev() {
        let mut running = stage.send();
        let taken = stage.relay.state().accepted;
        // The last comes before the end, whatever the seed.
        let target = taken + chance.up_to((readers * 9 / 10).saturating_sub(taken) * 2 / left.max(2));
        assert!(
            running.lives_until(stage.relay.taken(target)).await,
            "everything was sent before stop {}",
            stops - left + 1
        );
        let (took, code, said) = running.stop().await;
        assert_eq!(code, Some(0), "{said}");
        assert!(took < Duration::from_secs(10), "it took {took:?} to stop");
        assert_eq!(stage.count("SELECT COUNT(*) FROM deliveries WHERE state = 'claimed'").await, 0, "all is put back");
        let taken = stage.relay.state().accepted;
        assert_eq!(stage.count("SELECT COUNT(*) FROM deliveries WHERE state = 'sent'").await, taken);
        longest = longest.max(took);
    }
    let (code, said) = stage.send().end().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(stage.is_sent().await);
    assert_eq!(stage.settle_accounts().await, 0, "a stop is no crash");
    eprintln!("{readers} readers, {stops} stops: lost 0, doubled 0, the longest stop {longest:?}");
}
