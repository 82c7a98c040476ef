//! A digest through a real Postfix: its log and the ledger tell the same story.
//!
//! `TIDINGS_POSTFIX_READERS` says how many readers (300); by command, best in release:
//!
//! ```text
//! TIDINGS_POSTFIX_READERS=10000 cargo test --release --test postfix -- --nocapture
//! ```

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use support::postfix::Postfix;
use support::publication::{Lantern, Setup};

/// One reader in so many does not exist.
const REFUSED: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postfix_logs_is_what_the_ledger_says() {
    let readers = std::env::var("TIDINGS_POSTFIX_READERS").map_or(300, |text| text.parse().expect("a number"));
    let refused: Vec<String> =
        (0..readers).step_by(REFUSED).map(|number| format!("reader{number}@reader.example")).collect();
    let Some(postfix) = Postfix::start(&refused) else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/test.db", folder.path().display());
    let lantern = Lantern::open(
        &url,
        Setup { connections: 10, more: "[brakes]\nrefusals = \"50%\"\n", ..Setup::relay(postfix.port()) },
    )
    .await;
    lantern.readers(readers).await;
    lantern.release(&["lamp"]).await;
    lantern.compose().await.expect("somebody to write to");
    let begun = Instant::now();
    let report = lantern.dispatch().await;
    let took = begun.elapsed();
    assert_eq!((report.sent, report.refused), ((readers - refused.len()) as u64, refused.len() as u64), "{report:?}");

    // What Postfix has taken it hands on in its own time.
    while postfix.queue() != "Mail queue is empty" {
        assert!(begun.elapsed() < Duration::from_mins(10), "{}", postfix.queue());
    }
    let log = Log::read(&postfix.log());
    let ledger = lantern
        .rows(
            "SELECT s.address, d.state, COALESCE(d.log, ''), d.attempts, d.subscriber, d.digest FROM deliveries d \
             JOIN subscribers s ON s.id = d.subscriber",
        )
        .await;
    assert_eq!(ledger.len(), readers);
    let mut ids = BTreeSet::new();
    for row in &ledger {
        let [address, state, log_of_it, attempts, ..] = &row[..] else { panic!("{row:?}") };
        assert_eq!(attempts, "1", "{row:?}");
        if refused.contains(address) {
            assert_eq!(state, "refused", "{row:?}");
            assert!(log_of_it.contains("5.1.1"), "{row:?}");
            assert_eq!((log.refused.get(address), log.handed_on_to(address)), (Some(&1), 0), "{row:?}");
            continue;
        }
        assert_eq!(state, "sent", "{row:?}");
        let attempt: serde_json::Value = serde_json::from_str(log_of_it).expect("one attempt");
        let said = attempt["text"].as_str().unwrap_or_default();
        let id = said.rsplit_once("queued as ").unwrap_or_else(|| panic!("{row:?}")).1;
        assert!(ids.insert(id.to_owned()), "two readers have {id}");
        assert_eq!(log.message_ids.get(id).map(Vec::len), Some(1), "{row:?}");
        assert_eq!(log.handed_on.get(id).map(Vec::as_slice), Some(&[address.clone()][..]), "{row:?}");
        assert_eq!(log.handed_on_to(address), 1, "{row:?}");
    }
    assert_eq!(ids.len(), log.handed_on.len(), "Postfix has handed on what the ledger does not know");
    let distinct: BTreeSet<_> = log.message_ids.values().flatten().collect();
    assert_eq!(distinct.len(), ids.len(), "two messages share a Message-ID");
    assert_eq!(lantern.count("SELECT COUNT(*) FROM suppressions").await, i64::try_from(refused.len()).unwrap());
    eprintln!("{readers} readers, {} of them refused, in {took:?}", refused.len());
}

/// What the log tells, by queue id.
#[derive(Debug, Default)]
struct Log {
    message_ids: BTreeMap<String, Vec<String>>,
    /// Recipients of what was delivered.
    handed_on: BTreeMap<String, Vec<String>>,
    /// How often each address was refused.
    refused: BTreeMap<String, usize>,
    by_address: BTreeMap<String, usize>,
}

impl Log {
    fn read(text: &str) -> Self {
        let mut log = Self::default();
        for line in text.lines() {
            // "Nov 24 12:00:00 host postfix/cleanup[17]: 4bCd: message-id=<…>"
            let Some((service, rest)) = line.split_once("postfix/").and_then(|(_, rest)| rest.split_once("]: ")) else {
                continue;
            };
            let Some((id, what)) = rest.split_once(": ") else { continue };
            let address = |name: &str| {
                let (_, rest) = what.split_once(name)?;
                Some(rest.split_once('>')?.0.to_owned())
            };
            if service.starts_with("cleanup") {
                log.message_ids.entry(id.to_owned()).or_default().extend(address("message-id=<"));
            } else if service.starts_with("discard") && what.contains("status=sent") {
                let to = address("to=<").expect("a recipient");
                *log.by_address.entry(to.clone()).or_default() += 1;
                log.handed_on.entry(id.to_owned()).or_default().push(to);
            } else if service.starts_with("smtpd") && id == "NOQUEUE" {
                *log.refused.entry(address("to=<").expect("a recipient")).or_default() += 1;
            }
        }
        log
    }

    fn handed_on_to(&self, address: &str) -> usize {
        self.by_address.get(address).copied().unwrap_or_default()
    }
}
