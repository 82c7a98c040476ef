//! What sending costs end to end: claim, render, send, settle, against Postfix's own load tools in the same run.
//!
//! Each measurement is a process of its own, and so is each server; ours and `smtp-source` take turns, and medians are
//! compared. Absolute figures drift with the machine, ratios less. Arguments, as in
//! `cargo bench --bench send -- readers=100000 rounds=5 full`:
//!
//! | | |
//! |---|---|
//! | `full` | the whole table: sizes, connections, engines, TLS, round trips |
//! | `readers=N` | readers of each digest (10,000) |
//! | `rounds=N` | turns of each row (3) |
//! | `only=WORD` | rows that have this word, such as `only=sqlite` or `only="60 KB"` |

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to report")]

#[path = "../tests/support/accounting.rs"]
mod accounting;
#[path = "support/memory.rs"]
mod memory;
#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod postgres;
#[path = "support/readers.rs"]
mod readers;
#[path = "support/relay.rs"]
mod relay;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tidings::config::Config;
use tidings::domain::address::{EmailAddress, Mailbox};
use tidings::domain::digest::DigestState;
use tidings::task::compose::{compose, newsletter, plan_now};
use tidings::task::dispatch::{Counts, Stop, dispatch};
use tidings::task::render::sample;
use tidings::task::sign::{Strength, make_key};
use tidings::task::sync::sync;
use tidings::task::{Clock, Publication};

use self::memory::memory_mib;
use self::readers::subscribe;
use self::relay::Server;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
struct Row {
    engine: &'static str,
    kilobytes: usize,
    connections: usize,
    tls: bool,
    /// Signed with RSA-2048.
    signed: bool,
    round_trip_ms: u64,
    /// Share of the readers, where time goes by in waiting.
    one_in: usize,
}

const USUAL: Row =
    Row { engine: "sqlite", kilobytes: 20, connections: 10, tls: false, signed: false, round_trip_ms: 0, one_in: 1 };

const SHORT: [Row; 6] = [
    USUAL,
    Row { connections: 50, ..USUAL },
    Row { engine: "postgres", ..USUAL },
    Row { tls: true, ..USUAL },
    Row { signed: true, ..USUAL },
    Row { connections: 50, round_trip_ms: 20, one_in: 5, ..USUAL },
];

fn full() -> Vec<Row> {
    let mut rows = vec![];
    for engine in ["sqlite", "postgres"] {
        for kilobytes in [4, 20, 60] {
            for connections in [10, 50] {
                rows.push(Row { engine, kilobytes, connections, ..USUAL });
            }
        }
    }
    rows.extend([10, 50].map(|connections| Row { tls: true, connections, ..USUAL }));
    rows.extend([10, 50].map(|connections| Row { signed: true, connections, ..USUAL }));
    rows.extend([10, 50].map(|connections| Row { round_trip_ms: 20, one_in: 10, connections, ..USUAL }));
    rows
}

impl Row {
    fn name(&self) -> String {
        let Self { engine, kilobytes, connections, .. } = self;
        let mut name = format!("{engine}, {kilobytes} KB, {connections} connections");
        if self.tls {
            name += ", TLS";
        }
        if self.signed {
            name += ", RSA-2048";
        }
        if self.round_trip_ms > 0 {
            let _ = write!(name, ", {} ms", self.round_trip_ms);
        }
        name
    }
}

/// What one process has measured.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    bytes: usize,
    rate: f64,
    cpu_micros: f64,
    peak_mib: f64,
    compose_seconds: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => return relay::serve(&arguments[1..]),
        Some("send") => return send(&arguments[1..]),
        _ => {}
    }
    let given = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
    let count = |name: &str, default: usize| given(name).map_or(default, |text| text.parse().expect(name));
    let (readers, rounds) = (count("readers", 10_000), count("rounds", 3));
    let rows = if arguments.iter().any(|argument| argument == "full") { full() } else { SHORT.to_vec() };
    println!("{readers} readers, medians of {rounds}; smtp-source at the same size and number of connections\n");
    println!(
        "{:<46} {:>7} {:>8} {:>8} {:>6} {:>6} {:>6} {:>6} {:>8} {:>9}",
        "", "bytes", "ours/s", "source/s", "ratio", "CPU µs", "its", "ratio", "peak MiB", "compose s"
    );
    for row in rows.iter().filter(|row| given("only").is_none_or(|word| row.name().contains(word))) {
        measure(row, readers / row.one_in, rounds);
    }
}

