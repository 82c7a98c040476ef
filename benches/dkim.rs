//! What a signature costs, on a message of 20 KB whose body is canonical already and on one that is full of blanks.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to report")]

use chrono::{DateTime, Utc};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidings::domain::address::{EmailAddress, Mailbox};
use tidings::mail::dkim::{Key, Signer, Signers, Strength};
use tidings::mail::message::{Kind, Letter, Links, List, bytes};

const AT: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
const BYTES: usize = 20_000;

/// A digest of about that size, its HTML made of this line again and again.
fn message(line: &str) -> Vec<u8> {
    let body = line.repeat((BYTES - 2_000) / line.len());
    let mailbox = |address: &str| Mailbox::new(Some("The Harbour Lantern"), EmailAddress::parse(address).unwrap());
    bytes(&Letter {
        from: &mailbox("news@lantern.example"),
        reply_to: Some(&mailbox("desk@lantern.example")),
        to: &mailbox("reader@example.org"),
        subject: "The lighthouse is lit again",
        text: "The lighthouse is lit again",
        html: &body,
        message_id: "0192f0c0-7e57-7000-8000-000000000001@lantern.example",
        date: AT,
        kind: Kind::Digest(
            List {
                id: ("Latest news", "news.lantern.example"),
                archive_url: Some("https://lantern.example/digests/"),
                feedback_id: Some("news:daily:digest:lantern"),
            },
            Links {
                unsubscribe_url: "https://lantern.example/u/0123456789abcdef",
                unsubscribe_mailto: Some("mailto:leave@lantern.example?subject=0123456789abcdef"),
                help_url: Some("https://lantern.example/preferences/0123456789abcdef"),
            },
        ),
    })
    .unwrap()
}

fn dkim(criterion: &mut Criterion) {
    let from = EmailAddress::parse("news@lantern.example").unwrap();
    let signers = |kinds: &[Strength]| {
        let signer = |kind: &Strength| Signer::new("lantern.example", "bench", Key::generate(*kind).unwrap());
        Signers::new(kinds.iter().map(signer).collect())
    };
    let kinds = [
        ("RSA 2048", signers(&[Strength::Rsa(2048)])),
        ("Ed25519", signers(&[Strength::Ed25519])),
        ("both", signers(&[Strength::Rsa(2048), Strength::Ed25519])),
    ];
    let canonical = message("<p>After nine dark winters the lamp turns, and from the quay one sees it.</p>\n");
    let blanks = message("  <td>\tx  y</td>  \n");
    let mut group = criterion.benchmark_group("dkim");
    for (shape, message) in [("a canonical body", &canonical), ("a body of blanks", &blanks)] {
        group.throughput(Throughput::Bytes(message.len() as u64));
        for (kind, signers) in &kinds {
            group.bench_function(format!("{kind}, {shape}"), |bencher| {
                bencher.iter(|| signers.sign(&from, message, AT).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, dkim);
criterion_main!(benches);
