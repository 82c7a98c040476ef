//! What a digest costs: to compile once, and per reader.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to report")]

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidings::config::{Config, load_feeds};
use tidings::domain::address::{EmailAddress, Mailbox};
use tidings::domain::article::Released;
use tidings::domain::subscription::SubscriberId;
use tidings::mail::compiled::Piece::{Place, Text};
use tidings::mail::compiled::{Common, CompiledLetter, Reader};
use tidings::mail::message::{Links, List};
use tidings::task::compose::newsletter;
use tidings::task::render::{Addressee, Renderer};
use tidings::task::sync::sync;
use tidings::task::{Clock, Publication};
use tidings::template::Templates;

fn digest(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // The sample publication, with a store of its own.
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::load(std::path::Path::new(env!("CARGO_MANIFEST_DIR")), []).unwrap();
    let url = format!("sqlite://{}/bench.db", folder.path().display());
    let own =
        Config::load(std::path::Path::new(env!("CARGO_MANIFEST_DIR")), [("TIDINGS_DATABASE__URL".to_owned(), url)]);
    config.database_url = own.unwrap().database_url;
    assert!(load_feeds(&config).1.is_empty());
    let publication = runtime.block_on(Publication::open(config, Clock::system())).unwrap();
    runtime.block_on(sync(&publication, &|_, _| {})).unwrap();
    let (feed, newsletter) = newsletter(&publication, "news").unwrap();
    let articles = runtime.block_on(publication.store.newest_of(&feed.name, 10)).unwrap();
    let renderer = Renderer::new(&publication);
    let compiled = renderer.compile(feed, newsletter, None, &articles).unwrap();
    let own = renderer.own(SubscriberId(uuid::Uuid::nil()), Some("Mara Quill"), &feed.name);
    let to = Mailbox::new(Some("Mara Quill"), EmailAddress::parse("mara@example.org").unwrap());
    let letter = renderer.letter(feed, newsletter, &compiled, None, "bench").unwrap();
    let message = || {
        let values = compiled.values(&publication.templates, &own).unwrap();
        let addressee = Addressee { to: &to, own: &own, values: &values };
        renderer.message(newsletter, &letter, &addressee, "id".into(), None, vec![]).unwrap()
    };
    let bytes = message().bytes.len() as u64;

    let mut group = criterion.benchmark_group("digest");
    group.bench_function("compile once, 9 articles", |bencher| {
        bencher.iter(|| renderer.compile(feed, newsletter, None, &articles).unwrap());
    });
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("links and greeting of a reader", |bencher| {
        bencher.iter(|| renderer.own(SubscriberId(uuid::Uuid::nil()), Some("Mara Quill"), &feed.name));
    });
    group.bench_function("message of a reader", |bencher| bencher.iter(message));
    group.finish();
    renderings(criterion, &publication, &articles, folder.path());
}

