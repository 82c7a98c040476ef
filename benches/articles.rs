//! How long articles take from a folder into feeds and pages, and how much memory: at 1k, 10k and 50k articles of
//! about 5 KB, a tenth of them with raw HTML that has to be sanitised, in three feeds, with a feed for every section, tag
//! and author.
//!
//! Each row is a process of its own, so that its peak memory is its own. Arguments: the sizes to run and the cases, as in
//! `cargo bench --bench articles -- 1000 10000 cold edited`.
//!
//! | Case | What is timed |
//! |---|---|
//! | floor | every file read and its Markdown made HTML by pulldown-cmark on every core; nothing is kept: the peer |
//! | sync | a new folder into a new store |
//! | cold | the same, then every document of every feed, volume and shelf in every format, in memory |
//! | unchanged | a sync that finds nothing new |
//! | edited | one article edited: a sync, then what feed readers poll, coded, in the place of what was |
//! | publish | everything into an empty `public/` |
//! | again | a sync and a publish with nothing changed |
//! | republish | with one article edited |
//! | remote | a feed of so many entries from elsewhere taken in |
//! | repoll | the same found as it was, without a word from the server about that |
//! | sources | a thousand feeds on as many hosts asked, none of which has anything new; the sockets open at a time are printed |
//!
//! `ratio` is to the CPU time of the floor of the same size.

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to report")]

#[path = "support/corpus.rs"]
mod corpus;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rayon::prelude::*;
use tidings::config::Config;
use tidings::syndication::Format;
use tidings::task::publish::{Site, publish, site};
use tidings::task::sync::{sync, sync_after};
use tidings::task::{Clock, Publication, poll, shelves, volumes};

const CONFIG: &str = "[publication]\ntitle = \"Bench\"\nurl = \"https://bench.example\"\n\n[feeds]\nby = [\"section\", \"tag\", \"author\"]\n\n";
const FEEDS: [(&str, &str); 3] = [
    ("all", "title = \"Everything\"\nlimit = 50"),
    ("news", "title = \"News\"\nselect = { section = \"news\" }"),
    ("offers", "title = \"Offers\"\nselect = { section = \"offers\" }"),
];
const NEWEST: &str = "newest.md";
const NEWEST_TEXT: &str =
    "+++\ntitle = \"The newest\"\ndate = 2026-01-01\nsection = \"news\"\n+++\n\nThe lamp burns.\n";

/// The cases, in an order in which each finds what the ones before left.
const CASES: [&str; 11] =
    ["floor", "sync", "cold", "unchanged", "edited", "publish", "again", "republish", "remote", "repoll", "sources"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [folder, case] = arguments.as_slice()
        && folder.starts_with('/')
        && let Some(case) = CASES.iter().find(|known| *known == case)
    {
        return run(Path::new(folder), case);
    }
    let mut sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000, 50_000];
    }
    let mut cases: Vec<&str> = CASES.into_iter().filter(|case| arguments.iter().any(|wanted| wanted == case)).collect();
    if cases.is_empty() {
        cases = CASES.into();
    }
    println!(
        "{:>9}  {:<10} {:>9} {:>9} {:>7} {:>12} {:>9}",
        "articles", "case", "seconds", "CPU s", "ratio", "articles/s", "peak MiB"
    );
    for size in sizes {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("feeds")).unwrap();
        std::fs::write(folder.path().join("config.toml"), CONFIG).unwrap();
        for (name, text) in FEEDS {
            std::fs::write(folder.path().join(format!("feeds/{name}.toml")), text).unwrap();
        }
        let _ = corpus::write_articles(&folder.path().join("articles"), size - 1, 1, 0);
        std::fs::write(folder.path().join("articles").join(NEWEST), NEWEST_TEXT).unwrap();
        let mut floor = None;
        for case in &cases {
            let output = Command::new(std::env::current_exe().unwrap()).arg(folder.path()).arg(case).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let [seconds, cpu, peak] = text.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{text}") };
            let (seconds, cpu): (f64, f64) = (seconds.parse().unwrap(), cpu.parse().unwrap());
            if *case == "floor" {
                floor = Some(cpu);
            }
            let ratio = floor.map_or_else(|| "-".to_owned(), |floor| format!("{:.2}", cpu / floor.max(0.01)));
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let rate = size as f64 / seconds;
            println!("{size:>9}  {case:<10} {seconds:>9.3} {cpu:>9.2} {ratio:>7} {rate:>12.0} {peak:>9}");
        }
    }
}

/// One case in this process: prints the seconds and CPU seconds that it took and the peak memory in MiB.
fn run(folder: &Path, case: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let begun = runtime.block_on(async {
        match case {
            "floor" => floor(&folder.join("articles")),
            "remote" | "repoll" => poll_remote(folder, case).await,
            "sources" => poll_many(folder).await,
            "edited" => edited(folder).await,
            _ => work(folder, case).await,
        }
    });
    println!("{:.3} {:.3} {}", begun.at.elapsed().as_secs_f64(), cpu_seconds() - begun.cpu, peak_mib());
}

/// When what is timed began, and what this process had used by then.
struct Begun {
    at: Instant,
    cpu: f64,
}

impl Begun {
    fn now() -> Self {
        Self { at: Instant::now(), cpu: cpu_seconds() }
    }
}

