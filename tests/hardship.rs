//! The store locked, full, restarted; the clock set wrong; a reader who leaves while the digest is under way. Sending
//! waits and goes on by itself, and nobody is lost or written to twice.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chrono::TimeDelta;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use support::publication::{Lantern, Setup, news};
use support::smtp_sink::{Answer, Moment, Options, Sink, Step};
use tidings::domain::digest::DigestState;
use tokio::sync::Notify;

support::engines::for_each_engine! {
    a_clock_that_is_set_wrong_doubles_nobody,
    who_leaves_while_it_is_sent_gets_nothing_a_moment_later,
}

async fn composed(lantern: &Lantern, readers: usize) -> tidings::domain::digest::Digest {
    lantern.readers(readers).await;
    lantern.release(&["lamp"]).await;
    lantern.compose().await.expect("somebody to write to").0
}

/// A sink that gives a word at the dot of this message.
async fn with_word_at(message: usize) -> (Sink, Arc<Notify>) {
    let word = Arc::new(Notify::new());
    let (told, count) = (Arc::clone(&word), AtomicUsize::new(0));
    let sink = Sink::start(Options::script(move |moment: &Moment<'_>| {
        if moment.step == Step::Dot && count.fetch_add(1, Ordering::SeqCst) + 1 == message {
            told.notify_one();
        }
        Answer::Usual
    }))
    .await;
    (sink, word)
}

fn each_once(sink: &Sink, readers: usize) {
    let to: std::collections::BTreeSet<_> = sink.messages().into_iter().map(|message| message.to[0].clone()).collect();
    assert_eq!((to.len(), sink.count()), (readers, readers));
    assert_eq!(sink.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_somebody_locked_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("t.db").display());
    let (sink, word) = with_word_at(20).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 200).await;
    let locked = async {
        word.notified().await;
        let mut other = SqliteConnection::connect(&url).await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        // What was claimed goes out, and its outcomes are noted; nothing more is claimed.
        let before = sink.count();
        let most = before + 20 * 4;
        for _ in 0..50 {
            tokio::task::yield_now().await;
            other.execute("SELECT COUNT(*) FROM deliveries").await.unwrap();
        }
        let meanwhile = sink.count();
        other.execute("ROLLBACK").await.unwrap();
        assert!(meanwhile <= most, "{before} before, {meanwhile} while nothing could be written");
    };
    let (report, ()) = tokio::join!(lantern.dispatch(), locked);
    assert_eq!(report.sent, 200);
    each_once(&sink, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_restarted_is_waited_for() {
    let Some(url) = support::postgres::fresh_database() else { return };
    let (sink, word) = with_word_at(30).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 300).await;
    let name = url.split("localhost/").nth(1).unwrap().split('?').next().unwrap().to_owned();
    let server = url.replace(&format!("/{name}?"), "/postgres?");
    let restarted = async {
        word.notified().await;
        let mut other = PgConnection::connect(&server).await.unwrap();
        let shut = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
        other.execute(AssertSqlSafe(shut)).await.unwrap();
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        other.execute(AssertSqlSafe(end)).await.unwrap();
        let before = sink.count();
        // Somebody has to try in vain before it comes back.
        other.execute("SELECT pg_sleep(0.6)").await.unwrap();
        let meanwhile = sink.count();
        let open = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
        other.execute(AssertSqlSafe(open)).await.unwrap();
        assert!(meanwhile <= before + 8, "{before} before, {meanwhile} while nothing could be written");
    };
    let (report, ()) = tokio::join!(lantern.dispatch(), restarted);
    assert_eq!(report.sent, 300);
    each_once(&sink, 300);
}