/// Messages a second of a digest of 20 articles: all of it rendered once for all readers, a block of it for each, and all
/// of it for each.
fn renderings(criterion: &mut Criterion, publication: &Publication, articles: &[Released], folder: &Path) {
    let articles: Vec<Released> = articles.iter().cycle().take(20).cloned().collect();
    let (feed, newsletter) = newsletter(publication, "news").unwrap();
    let to = Mailbox::new(Some("Mara Quill"), EmailAddress::parse("mara@example.org").unwrap());
    let built_in = tidings::template::built_in();
    let digest = built_in.iter().find(|file| file.name == "mail/digest.mjml.hbs").unwrap();
    let digest = String::from_utf8(digest.bytes.to_vec()).unwrap();
    let ways = [
        ("shared", "{{reader.greeting}}"),
        ("a block for each", "{{#reader}}{{#if reader.name}}{{reader.greeting}}{{else}}Hello.{{/if}}{{/reader}}"),
        ("all for each", "{{#if (gt (len reader.greeting) 6)}}{{reader.greeting}}{{else}}Hello.{{/if}}"),
    ];
    let mut group = criterion.benchmark_group("20 articles");
    group.throughput(Throughput::Elements(1));
    for (name, greeting) in ways {
        let mail = folder.join(name).join("mail");
        std::fs::create_dir_all(&mail).unwrap();
        std::fs::write(mail.join("digest.mjml.hbs"), digest.replace("{{reader.greeting}}", greeting)).unwrap();
        let templates = Templates::load(Some(&folder.join(name))).unwrap();
        let publication = Publication { templates: Arc::new(templates), ..publication.clone() };
        let renderer = Renderer::new(&publication);
        let compiled = renderer.compile(feed, newsletter, None, &articles).unwrap();
        assert_eq!(compiled.is_patched(), name != "all for each");
        let letter = renderer.letter(feed, newsletter, &compiled, None, "bench").unwrap();
        let own = || renderer.own(SubscriberId(uuid::Uuid::nil()), Some("Mara Quill"), &feed.name);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let own = own();
                if compiled.is_patched() {
                    let values = compiled.values(&publication.templates, &own).unwrap();
                    let addressee = Addressee { to: &to, own: &own, values: &values };
                    return renderer.message(newsletter, &letter, &addressee, "id".into(), None, vec![]).unwrap();
                }
                let bodies = compiled.for_reader(&publication.templates, &own).unwrap();
                let letter = renderer.letter(feed, newsletter, &compiled, Some(&bodies), "bench").unwrap();
                let addressee = Addressee { to: &to, own: &own, values: &[] };
                renderer.message(newsletter, &letter, &addressee, "id".into(), None, vec![]).unwrap()
            });
        });
    }
    group.finish();
}

/// Bodies of a given size with the usual places, in two scripts: quoted-printable and base64.
fn patched(criterion: &mut Criterion) {
    let mailbox = |text: &str| Mailbox::parse(text).unwrap();
    let (from, to) = (mailbox("The Harbour Lantern <news@lantern.example>"), mailbox("Mara Quill <mara@example.org>"));
    let token = "x".repeat(70);
    let (leave, help) = (
        format!("https://lantern.example/unsubscribe/{token}"),
        format!("https://lantern.example/preferences/{token}"),
    );
    let values = ["Hello Mara Quill,", &leave, &help];
    let mut group = criterion.benchmark_group("patched");
    for (name, words) in [
        ("quoted-printable", "<td style=\"padding:4px\">After nine dark winters the lamp turns.</td>\n"),
        ("base64", "<p>После девяти тёмных зим маяк снова горит над гаванью.</p>\n"),
    ] {
        let (text, html) = (words.repeat(2_048 / words.len()), words.repeat(20_480 / words.len()));
        let (text, html): (&'static str, &'static str) = (text.leak(), html.leak());
        let pieces = |body: &'static str| {
            let (first, last) = body.split_at(body.len() / 2 / words.len() * words.len());
            [Place(0), Text(first), Place(2), Text("\n"), Place(1), Text(last)]
        };
        let letter = CompiledLetter::new(&Common {
            from: &from,
            reply_to: None,
            subject: "The lighthouse is lit again",
            list: Some(List { id: ("Latest news", "news.lantern.example"), archive_url: None, feedback_id: None }),
            text: &pieces(text),
            html: &pieces(html),
            boundary: "bench",
        })
        .unwrap();
        let links = Links { unsubscribe_url: &leave, unsubscribe_mailto: None, help_url: Some(&help) };
        let reader = Reader {
            to: &to,
            message_id: "0192f0c07e57@lantern.example",
            date: chrono::DateTime::UNIX_EPOCH,
            links: Some(links),
            values: &values,
        };
        let mut out = vec![];
        letter.write(&reader, &mut out).unwrap();
        group.throughput(Throughput::Bytes(out.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| letter.write(&reader, &mut out).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, digest, patched);
criterion_main!(benches);
