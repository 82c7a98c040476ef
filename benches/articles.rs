//! How long articles take from a folder into feeds and pages, and how much memory: at 1k, 10k and 50k articles of
//! about 5 KB, a tenth of them with raw HTML that has to be sanitised.
//!
//! Each row is a process of its own, so that its peak memory is its own. Arguments: the sizes to run, as in
//! `cargo bench --bench articles -- 1000 10000`.

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to report")]

#[path = "support/corpus.rs"]
mod corpus;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tidings::config::Config;
use tidings::task::poll;
use tidings::task::publish::{publish, site};
use tidings::task::sync::sync;
use tidings::task::{Clock, Publication};

const CONFIG: &str = "[publication]\ntitle = \"Bench\"\nurl = \"https://bench.example\"\n";
const FEEDS: [(&str, &str); 3] = [
    ("all", "title = \"Everything\"\nlimit = 50"),
    ("news", "title = \"News\"\nselect = { section = \"news\" }"),
    ("offers", "title = \"Offers\"\nselect = { section = \"offers\" }"),
];
/// The cases, in an order in which each finds what the one before left. `remote` reads a feed of so many entries from
/// another publication and takes it in; `again` finds it as it was, without a word from the server about that; `sources` asks
/// a thousand feeds on as many hosts, none of which has anything new.
const CASES: [&str; 8] = ["sync", "feeds", "pages", "unchanged", "one edited", "remote", "again", "sources"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [folder, case] = arguments.as_slice()
        && let Some(case) = CASES.iter().find(|known| *known == case)
    {
        return run(Path::new(folder), case);
    }
    let mut sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000, 50_000];
    }
    println!(
        "{:>9}  {:<11} {:>9} {:>9} {:>12} {:>9}",
        "articles", "case", "seconds", "CPU s", "articles/s", "peak MiB"
    );
    for size in sizes {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("feeds")).unwrap();
        std::fs::write(folder.path().join("config.toml"), CONFIG).unwrap();
        for (name, text) in FEEDS {
            std::fs::write(folder.path().join(format!("feeds/{name}.toml")), text).unwrap();
        }
        let _ = corpus::write_articles(&folder.path().join("articles"), size, 1, 0);
        for case in CASES {
            let output = Command::new(std::env::current_exe().unwrap()).arg(folder.path()).arg(case).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let [seconds, cpu, peak] = text.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{text}") };
            let seconds: f64 = seconds.parse().unwrap();
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let rate = size as f64 / seconds;
            println!("{size:>9}  {case:<11} {seconds:>9.3} {cpu:>9} {rate:>12.0} {peak:>9}");
        }
    }
}

/// One case in this process: prints the seconds that it took and the peak memory in MiB.
fn run(folder: &Path, case: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let taken = runtime.block_on(async {
        if case == "one edited" {
            let path = folder.join("articles").join(format!("{}.md", corpus::slug(7)));
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, format!("{text}\nOne more line.\n")).unwrap();
        }
        if case == "remote" || case == "again" {
            return poll_remote(folder, case).await;
        }
        if case == "sources" {
            return poll_many(folder).await;
        }
        let started = Instant::now();
        work(folder, case).await;
        started.elapsed()
    });
    println!("{:.3} {:.3} {}", taken.as_secs_f64(), cpu_seconds(), peak_mib());
}

async fn work(folder: &Path, case: &str) -> Duration {
    let started = Instant::now();
    let config = Config::load(folder, []).unwrap();
    let publication = Publication::open(config, Clock::system()).await.unwrap();
    match case {
        "sync" => {
            let report = sync(&publication, &|_, _| {}).await.unwrap();
            assert!(report.problems.is_empty(), "{:?}", report.problems.first());
        }
        "feeds" => {
            site(&publication, publication.config.urls()).await.unwrap();
        }
        _ => {
            sync(&publication, &|_, _| {}).await.unwrap();
            let report = publish(&publication, false, &|_, _| {}).await.unwrap();
            assert_eq!(report.unchanged, case == "unchanged", "{report:?}");
        }
    }
    publication.store.close().await;
    started.elapsed()
}

