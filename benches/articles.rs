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
use std::time::{Duration, Instant};

use tidings::config::Config;
use tidings::task::publish::{publish, site};
use tidings::task::sync::sync;
use tidings::task::{Clock, Publication};

const CONFIG: &str = "[publication]\ntitle = \"Bench\"\nurl = \"https://bench.example\"\n";
const FEEDS: [(&str, &str); 3] = [
    ("all", "title = \"Everything\"\nlimit = 50"),
    ("news", "title = \"News\"\nselect = { section = \"news\" }"),
    ("offers", "title = \"Offers\"\nselect = { section = \"offers\" }"),
];
/// The cases, in an order in which each finds what the one before left.
const CASES: [&str; 5] = ["sync", "feeds", "pages", "unchanged", "one edited"];

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
