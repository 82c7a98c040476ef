//! What a digest costs: to compile once, and per reader.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to report")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidings::config::{Config, load_feeds};
use tidings::domain::address::{EmailAddress, Mailbox};
use tidings::domain::subscription::SubscriberId;
use tidings::task::compose::newsletter;
use tidings::task::render::Renderer;
use tidings::task::sync::sync;
use tidings::task::{Clock, Publication};

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
    let message =
        |bodies| renderer.message(feed, newsletter, &to, &compiled.subject, &bodies, &own, "id".into()).unwrap();
    let bytes = message(compiled.for_reader(&own)).bytes.len() as u64;

    let mut group = criterion.benchmark_group("digest");
    group.bench_function("compile once, 9 articles", |bencher| {
        bencher.iter(|| renderer.compile(feed, newsletter, None, &articles).unwrap());
    });
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("links and greeting of a reader", |bencher| {
        bencher.iter(|| renderer.own(SubscriberId(uuid::Uuid::nil()), Some("Mara Quill"), &feed.name));
    });
    group.bench_function("bodies of a reader", |bencher| bencher.iter(|| compiled.for_reader(&own)));
    group.bench_function("message of a reader", |bencher| {
        bencher.iter(|| message(compiled.for_reader(&own)));
    });
    group.finish();
}

criterion_group!(benches, digest);
criterion_main!(benches);
