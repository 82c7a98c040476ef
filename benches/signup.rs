//! What the form and the pages behind links in mail take: answers a second, how long each takes, and CPU.
//!
//! `serve`'s router runs in a process of its own; the client is this process, over loopback.
//! Arguments, as in `cargo bench --bench signup -- readers=1000000`:
//!
//! | | |
//! |---|---|
//! | `sign_ups=N` | forms posted, each for a new address (20,000) |
//! | `readers=N` | subscribers that are there before (10,000) |
//! | `requests=N` | pages of choices, and one-click unsubscribes (5,000) |
//! | `connections=N` | open at once (64) |
//! | `engine=postgres` | on a throw-away cluster, and not on a file of SQLite |

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to report")]
#![expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]

#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod postgres;
#[path = "support/readers.rs"]
mod readers;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tidings::config::Config;
use tidings::domain::link::{Link, Purpose};
use tidings::domain::pass::Asked;
use tidings::domain::subscription::SubscriberId;
use tidings::task::consent;
use tidings::task::dispatch::Stop;
use tidings::task::{Clock, Publication};
use tidings::web::{self, App};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let [word, folder] = arguments.as_slice()
        && word == "serve"
    {
        return runtime.block_on(serve(Path::new(folder)));
    }
    let given = |name: &str, usual: usize| {
        let text = arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
        text.map_or(usual, |text| text.parse().unwrap())
    };
    let sizes = Sizes {
        sign_ups: given("sign_ups", 20_000),
        readers: given("readers", 10_000),
        requests: given("requests", 5_000),
        connections: given("connections", 64),
    };
    let database = if arguments.iter().any(|argument| argument == "engine=postgres") {
        postgres::fresh_database().unwrap()
    } else {
        "sqlite://tidings.db".to_owned()
    };
    runtime.block_on(measure(&sizes, &database));
}

struct Sizes {
    sign_ups: usize,
    readers: usize,
    requests: usize,
    connections: usize,
}

async fn open(folder: &Path) -> Publication {
    Publication::open(Config::load(folder, []).unwrap(), Clock::system()).await.unwrap()
}

/// Serves until it is killed; says where.
async fn serve(folder: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let app = Arc::new(App::new(open(folder).await).unwrap());
    let (_word, stop) = Stop::new();
    web::serve(listener, app, stop).await;
}

fn write_publication(folder: &Path, database: &str) {
    for name in ["articles", "feeds"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    let config = format!(
        "[publication]\ntitle = \"The Harbour Lantern\"\nurl = \"https://lantern.example\"\n\
         [form]\noverall = \"1000000/s\"\n[database]\nurl = \"{database}\"\n"
    );
    std::fs::write(folder.join("config.toml"), config).unwrap();
    let feed = "title = \"News\"\n[newsletter]\nsubject = \"News\"\ncadences.daily = { at = \"07:00\" }\n\
                cadences.weekly = { on = \"monday\", at = \"07:00\" }\n";
    std::fs::write(folder.join("feeds/news.toml"), feed).unwrap();
}

async fn measure(sizes: &Sizes, database: &str) {
    let folder = tempfile::tempdir().unwrap();
    write_publication(folder.path(), database);
    let publication = open(folder.path()).await;
    readers::subscribe(&publication, sizes.readers).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("serve")
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let at: SocketAddr = line.trim().parse().unwrap();

    println!("{:<16} {:>9} {:>9} {:>9} {:>9} {:>9}", "", "requests", "per s", "p50, ms", "p99, ms", "CPU, µs");
    let table = async |what: &str, requests: Vec<Vec<u8>>| {
        if requests.is_empty() {
            return;
        }
        let (number, before, begun) = (requests.len(), cpu(child.id()), Instant::now());
        let mut times = all(at, requests, sizes.connections).await;
        let (seconds, used) = (begun.elapsed().as_secs_f64(), cpu(child.id()).saturating_sub(before));
        times.sort();
        let of = |percent: usize| times[(number - 1) * percent / 100].as_secs_f64() * 1e3;
        let (each, rate) = (used.as_secs_f64() * 1e6 / number as f64, number as f64 / seconds);
        println!("{what:<16} {number:>9} {rate:>9.0} {:>9.1} {:>9.1} {each:>9.0}", of(50), of(99));
    };
    // Those who are there before: whoever signs up is still there as they did when it is counted.
    let links = links(&publication, sizes.requests.min(sizes.readers)).await;
    table("sign-up", sign_ups(&publication, sizes.sign_ups)).await;
    let path = |place: &str, purpose, id: &SubscriberId| {
        let link = Link { purpose, subscriber: *id, feed: None, expires_at: None };
        format!("/{place}/{}", publication.keyring.sign(&link))
    };
    let choices = |id| request("GET", &path("preferences", Purpose::Preferences, id), "");
    table("preferences", links.iter().map(choices).collect()).await;
    let leave = |id| request("POST", &path("unsubscribe", Purpose::Leave, id), "List-Unsubscribe=One-Click");
    table("unsubscribe", links.iter().map(leave).collect()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let pending = publication.store.subscription_counts().await.unwrap();
    let pending: i64 = pending.iter().filter(|row| row.2 == "pending").map(|row| row.3).sum();
    assert_eq!(pending, i64::try_from(sizes.sign_ups).unwrap(), "what was answered is stored");
    publication.store.close().await;
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/x-www-form-urlencoded\r\n" };
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: lantern.example\r\n{kind}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The last posts of so many sign-ups, each with a pass.
fn sign_ups(publication: &Publication, number: usize) -> Vec<Vec<u8>> {
    let consent = consent::texts(publication).remove(0).version;
    let issued = publication.clock.now() - TimeDelta::minutes(1);
    let post = |number| {
        let address = format!("new{number:07}@reader.example");
        let pass = publication.keyring.pass(Asked { address_key: &address, consent: &consent }, issued);
        let body = format!(
            "address=new{number:07}%40reader.example&name=Mara+Quill&feed=news&cadence.news=weekly&time_zone=Asia%2FTokyo\
             &website=&consent={consent}&pass={pass}"
        );
        request("POST", "/subscribe", &body)
    };
    (0..number).map(post).collect()
}

/// Some of those who are there.
async fn links(publication: &Publication, number: usize) -> Vec<SubscriberId> {
    let listed = publication.store.subscribers(None, None, number).await.unwrap();
    listed.iter().map(|one| one.subscriber.id).collect()
}

/// Sends every request over so many connections that stay open. Gives how long each took.
async fn all(at: SocketAddr, requests: Vec<Vec<u8>>, connections: usize) -> Vec<Duration> {
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut times = vec![];
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let begun = Instant::now();
                stream.write_all(request).await.unwrap();
                let answer = read(&mut stream).await;
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
                times.push(begun.elapsed());
            }
            times
        });
    }
    tasks.join_all().await.concat()
}

/// One answer, to the end of its body.
async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 * 1024);
    loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the server hung up");
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
        let whole = end + 4 + length.trim().parse::<usize>().unwrap();
        while bytes.len() < whole {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the server hung up");
        }
        return bytes;
    }
}

/// What a process has used of the CPU: the 14th and 15th column of its `stat`, in hundredths of a second.
fn cpu(process: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let columns: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| columns.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