fn measure(row: &Row, readers: usize, rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    // smtp-source speaks no TLS: it is measured in clear against the same server.
    let (sink, clear) = if row.tls {
        (Server::sink(Some(&certificate)), Server::sink(None))
    } else if let (Some(sink), Some(clear)) = (Server::smtp_sink(), Server::smtp_sink()) {
        (sink, clear)
    } else {
        println!("{:<46} needs smtp-sink and smtp-source: install postfix", row.name());
        return;
    };
    let trip = Duration::from_millis(row.round_trip_ms);
    let delays = (row.round_trip_ms > 0).then(|| [Server::delay(sink.port, trip), Server::delay(clear.port, trip)]);
    let (to, clear_to) = delays.as_ref().map_or((sink.port, clear.port), |[ours, theirs]| (ours.port, theirs.port));
    let (mut ours, mut theirs) = (vec![], vec![]);
    for round in 0..rounds {
        let database = if row.engine == "postgres" {
            let Some(url) = postgres::fresh_database() else {
                println!("{:<46} needs PostgreSQL", row.name());
                return;
            };
            url
        } else {
            format!("sqlite://{}/{round}.db", folder.path().display())
        };
        let arguments = [
            "send".to_owned(),
            database,
            to.to_string(),
            row.kilobytes.to_string(),
            row.connections.to_string(),
            readers.to_string(),
            if row.tls { certificate.display().to_string() } else { String::new() },
            row.signed.to_string(),
        ];
        let output = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [bytes, rate, cpu_micros, peak_mib, compose_seconds] = numbers[..] else { panic!("{text}") };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a whole number")]
        let bytes = bytes as usize;
        ours.push(Measured { bytes, rate, cpu_micros, peak_mib, compose_seconds });
        theirs.push(relay::smtp_source(clear_to, row.connections, bytes, readers));
    }
    let of = |what: fn(&Measured) -> f64| median(ours.iter().map(what).collect());
    let (rates, cpu): (Vec<f64>, Vec<f64>) = theirs.into_iter().unzip();
    let (rate, source) = (of(|one| one.rate), median(rates));
    println!(
        "{:<46} {:>7} {:>8.0} {:>8.0} {:>6.2} {:>6.0} {:>6.0} {:>6.2} {:>8.0} {:>9.2}",
        row.name(),
        ours[0].bytes,
        rate,
        source,
        rate / source,
        of(|one| one.cpu_micros),
        median(cpu.clone()),
        of(|one| one.cpu_micros) / median(cpu),
        of(|one| one.peak_mib),
        of(|one| one.compose_seconds)
    );
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// One digest in this process: prints the size of a message, messages per second, CPU per message in microseconds,
/// peak memory in MiB, and the seconds that composing took.
fn send(arguments: &[String]) {
    let [database, port, kilobytes, connections, readers, certificate, signed] = arguments else {
        panic!("{arguments:?}")
    };
    let (kilobytes, readers): (usize, usize) = (kilobytes.parse().unwrap(), readers.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    for name in ["articles", "feeds", "templates/mail"] {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let how = if certificate.is_empty() {
        "host = \"127.0.0.1\"\ntls = \"none\"".to_owned()
    } else {
        format!("host = \"localhost\"\ntls = \"implicit\"\nauthority_file = \"{certificate}\"")
    };
    let config = format!(
        "[publication]\ntitle = \"The Harbour Lantern\"\nurl = \"https://lantern.example\"\n\
         [database]\nurl = \"{database}\"\n[[relay]]\n{how}\nport = {port}\nhello = \"lantern.example\"\n\
         connections = {connections}\n"
    );
    let file = folder.path().join("config.toml");
    std::fs::write(&file, &config).unwrap();
    if signed == "true" {
        let loaded = Config::load(folder.path(), []).unwrap();
        let made = make_key(&loaded, "lantern.example", "bench", Strength::Rsa(2048)).unwrap();
        let key = format!("[[dkim]]\nselector = \"bench\"\nkey_file = \"{}\"\n", made.file.display());
        std::fs::write(&file, config + &key).unwrap();
    }
    std::fs::write(folder.path().join("feeds/news.toml"), FEED).unwrap();
    if kilobytes < 10 {
        std::fs::write(folder.path().join("templates/mail/digest.mjml.hbs"), SMALL_HTML).unwrap();
        std::fs::write(folder.path().join("templates/mail/digest.txt.hbs"), SMALL_TEXT).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let measured = runtime.block_on(sent(folder.path(), kilobytes * 1000, readers));
    let Measured { bytes, rate, cpu_micros, peak_mib, compose_seconds } = measured;
    println!("{bytes} {rate:.1} {cpu_micros:.1} {peak_mib:.1} {compose_seconds:.3}");
}

const FEED: &str = "title = \"Latest news\"\n[newsletter]\nsubject = \"News: {{articles.0.title}}\"\n\
                    cadences.daily = { at = \"07:00\" }\n";
const SMALL_HTML: &str = "<mjml><mj-body><mj-section><mj-column><mj-text>{{reader.greeting}}</mj-text>\
                          {{#each articles}}<mj-text><a href=\"{{url}}\">{{title}}</a></mj-text>{{/each}}\
                          <mj-text><a href=\"{{reader.unsubscribe_url}}\">unsubscribe</a></mj-text>\
                          </mj-column></mj-section></mj-body></mjml>";
const SMALL_TEXT: &str =
    "{{reader.greeting}}\n\n{{#each articles}}{{title}}\n{{url}}\n{{/each}}\n{{reader.unsubscribe_url}}\n";

async fn sent(folder: &Path, bytes: usize, readers: usize) -> Measured {
    let publication = Publication::open(Config::load(folder, []).unwrap(), Clock::system()).await.unwrap();
    // What a first sync finds is not sent; its size tells how many articles are wanted.
    let one = size_with(&publication, folder, 1).await;
    let six = size_with(&publication, folder, 6).await;
    let each = ((six - one) / 5).max(1);
    let mut articles = 1 + bytes.saturating_sub(one) / each;
    // The further ones take less room than the first.
    articles += bytes.saturating_sub(size_with(&publication, folder, articles).await) / each;
    subscribe(&publication, readers).await;
    write(folder, "new", articles);
    sync(&publication, &|_, _| {}).await.unwrap();
    let bytes = size(&publication, articles).await;

    let (feed, news) = newsletter(&publication, "news").unwrap();
    let begun = Instant::now();
    let plan = plan_now(&publication, feed, news, None, None, None).await.unwrap();
    assert_eq!(plan.readers(), readers as u64);
    compose(&publication, &plan, DigestState::Sending).await.unwrap();
    let compose_seconds = begun.elapsed().as_secs_f64();

    // The peak from here on; where the kernel does not do that, the peak of it all.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (_word, stop) = Stop::new();
    let (cpu, begun) = (cpu_seconds(), Instant::now());
    let report = dispatch(&publication, &stop, &Counts::default()).await.unwrap();
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(report.sent, readers as u64, "{report:?}");
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let messages = readers as f64;
    let peak_mib = memory_mib("VmHWM:");
    publication.store.close().await;
    Measured { bytes, rate: messages / seconds, cpu_micros: cpu * 1e6 / messages, peak_mib, compose_seconds }
}

fn write(folder: &Path, name: &str, count: usize) {
    for number in 0..count {
        let text = format!(
            "+++\ntitle = \"The lamp of {name} {number} is lit again\"\ndate = 2026-01-01\n+++\n{}\n",
            "After nine dark winters the lamp burns again, and the keeper is not alone. ".repeat(6)
        );
        std::fs::write(folder.join(format!("articles/{name}-{number}.md")), text).unwrap();
    }
}

/// The bytes of a message with so many articles that were there before.
async fn size_with(publication: &Publication, folder: &Path, articles: usize) -> usize {
    write(folder, "old", articles);
    sync(publication, &|_, _| {}).await.unwrap();
    size(publication, articles).await
}

async fn size(publication: &Publication, articles: usize) -> usize {
    let to = Mailbox::new(None, EmailAddress::parse("reader0000000@reader.example").unwrap());
    sample(publication, "news", Some(articles), &to, None).await.unwrap().message.bytes.len()
}

/// CPU time of this process in user and system mode. Linux counts it in hundredths of a second.
fn cpu_seconds() -> f64 {
    ticks(11)
}

/// Two neighbouring times of this process, in seconds, by their place in what Linux says of it.
fn ticks(place: usize) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(place).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
