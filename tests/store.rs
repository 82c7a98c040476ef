//! How a store opens, and the single facts that it keeps. On both engines.

#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::error::Error;

use support::engines::for_each_engine;
use support::store::{active, keep, news, readers, release_articles};
use tidings::store::Store;

for_each_engine! {
    a_fact_that_two_set_at_once_is_one,
    a_store_opens_twice_and_keeps_what_it_has,
    a_fresh_database_is_opened_by_several_at_once,
}

async fn a_fact_that_two_set_at_once_is_one(url: String) {
    let store = Store::open(&url).await.unwrap();
    assert_eq!(store.fact("keys").await.unwrap(), None);
    let (one, other) = tokio::join!(store.fact_or("keys", "one's"), store.fact_or("keys", "other's"));
    assert_eq!(one.unwrap(), other.unwrap());
    store.set_fact("keys", "third").await.unwrap();
    assert_eq!(store.fact("keys").await.unwrap().as_deref(), Some("third"));
}

async fn a_store_opens_twice_and_keeps_what_it_has(url: String) {
    let first = Store::open(&url).await.unwrap();
    keep(&first, &["a", "b", "c"].map(|name| active(name, "news"))).await;
    release_articles(&first, 1).await;
    let second = Store::open(&url).await.unwrap();
    assert_eq!(readers(&second, &news()).await, 3);
    first.close().await;
    second.close().await;
    let third = Store::open(&url).await.unwrap();
    assert_eq!((readers(&third, &news()).await, third.newest_release().await.unwrap()), (3, 1));
}

async fn a_fresh_database_is_opened_by_several_at_once(url: String) {
    let openers: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Store::open(&url).await })
        })
        .collect();
    for opener in openers {
        let store = opener.await.unwrap().unwrap();
        assert_eq!(store.newest_release().await.unwrap(), 0);
    }
}

/// An error with all its causes, as a person sees it.
fn chain(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

#[tokio::test]
async fn a_store_that_does_not_open_says_why_and_no_password() {
    for (url, words) in [
        (
            "postgres://mara:se@cret@127.0.0.1:1/tidings",
            "cannot open the database postgres://mara:…@127.0.0.1:1/tidings: ",
        ),
        ("postgres://127.0.0.1:1/tidings?password=cret", "cannot open the database postgres://127.0.0.1:1/tidings: "),
        (
            "postgres://mara:cret@127.0.0.1:no/tidings",
            "cannot open the database postgres://mara:…@127.0.0.1:no/tidings: ",
        ),
        ("mysql://mara:cret@db.example/tidings", "the database mysql://mara:…@db.example/tidings is of no known kind"),
        ("tidings.db", "the database tidings.db is of no known kind"),
        ("sqlite:///nowhere/at/all/tidings.db", "cannot open the database sqlite:///nowhere/at/all/tidings.db: "),
        ("sqlite://x.db?colour=blue", "cannot open the database sqlite://x.db?colour=blue: "),
    ] {
        let started = std::time::Instant::now();
        let error = Store::open(url).await.unwrap_err();
        let said = chain(&error);
        assert!(said.starts_with(words), "{said}");
        assert!(!said.contains("cret") && !format!("{error:?}").contains("cret"), "{said}");
        assert!(!said.contains("pool"), "{said}");
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "a server that is away is named at once");
    }
}
