//! People who come from elsewhere, many at once.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::attributes::attributes;
use super::dialect::{Database, begin_bulk};
use super::{Store, StoreError, json, millis, on};
use crate::domain::attributes::Attributes;
use crate::domain::consent::Entry;
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::preference::Preferred;
use crate::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};

/// A person with what they chose elsewhere.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The person; the id is used only if the address is new.
    pub subscriber: Subscriber,
    /// Keyed hash of the address.
    pub address_hash: String,
    /// What else is known of them.
    pub attributes: Attributes,
    /// What they chose; none where nothing but a ban is brought.
    pub subscriptions: Vec<Arriving>,
    /// Why no mail must go there, and in which words.
    pub ban: Option<(String, String)>,
    /// What they agreed to before; kept where the address is new.
    pub consents: Vec<Entry>,
}

/// A subscription with its dates.
#[derive(Debug, Clone)]
pub struct Arriving {
    /// The feed.
    pub feed: FeedName,
    /// How often.
    pub cadence: Cadence,
    /// Where it stands.
    pub state: SubscriptionState,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was confirmed, if it was.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When it ended, if it has.
    pub ended_at: Option<DateTime<Utc>>,
    /// The hour and day that they prefer, if any.
    pub preferred: Option<Preferred>,
    /// Until when it is paused, where it ends by itself.
    pub paused_until: Option<DateTime<Utc>>,
}

/// What came of arrivals.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TakenIn {
    /// People who are new.
    pub people: u64,
    /// Subscriptions that are new.
    pub subscriptions: u64,
    /// People and subscriptions that were changed.
    pub changed: u64,
    /// Addresses that are banned from now on.
    pub banned: u64,
    /// People whose attributes stay as they were, since with those that came they would be too many.
    pub overfull: u64,
}

/// People at once: where there is JSON of them it stands in memory several times over.
const PEOPLE_AT_ONCE: usize = 2000;

const PEOPLE: [(&str, &str); 9] = [
    ("id", "TEXT"),
    ("address", "TEXT"),
    ("address_key", "TEXT"),
    ("address_hash", "TEXT"),
    ("name", "TEXT"),
    ("language", "TEXT"),
    ("time_zone", "TEXT"),
    ("created_at", "BIGINT"),
    ("attributes", "TEXT"),
];
/// Subscriptions whose takers are known.
const TAKEN: [(&str, &str); 10] = [
    ("subscriber", "TEXT"),
    ("time_zone", "TEXT"),
    ("feed", "TEXT"),
    ("cadence", "TEXT"),
    ("state", "TEXT"),
    ("created_at", "BIGINT"),
    ("confirmed_at", "BIGINT"),
    ("ended_at", "BIGINT"),
    ("preferred", "TEXT"),
    ("paused_until", "BIGINT"),
];
const BANS: [(&str, &str); 3] = [("address_hash", "TEXT"), ("cause", "TEXT"), ("detail", "TEXT")];

const CONSENTS: [(&str, &str); 8] = [
    ("subscriber", "TEXT"),
    ("at", "BIGINT"),
    ("feed", "TEXT"),
    ("step", "TEXT"),
    ("cadence", "TEXT"),
    ("source", "TEXT"),
    ("text_version", "TEXT"),
    ("ip", "TEXT"),
];

/// Someone's row.
#[derive(serde::Serialize)]
struct Row<'a>(
    SubscriberId,
    &'a str,
    String,
    &'a str,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
    i64,
    Option<String>,
);

/// The rows of people, and how many have more attributes than there is room for. What is known of them goes before
/// where `known` holds it, by the keys of their addresses.
fn people<'a>(arrivals: &'a [Arrival], known: &HashMap<String, Attributes>, now: DateTime<Utc>) -> (Vec<Row<'a>>, u64) {
    let mut overfull = 0;
    let row = |arrival: &'a Arrival| {
        let person = &arrival.subscriber;
        let key = person.address.key();
        let attributes = match known.get(&key) {
            Some(known) => &known.clone().with(arrival.attributes.clone()).unwrap_or_else(|_| {
                overfull += 1;
                known.clone()
            }),
            None => &arrival.attributes,
        };
        let since = arrival.subscriptions.iter().map(|one| one.created_at).min().unwrap_or(now);
        Row(
            person.id,
            person.address.as_str(),
            key,
            &arrival.address_hash,
            person.name.as_deref(),
            person.language.as_deref(),
            person.time_zone.map(chrono_tz::Tz::name),
            millis(since),
            (!attributes.is_empty()).then(|| attributes.to_json()),
        )
    };
    let rows = arrivals.iter().filter(|arrival| !arrival.subscriptions.is_empty()).map(row).collect();
    (rows, overfull)
}