/// Takes in a feed with as many entries as there are articles, served by a thread.
async fn poll_remote(folder: &Path, case: &str) -> Duration {
    let size = std::fs::read_dir(folder.join("articles")).unwrap().count();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || serve_feed(&listener, size));
    let elsewhere = folder.join("elsewhere");
    std::fs::create_dir_all(elsewhere.join("articles")).unwrap();
    std::fs::create_dir_all(elsewhere.join("feeds")).unwrap();
    std::fs::write(elsewhere.join("feeds/all.toml"), FEEDS[0].1).unwrap();
    let source = format!("[[source]]\nfeed = \"http://{address}/feed.xml\"\nname = \"remote\"\nprivate = true\n");
    std::fs::write(elsewhere.join("config.toml"), format!("{CONFIG}{source}")).unwrap();
    let started = Instant::now();
    let config = Config::load(&elsewhere, []).unwrap();
    let publication = Publication::open(config, Clock::system()).await.unwrap();
    poll::know(&publication).await.unwrap();
    let report = poll::poll_now(&publication, &[&publication.config.sources[0]]).await.unwrap().remove(0);
    assert!(report.trouble.is_none() && report.problems.is_empty(), "{report:?}");
    assert_eq!(report.is_change(), case == "remote", "{report:?}");
    publication.store.close().await;
    started.elapsed()
}

/// Asks a thousand feeds that have nothing new, each on an address of its own.
async fn poll_many(folder: &Path) -> Duration {
    use std::fmt::Write as _;
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (Arc::clone(&open), Arc::clone(&most));
    std::thread::spawn(move || serve_unchanged(&listener, &counted.0, &counted.1));
    let elsewhere = folder.join("many");
    std::fs::create_dir_all(elsewhere.join("articles")).unwrap();
    std::fs::create_dir_all(elsewhere.join("feeds")).unwrap();
    let config = (0..1000).fold(CONFIG.to_owned(), |mut all, number| {
        let host = format!("127.0.{}.{}", 1 + number / 250, 1 + number % 250);
        let _ = write!(all, "[[source]]\nfeed = \"http://{host}:{port}/\"\nname = \"s{number}\"\nprivate = true\n");
        all
    });
    std::fs::write(elsewhere.join("config.toml"), config).unwrap();
    let publication = Publication::open(Config::load(&elsewhere, []).unwrap(), Clock::system()).await.unwrap();
    poll::know(&publication).await.unwrap();
    let sources: Vec<_> = publication.config.sources.iter().collect();
    let first = poll::poll_now(&publication, &sources).await.unwrap();
    assert!(first.iter().all(|report| report.released == 1), "{first:?}");
    most.store(0, Ordering::SeqCst);
    let started = Instant::now();
    let again = poll::poll_now(&publication, &sources).await.unwrap();
    let taken = started.elapsed();
    assert!(again.iter().all(|report| report.not_modified) && again.len() == 1000, "{again:?}");
    eprintln!("sockets at a time: {}", most.load(Ordering::SeqCst));
    publication.store.close().await;
    taken
}

/// Answers with a feed of one entry, or that it is as it was. Counts the connections.
fn serve_unchanged(listener: &std::net::TcpListener, open: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>) {
    use std::io::{Read as _, Write as _};
    for mut stream in listener.incoming().flatten() {
        let (open, most) = (Arc::clone(open), Arc::clone(most));
        std::thread::spawn(move || {
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let host = stream.local_addr().unwrap().ip();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let known = String::from_utf8_lossy(&head[..length]).to_lowercase().contains("if-none-match");
            let body = format!(
                "<rss version=\"2.0\"><channel><title>B</title><item><guid>urn:{host}</guid><title>Of {host}</title></item></channel></rss>"
            );
            let answer = if known {
                "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nConnection: close\r\n\r\n".to_owned()
            } else {
                let length = body.len();
                format!("HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            };
            let _ = stream.write_all(answer.as_bytes());
            drop(stream);
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Answers every request with a feed of that many entries of about 1 KB.
fn serve_feed(listener: &std::net::TcpListener, size: usize) {
    use std::fmt::Write as _;
    use std::io::{Read as _, Write as _};
    let text = "&lt;p&gt;After nine &lt;em&gt;dark&lt;/em&gt; winters the lamp burns again.&lt;/p&gt;".repeat(10);
    let entries = (0..size.min(14_000)).fold(String::new(), |mut all, number| {
        let _ = write!(
            all,
            "<item><guid>urn:{number}</guid><title>Piece {number}</title><link>https://blog.example/{number}</link>\
             <pubDate>Fri, 27 Nov 2020 08:{:02}:00 GMT</pubDate><description>{text}</description></item>",
            number % 60
        );
        all
    });
    let body = format!("<rss version=\"2.0\"><channel><title>Blog</title>{entries}</channel></rss>");
    for mut stream in listener.incoming().flatten() {
        let _ = stream.read(&mut [0; 4096]);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    }
}

/// The CPU time that this process has used, in user and system mode: what the work costs whatever else the machine
/// does. Linux counts it in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The most memory that this process had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