/// A process that does not outlive its test.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A disk that is full looks to the database like a file that may not grow.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_waited_for() {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};
    const READERS: usize = 1500;
    let sink = Sink::start(Options::default()).await;
    let place = support::place::Place::new();
    let relay = format!("[[relay]]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nconnections = 4\n", sink.port());
    place.write("config.toml", support::place::CONFIG.to_owned() + &relay);
    let list: Vec<_> = (0..READERS).map(|number| format!("r{number}@reader.example,news:daily")).collect();
    place.write("readers.csv", format!("address,feeds\n{}\n", list.join("\n")));
    place.run(&["subscribers", "import", "readers.csv"]).ended(0);
    place.run(&["sync"]).ended(0);
    place.article("lamp", "The lamp is lit again", "2026-11-20", "After nine dark winters.");
    place.run(&["sync"]).ended(0);
    let room = std::fs::metadata(place.path().join("tidings.db")).unwrap().len() + 400_000;
    let program = place.command(&["digest", "send", "news", "--latest", "1", "--yes"]);
    let mut limited = Command::new("sh");
    // A program that ignores the signal is told by an error instead, and this one's children inherit that.
    limited.args(["-c", "trap '' XFSZ; exec prlimit --fsize=\"$0:\" \"$@\""]).arg(room.to_string());
    limited.arg(program.get_program()).args(program.get_args()).current_dir(place.path());
    for (name, value) in program.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        limited.env(name, value);
    }
    let mut child = Ends(limited.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let (pid, words) = (child.0.id(), child.0.stderr.take().unwrap());
    let reading = tokio::task::spawn_blocking(move || {
        let mut was_told = false;
        for line in std::io::BufReader::new(words).lines().map_while(Result::ok) {
            if !was_told && line.contains("the store does not answer") {
                was_told = true;
                let freed = Command::new("prlimit").args(["--fsize=unlimited:", "--pid", &pid.to_string()]).status();
                assert!(freed.unwrap().success());
            }
        }
        was_told
    });
    let reading = tokio::time::timeout(std::time::Duration::from_mins(2), reading).await;
    assert!(reading.expect("it is stuck").unwrap(), "the disk was never full");
    assert!(child.0.wait().unwrap().success());
    each_once(&sink, READERS);
}

async fn a_clock_that_is_set_wrong_doubles_nobody(url: String) {
    let hand = Arc::new(std::sync::OnceLock::<Arc<std::sync::atomic::AtomicI64>>::new());
    let (moved, count) = (Arc::clone(&hand), AtomicUsize::new(0));
    let sink = Sink::start(Options::script(move |moment: &Moment<'_>| {
        if moment.step == Step::Dot {
            let hours = match count.fetch_add(1, Ordering::SeqCst) {
                20 => 30,
                40 => -60,
                60 => 31,
                _ => 0,
            };
            if let Some(hand) = moved.get() {
                hand.fetch_add(hours * 3_600_000, Ordering::SeqCst);
            }
        }
        Answer::Usual
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let digest = composed(&lantern, 150).await;
    hand.set(lantern.hand()).unwrap();
    let mut sent = 0;
    while sent < 150 {
        let report = lantern.dispatch().await;
        sent += report.sent;
        // What was claimed or put back in the wrong hour is due when that hour comes.
        lantern.pass(TimeDelta::hours(31));
        assert!(report.halted.is_empty() && report.relay_away.is_none(), "{report:?}");
    }
    each_once(&sink, 150);
    let state = lantern.publication.store.digest(digest.id).await.unwrap().unwrap().state;
    assert_eq!(state, DigestState::Sent);
}

async fn who_leaves_while_it_is_sent_gets_nothing_a_moment_later(url: String) {
    let (sink, word) = with_word_at(10).await;
    let keys = vec!["rate = \"40/s\"\n"];
    let lantern = Lantern::open(&url, Setup { relay_keys: keys, ..Setup::relay(sink.port()) }).await;
    composed(&lantern, 150).await;
    let has_left = AtomicBool::new(false);
    let leaving = async {
        word.notified().await;
        // Forty a second: the last hundred would have to wait for more than two seconds.
        for number in 0..150 {
            let who = lantern.who(&format!("reader{number}@reader.example")).await;
            lantern.publication.store.leave(who, Some(&news()), lantern.now()).await.unwrap();
        }
        has_left.store(true, Ordering::SeqCst);
        sink.count()
    };
    let (report, at_that_time) = tokio::join!(lantern.dispatch(), leaving);
    assert!(has_left.load(Ordering::SeqCst));
    let after = sink.count() - at_that_time;
    assert!(after <= 40, "{after} messages after everyone had left");
    let (sent, skipped) = (lantern.deliveries("sent").await, lantern.deliveries("skipped").await);
    assert_eq!((sent, sent + skipped), (i64::try_from(report.sent).unwrap(), 150));
}