/// Who takes a subscription, as they stand in the store: their id and zone.
type Taker = (String, Option<String>);

/// The rows of subscriptions as JSON, each with who takes it: those who are not `here` came under the ids that they brought.
fn taking(arrivals: &[Arrival], here: &HashMap<String, Taker>) -> String {
    let mut rows = vec![];
    for arrival in arrivals {
        let person = &arrival.subscriber;
        let known = if here.is_empty() { None } else { here.get(&person.address.key()) };
        let (id, zone) = match known {
            Some((id, zone)) => (id.clone(), zone.as_deref()),
            None => (person.id.to_string(), person.time_zone.map(chrono_tz::Tz::name)),
        };
        rows.extend(arrival.subscriptions.iter().map(|one| {
            (
                id.clone(),
                zone,
                one.feed.as_str(),
                one.cadence.as_str(),
                one.state.as_str(),
                millis(one.created_at),
                one.confirmed_at.map(millis),
                one.ended_at.map(millis),
                one.preferred.map(|preferred| preferred.to_string()),
                one.paused_until.map(millis),
            )
        }));
    }
    json(&rows)
}

/// The lines of the ledger that came with people, as JSON; `None` where there are none.
fn consents(arrivals: &[Arrival]) -> Option<String> {
    let lines = |arrival: &Arrival| {
        let who = arrival.subscriber.id;
        let line = move |line: &Entry| {
            let feed = line.feed.as_ref().map_or("", FeedName::as_str).to_owned();
            let cadence = line.cadence.map(Cadence::as_str);
            let (version, ip) = (line.text_version.clone(), line.ip.clone());
            (who, millis(line.at), feed, line.step.as_str(), cadence, line.source.as_str(), version, ip)
        };
        arrival.consents.iter().map(line).collect::<Vec<_>>()
    };
    let lines: Vec<_> = arrivals.iter().flat_map(lines).collect();
    (!lines.is_empty()).then(|| json(&lines))
}

/// The rows of bans as JSON; `None` where there are none.
fn bans(arrivals: &[Arrival]) -> Option<String> {
    let ban =
        |arrival: &Arrival| arrival.ban.clone().map(|(cause, detail)| (arrival.address_hash.clone(), cause, detail));
    let bans: Vec<_> = arrivals.iter().filter_map(ban).collect();
    (!bans.is_empty()).then(|| json(&bans))
}

/// What is said to the database of people in JSON.
struct Statements {
    insert_people: String,
    insert_subscriptions: String,
    takers: String,
    change_people: String,
    change_subscriptions: String,
    note_changes: String,
    move_clocks: String,
    insert_consents: String,
    kept: String,
    ban: String,
}

