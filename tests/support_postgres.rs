//! The test support itself: databases of both engines are there, empty, and separate.

#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::{str::FromStr, time::Duration};

use sqlx::{Connection, Executor, PgConnection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use support::{engines::for_each_engine, postgres::fresh_database};

for_each_engine! { a_database_of_either_engine_takes_a_table }

async fn a_database_of_either_engine_takes_a_table(url: String) {
    let (make, fill, read) = (
        "CREATE TABLE readers (name TEXT NOT NULL)",
        "INSERT INTO readers VALUES ('Mara')",
        "SELECT name FROM readers",
    );
    let name: String = if url.starts_with("postgres:") {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        connection.execute(make).await.unwrap();
        connection.execute(fill).await.unwrap();
        connection.fetch_one(read).await.unwrap().get(0)
    } else {
        let options = SqliteConnectOptions::from_str(&url).unwrap().create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        connection.execute(make).await.unwrap();
        connection.execute(fill).await.unwrap();
        connection.fetch_one(read).await.unwrap().get(0)
    };
    assert_eq!(name, "Mara");
}

#[tokio::test]
async fn two_fresh_databases_are_empty_and_separate() {
    let (Some(one), Some(other)) = (fresh_database(), fresh_database()) else { return };
    assert_ne!(one, other);
    let mut one = PgConnection::connect(&one).await.unwrap();
    one.execute("CREATE TABLE readers (name TEXT NOT NULL)").await.unwrap();
    let mut other = PgConnection::connect(&other).await.unwrap();
    let there: bool = other.fetch_one("SELECT to_regclass('readers') IS NOT NULL").await.unwrap().get(0);
    assert!(!there, "a table of one database is seen in the other");
}

#[tokio::test]
async fn a_database_keeps_text_of_every_script() {
    let Some(url) = fresh_database() else { return };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let back: String = connection.fetch_one("SELECT 'Ćira, 東京, 🕯'").await.unwrap().get(0);
    assert_eq!(back, "Ćira, 東京, 🕯");
}

#[test]
fn many_databases_are_made_at_once_without_a_runtime() {
    let urls: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(fresh_database))
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|thread| thread.join().unwrap())
        .collect();
    let mut distinct = urls.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), urls.len());
}

/// For a look at speed and at what is left behind: `cargo test --test support_postgres -- --ignored --nocapture`.
#[test]
#[ignore = "measures; the figures depend on the machine"]
fn a_fresh_database_takes_milliseconds() {
    if fresh_database().is_none() {
        return;
    }
    let started = std::time::Instant::now();
    for _ in 0..20 {
        fresh_database();
    }
    let each = started.elapsed() / 20;
    eprintln!("{} ms each", each.as_millis());
    assert!(each < Duration::from_millis(250));
}