/// What no program that reads Markdown can do without.
fn floor(articles: &Path) -> Begun {
    let begun = Begun::now();
    let files: Vec<_> = std::fs::read_dir(articles).unwrap().map(|entry| entry.unwrap().path()).collect();
    let bytes: usize = files
        .par_iter()
        .map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let mut html = String::with_capacity(text.len() * 3 / 2);
            pulldown_cmark::html::push_html(
                &mut html,
                pulldown_cmark::Parser::new_ext(&text, pulldown_cmark::Options::all()),
            );
            html.len()
        })
        .sum();
    assert!(bytes > 0);
    begun
}

/// Forgets what was synced.
fn forget(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().contains(".db") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// Writes a line more into the newest article, which stands in the documents that are polled.
fn edit(folder: &Path) {
    let path = folder.join("articles").join(NEWEST);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\nOne more line.\n")).unwrap();
}

async fn open(folder: &Path) -> Publication {
    Publication::open(Config::load(folder, []).unwrap(), Clock::system()).await.unwrap()
}

async fn work(folder: &Path, case: &str) -> Begun {
    match case {
        "sync" | "cold" => forget(folder),
        "republish" => edit(folder),
        _ => {}
    }
    let begun = Begun::now();
    let publication = open(folder).await;
    let report = sync(&publication, &|_, _| {}).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems.first());
    match case {
        "cold" => everything(&publication).await,
        "publish" | "again" | "republish" => {
            let report = publish(&publication, false, &|_, _| {}).await.unwrap();
            assert_eq!(report.unchanged, case == "again", "{report:?}");
        }
        _ => assert_eq!(report.is_change(), case == "sync"),
    }
    publication.store.close().await;
    begun
}

/// Every document of every feed: what readers poll, volumes, shelves.
async fn everything(publication: &Publication) {
    let (documents, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let count = |_: Format, document: Vec<u8>| {
        documents.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(document.len(), Ordering::Relaxed);
    };
    let urls = publication.config.live_urls();
    let (site, entries) = site(publication, urls.clone()).await.unwrap();
    let volumes = volumes::every(publication, urls.clone(), &count).await.unwrap();
    let shelves = shelves::every(publication, urls, &count).await.unwrap();
    assert!(entries > 0 && volumes > 0 && shelves > 0 && site.documents.len() > 9);
    assert_eq!(documents.into_inner(), (volumes + shelves) * Format::ALL.len());
}

/// What `serve` does when a file is saved.
async fn edited(folder: &Path) -> Begun {
    let publication = open(folder).await;
    sync(&publication, &|_, _| {}).await.unwrap();
    let urls = publication.config.live_urls();
    let (mut before, _) = site(&publication, urls.clone()).await.unwrap();
    before.replace(&Site::default(), publication.clock.now());
    edit(folder);
    let begun = Begun::now();
    // As the watch tells it.
    sync_after(&publication, Some(&[NEWEST.to_owned()].into()), &|_, _| {}).await.unwrap();
    let (mut now, _) = site(&publication, urls).await.unwrap();
    now.replace(&before, publication.clock.now());
    // The store stays open, as it does in `serve`.
    begun
}

/// Takes in a feed with as many entries as there are articles, served by a thread.
async fn poll_remote(folder: &Path, case: &str) -> Begun {
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
    let begun = Begun::now();
    let config = Config::load(&elsewhere, []).unwrap();
    let publication = Publication::open(config, Clock::system()).await.unwrap();
    poll::know(&publication).await.unwrap();
    let report = poll::poll_now(&publication, &[&publication.config.sources[0]]).await.unwrap().remove(0);
    assert!(report.trouble.is_none() && report.problems.is_empty(), "{report:?}");
    assert_eq!(report.is_change(), case == "remote", "{report:?}");
    publication.store.close().await;
    begun
}

/// Asks a thousand feeds that have nothing new, each on an address of its own.
async fn poll_many(folder: &Path) -> Begun {
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
    let begun = Begun::now();
    let again = poll::poll_now(&publication, &sources).await.unwrap();
    assert!(again.iter().all(|report| report.not_modified) && again.len() == 1000, "{again:?}");
    eprintln!("sockets at a time: {}", most.load(Ordering::SeqCst));
    publication.store.close().await;
    begun
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
    use std::io::{Read as _, Write as _};
    let text = "&lt;p&gt;After nine &lt;em&gt;dark&lt;/em&gt; winters the lamp burns again.&lt;/p&gt;".repeat(10);
    // Made as it goes out: what this thread keeps is not to count as memory of the other side.
    let entry = |number: usize| {
        format!(
            "<item><guid>urn:{number}</guid><title>Piece {number}</title><link>https://blog.example/{number}</link>\
             <pubDate>Fri, 27 Nov 2020 08:{:02}:00 GMT</pubDate><description>{text}</description></item>",
            number % 60
        )
    };
    let entries = || (0..size.min(14_000)).map(entry);
    let (begin, end) = ("<rss version=\"2.0\"><channel><title>Blog</title>", "</channel></rss>");
    let length = begin.len() + entries().map(|entry| entry.len()).sum::<usize>() + end.len();
    for mut stream in listener.incoming().flatten() {
        let _ = stream.read(&mut [0; 4096]);
        let mut stream = std::io::BufWriter::with_capacity(64 * 1024, stream);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{begin}");
        for entry in entries() {
            let _ = stream.write_all(entry.as_bytes());
        }
        let _ = stream.write_all(end.as_bytes());
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