impl Statements {
    fn of(database: &Database) -> Self {
        let insert_people = format!(
            "INSERT INTO subscribers (id, address, address_key, address_hash, name, language, time_zone, created_at, attributes) \
             SELECT id, address, address_key, address_hash, name, language, time_zone, created_at, attributes FROM {} AS r WHERE true \
             ON CONFLICT (address_key) DO NOTHING",
            database.rows(1, &PEOPLE)
        );
        let insert_subscriptions = format!(
            "INSERT INTO subscriptions (subscriber, feed, cadence, state, time_zone, cursor, created_at, confirmed_at, ended_at, preferred, paused_until, imported_at) \
             SELECT subscriber, feed, cadence, state, time_zone, CAST($2 AS BIGINT), created_at, confirmed_at, ended_at, preferred, paused_until, CAST($3 AS BIGINT) \
             FROM {} AS r WHERE true ON CONFLICT (subscriber, feed) DO NOTHING",
            database.rows(1, &TAKEN)
        );
        let takers =
            format!("SELECT address_key, id, time_zone FROM subscribers WHERE address_key IN {}", database.list(1));
        let change_people = format!(
            "UPDATE subscribers SET name = COALESCE(r.name, subscribers.name), \
             language = COALESCE(r.language, subscribers.language), time_zone = COALESCE(r.time_zone, subscribers.time_zone), \
             attributes = COALESCE(r.attributes, subscribers.attributes) \
             FROM {} AS r WHERE r.address_key = subscribers.address_key AND (r.name <> COALESCE(subscribers.name, '') \
             OR r.language <> COALESCE(subscribers.language, '') OR r.time_zone <> COALESCE(subscribers.time_zone, '') \
             OR r.attributes <> COALESCE(subscribers.attributes, ''))",
            database.rows(1, &PEOPLE)
        );
        let change_subscriptions = format!(
            "UPDATE subscriptions SET cadence = r.cadence, state = r.state, confirmed_at = COALESCE(subscriptions.confirmed_at, r.confirmed_at), \
             ended_at = r.ended_at, paused_until = CASE WHEN r.state = 'paused' THEN COALESCE(r.paused_until, subscriptions.paused_until) END, ended_from = NULL, preferred = COALESCE(r.preferred, subscriptions.preferred) FROM {} AS r \
             WHERE subscriptions.subscriber = r.subscriber AND subscriptions.feed = r.feed AND subscriptions.state <> 'ended' AND subscriptions.ended_at IS NULL \
             AND (subscriptions.cadence <> r.cadence OR subscriptions.state <> r.state OR r.preferred <> COALESCE(subscriptions.preferred, '') \
             OR (r.state = 'paused' AND r.paused_until <> COALESCE(subscriptions.paused_until, 0)))",
            database.rows(1, &TAKEN)
        );
        // What came before has a line of its own in the ledger; what comes now says so itself.
        let note_changes = format!(
            "INSERT INTO consents (subscriber, at, feed, step, cadence, source) \
             SELECT r.subscriber, CAST($2 AS BIGINT), r.feed, CASE WHEN r.state = 'ended' THEN 'left' WHEN r.state = 'paused' AND n.state <> 'paused' \
             THEN 'paused' ELSE 'changed' END, r.cadence, 'import' \
             FROM {} AS r JOIN subscriptions n ON n.subscriber = r.subscriber AND n.feed = r.feed \
             WHERE n.state <> 'ended' AND n.ended_at IS NULL AND (n.cadence <> r.cadence OR n.state <> r.state) ON CONFLICT (subscriber, at, feed, step) DO NOTHING",
            database.rows(1, &TAKEN)
        );
        // The zone stands with each subscription as well.
        let move_clocks = format!(
            "UPDATE subscriptions SET time_zone = s.time_zone FROM subscribers s \
             WHERE s.id = subscriptions.subscriber AND s.address_key IN (SELECT address_key FROM {} AS r) \
             AND COALESCE(subscriptions.time_zone, '') <> COALESCE(s.time_zone, '')",
            database.rows(1, &PEOPLE)
        );
        // Who was here before keeps the ledger that they have.
        let insert_consents = format!(
            "INSERT INTO consents (subscriber, at, feed, step, cadence, source, text_version, ip) \
             SELECT s.id, r.at, r.feed, r.step, r.cadence, r.source, r.text_version, r.ip FROM {} AS r CROSS JOIN subscribers s \
             WHERE s.id = r.subscriber ON CONFLICT (subscriber, at, feed, step) DO NOTHING",
            database.rows(1, &CONSENTS)
        );
        let kept = format!(
            "SELECT address_key, attributes FROM subscribers WHERE address_key IN {} AND attributes IS NOT NULL",
            database.list(1)
        );
        let ban = format!(
            "INSERT INTO suppressions (address_hash, cause, detail, created_at) \
             SELECT address_hash, cause, detail, CAST($2 AS BIGINT) FROM {} AS r WHERE true ON CONFLICT (address_hash) DO NOTHING",
            database.rows(1, &BANS)
        );
        Self {
            insert_people,
            insert_subscriptions,
            takers,
            change_people,
            change_subscriptions,
            note_changes,
            move_clocks,
            insert_consents,
            kept,
            ban,
        }
    }
}

