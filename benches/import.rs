//! What importing a list costs: seconds and peak memory, on both engines; and then counting a segment of it, and exporting that.
//!
//! Each measurement is a process of its own. Arguments, as in `cargo bench --bench import -- readers=1000000`:
//!
//! | | |
//! |---|---|
//! | `readers=N` | lines of the list (100,000) |
//! | `engine=NAME` | only on `sqlite` or `postgres` |

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to report")]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/memory.rs"]
mod memory;
#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod postgres;

use std::fs::File;
use std::process::Command;
use std::time::Instant;

use tidings::config::Config;
use tidings::task::exchange::{Form, Import, Which, export, import};
use tidings::task::{Clock, Publication};

use self::memory::memory_mib;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, database, list] = arguments.as_slice()
        && word == "measure"
    {
        return measure(database, list);
    }
    let given = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
    let readers = given("readers").unwrap_or("100000");
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.csv");
    corpus::write_subscribers_csv(&list, readers.parse().unwrap(), 7, 0).unwrap();
    println!(
        "{:<10} {:>9} {:>9} {:>10} {:>9} {:>9} {:>9}",
        "", "lines", "first, s", "again, s", "peak MiB", "count, s", "export, s"
    );
    for engine in ["sqlite", "postgres"].into_iter().filter(|engine| given("engine").is_none_or(|only| only == *engine))
    {
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
        let output = Command::new(program).args(["measure", &database]).arg(&list).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<&str> = text.split_whitespace().collect();
        let [first, again, peak, count, written] = numbers[..] else { panic!("{text}") };
        println!("{engine:<10} {readers:>9} {first:>9} {again:>10} {peak:>9} {count:>9} {written:>9}");
    }
}

/// Imports the list twice in this process: prints the seconds of each time, and the peak of memory; then those of a segment.
fn measure(database: &str, list: &str) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["articles", "feeds"] {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let config = format!(
        "[publication]\ntitle = \"The Harbour Lantern\"\nurl = \"https://lantern.example\"\n[database]\nurl = \"{database}\"\n"
    );
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    for name in ["news", "offers", "announcements", "sport", "culture"] {
        let feed = format!(
            "title = \"{name}\"\n[newsletter]\nsubject = \"{name}\"\ncadences.instant = {{}}\n\
             cadences.daily = {{ at = \"07:00\" }}\ncadences.weekly = {{ on = \"monday\", at = \"07:00\" }}\n\
             cadences.monthly = {{ day = 1, at = \"07:00\" }}\n"
        );
        std::fs::write(folder.path().join(format!("feeds/{name}.toml")), feed).unwrap();
    }
    std::fs::create_dir(folder.path().join("segments")).unwrap();
    let segment = "title = \"Some\"\n[select]\nfeed = \"news\"\nlanguage = [\"de\", \"ja\"]\n";
    std::fs::write(folder.path().join("segments/some.toml"), segment).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let publication = Publication::open(Config::load(folder.path(), []).unwrap(), Clock::system()).await.unwrap();
        let how = Import { file: "list.csv", default_feed: None, dry_run: false, overwrite: false, lists: &[] };
        let mut seconds = vec![];
        for _ in 0..2 {
            let begun = Instant::now();
            let report = import(&publication, &how, File::open(list).unwrap(), &|_, _| {}).await.unwrap();
            seconds.push(begun.elapsed().as_secs_f64());
            assert_eq!(report.faulty, 0, "{:?}", report.problems.first());
        }
        let peak = memory_mib("VmHWM:");
        let segment = publication.segments.first().unwrap().clone();
        let begun = Instant::now();
        let counted = publication.store.count_in(&segment.whom, &publication.setting()).await.unwrap();
        let count = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let which = Which { segment: Some(segment), ..Which::default() };
        let exported = export(&publication, &which, Form::Csv, std::io::sink()).await.unwrap();
        let written = begun.elapsed().as_secs_f64();
        assert_eq!(counted, exported, "everyone in it gets mail");
        publication.store.close().await;
        println!("{:.2} {:.2} {peak:.0} {count:.2} {written:.2}", seconds[0], seconds[1]);
    });
}
