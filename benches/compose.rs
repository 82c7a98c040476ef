//! What composing a digest costs: seconds and peak memory from the plan to the commit, on both engines.
//!
//! Each measurement is a process of its own. Arguments, as in `cargo bench --bench compose -- readers=1000000`:
//!
//! | | |
//! |---|---|
//! | `readers=N` | only with so many readers (10,000, 100,000 and 1,000,000) |
//! | `engine=NAME` | only on `sqlite` or `postgres` |
//! | `rounds=N` | digests composed one after another, of which the median is shown (3) |

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to report")]

#[path = "support/memory.rs"]
mod memory;
#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod postgres;
#[path = "support/readers.rs"]
mod readers;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tidings::config::Config;
use tidings::domain::digest::DigestState;
use tidings::task::compose::{compose, newsletter, plan_now};
use tidings::task::sync::sync;
use tidings::task::{Clock, Publication};

use self::memory::memory_mib;
use self::readers::subscribe;

const FEED: &str = "title = \"Latest news\"\n[newsletter]\nsubject = \"News: {{articles.0.title}}\"\n\
                    cadences.daily = { at = \"07:00\" }\n";
/// Articles of each digest.
const ARTICLES: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, database, readers, rounds] = arguments.as_slice()
        && word == "measure"
    {
        return measure(database, readers.parse().unwrap(), rounds.parse().unwrap());
    }
    let given = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
    let rounds = given("rounds").unwrap_or("3");
    let sizes = given("readers").map_or_else(|| vec!["10000", "100000", "1000000"], |readers| vec![readers]);
    println!(
        "{:<10} {:>9} {:>10} {:>10} {:>9} {:>11}",
        "", "readers", "plan, s", "compose, s", "peak MiB", "before, MiB"
    );
    for engine in ["sqlite", "postgres"].into_iter().filter(|engine| given("engine").is_none_or(|only| only == *engine))
    {
        for readers in &sizes {
            let folder = tempfile::tempdir().unwrap();
            let database = if engine == "postgres" {
                let Some(url) = postgres::fresh_database() else {
                    println!("{engine:<10} is not installed");
                    continue;
                };
                url
            } else {
                format!("sqlite://{}/bench.db", folder.path().display())
            };
            let program = std::env::current_exe().unwrap();
            let output = Command::new(program).args(["measure", &database, readers, rounds]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let numbers: Vec<&str> = text.split_whitespace().collect();
            let [plan, compose, peak, before] = numbers[..] else { panic!("{text}") };
            println!("{engine:<10} {readers:>9} {plan:>10} {compose:>10} {peak:>9} {before:>11}");
        }
    }
}

/// Composes digest after digest in this process: prints the medians of the seconds that the plan and the digest took,
/// the peak of memory meanwhile, and the memory before.
fn measure(database: &str, readers: usize, rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["articles", "feeds"] {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let config = format!(
        "[publication]\ntitle = \"The Harbour Lantern\"\nurl = \"https://lantern.example\"\n[database]\nurl = \"{database}\"\n"
    );
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    std::fs::write(folder.path().join("feeds/news.toml"), FEED).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measured(folder.path(), readers, rounds));
}

async fn measured(folder: &Path, readers: usize, rounds: usize) {
    let publication = Publication::open(Config::load(folder, []).unwrap(), Clock::system()).await.unwrap();
    sync(&publication, &|_, _| {}).await.unwrap();
    subscribe(&publication, readers).await;
    let (mut plans, mut composed) = (vec![], vec![]);
    // The peak from here on; where the kernel does not do that, the peak of it all.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = memory_mib("VmRSS:");
    for round in 0..rounds {
        for number in 0..ARTICLES {
            let text = format!("+++\ntitle = \"Round {round}, number {number}\"\ndate = 2026-01-01\n+++\nA word.\n");
            std::fs::write(folder.join(format!("articles/{round}-{number}.md")), text).unwrap();
        }
        sync(&publication, &|_, _| {}).await.unwrap();
        let (feed, news) = newsletter(&publication, "news").unwrap();
        let begun = Instant::now();
        let plan = plan_now(&publication, feed, news, None, None, None).await.unwrap();
        plans.push(begun.elapsed().as_secs_f64());
        assert_eq!(plan.readers(), readers as u64);
        let begun = Instant::now();
        let (digest, is_new) = compose(&publication, &plan, DigestState::Sending).await.unwrap();
        composed.push(begun.elapsed().as_secs_f64());
        assert!(is_new);
        assert_eq!(publication.store.tally(digest.id).await.unwrap().queued, readers as u64);
    }
    let peak = memory_mib("VmHWM:");
    publication.store.close().await;
    println!("{:.3} {:.2} {peak:.0} {before:.0}", median(plans), median(composed));
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