impl Store {
    /// Takes people in, all or none, in one transaction: new ones are created, what someone already chose stays as it is.
    /// With `overwrite` it is changed instead, as far as the arrival says something else; what had ended stays ended.
    /// The cursors start at the newest release.
    ///
    /// # Errors
    /// When the database fails; then nothing is taken in.
    pub async fn take_in(
        &self,
        arrivals: &[Arrival],
        overwrite: bool,
        now: DateTime<Utc>,
    ) -> Result<TakenIn, StoreError> {
        let Statements {
            insert_people,
            insert_subscriptions,
            takers,
            change_people,
            change_subscriptions,
            note_changes,
            move_clocks,
            insert_consents,
            kept,
            ban,
        } = Statements::of(&self.database);
        let mut taken = TakenIn::default();
        begin_bulk!(self.database, tx => {
            // Planned anew each time: PostgreSQL would keep a plan that it made while the tables were empty.
            let query = |sql: &String| sqlx::query(AssertSqlSafe(sql.clone())).persistent(false);
            let cursor: i64 = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'release'").fetch_one(&mut *tx).await?;
            // Whoever was here already, for each part that holds such.
            let mut here: Vec<HashMap<String, Taker>> = vec![];
            for arrivals in arrivals.chunks(PEOPLE_AT_ONCE) {
                if let Some(bans) = bans(arrivals) {
                    taken.banned += query(&ban).bind(bans).bind(millis(now)).execute(&mut *tx).await?.rows_affected();
                }
                let (mut people, _) = people(arrivals, &HashMap::new(), now);
                if overwrite && arrivals.iter().any(|arrival| !arrival.attributes.is_empty()) {
                    let keys: Vec<&String> = people.iter().map(|row| &row.2).collect();
                    let kept: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(kept.clone())).persistent(false)
                        .bind(json(&keys)).fetch_all(&mut *tx).await?;
                    let known = kept.into_iter().map(|(key, kept)| Ok((key, attributes(&kept)?)));
                    let (told, overfull) = self::people(arrivals, &known.collect::<Result<_, StoreError>>()?, now);
                    people = told;
                    taken.overfull += overfull;
                }
                let number = people.len() as u64;
                let keys: Vec<String> = people.iter().map(|row| row.2.clone()).collect();
                let people = json(&people);
                let new = query(&insert_people).bind(&people).execute(&mut *tx).await?.rows_affected();
                taken.people += new;
                if new == number {
                    here.push(HashMap::new());
                    continue;
                }
                if overwrite {
                    taken.changed += query(&change_people).bind(&people).execute(&mut *tx).await?.rows_affected();
                }
                let known: Vec<(String, String, Option<String>)> =
                    sqlx::query_as(AssertSqlSafe(takers.clone())).persistent(false).bind(json(&keys)).fetch_all(&mut *tx).await?;
                let known = known.into_iter().map(|(key, id, zone)| (key, (id, zone))).collect();
                if overwrite {
                    let subscriptions = taking(arrivals, &known);
                    query(&note_changes).bind(&subscriptions).bind(millis(now)).execute(&mut *tx).await?;
                    taken.changed += query(&change_subscriptions).bind(&subscriptions).execute(&mut *tx).await?.rows_affected();
                    query(&move_clocks).bind(&people).execute(&mut *tx).await?;
                }
                here.push(known);
            }
            // After them all: the pages of one table stay in the cache while it is written.
            for (arrivals, here) in arrivals.chunks(PEOPLE_AT_ONCE).zip(&here) {
                taken.subscriptions += query(&insert_subscriptions).bind(taking(arrivals, here)).bind(cursor).bind(millis(now))
                    .execute(&mut *tx).await?.rows_affected();
                if let Some(consents) = consents(arrivals) {
                    query(&insert_consents).bind(consents).execute(&mut *tx).await?;
                }
            }
            tx.commit().await?;
        });
        Ok(taken)
    }

    /// Lets PostgreSQL look at who is here now. It does so by itself, minutes later: until then it plans as for a table of
    /// before, and reads all of it for a page of people. SQLite's plans rest upon no such look.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look_at_people(&self) -> Result<(), StoreError> {
        if let Database::Postgres(pool) = &self.database {
            sqlx::query("ANALYZE subscribers, subscriptions, consents").execute(pool).await?;
        }
        Ok(())
    }

    /// What is known of the people with these address keys: the key, and each feed of theirs with its cadence and state.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn choices(&self, address_keys: &[String]) -> Result<Vec<(String, String, String, String)>, StoreError> {
        let sql = format!(
            "SELECT s.address_key, n.feed, n.cadence, n.state FROM subscribers s JOIN subscriptions n ON n.subscriber = s.id \
             WHERE s.address_key IN {}",
            self.database.list(1)
        );
        let keys = json(address_keys);
        Ok(on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(keys).fetch_all(pool).await)?)
    }
}
