//! Who is in a segment: a selection as one SQL condition, with everything that a person wrote bound as a parameter.

use std::collections::HashSet;

use sqlx::AssertSqlSafe;

use super::dialect::Database;
use super::digests::NOBODY_WAITS;
use super::groups::{GroupColumns, group};
use super::subscribers::UNSUPPRESSED;
use super::{ReaderGroup, Store, StoreError, id, json, millis, on};
use crate::domain::feed::FeedName;
use crate::domain::segment::{Between, Moment, Setting, Test, Whom, Within};
use crate::domain::subscription::{SubscriberId, SubscriptionState};

/// So many words are bound one by one.
const FEW: usize = 100;

/// Who was sent something. Nobody is looked up by themselves: deliveries have no index by subscriber.
const DELIVERED: &str =
    "SELECT d.subscriber FROM digests g CROSS JOIN deliveries d WHERE d.digest = g.id AND d.state = 'sent'";

/// A selection as SQL about the subscriber `s`, with what is bound to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) values: Vec<Bound>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bound {
    Text(String),
    Number(f64),
    Instant(i64),
}

/// Binds the parameters of a [`Condition`], whatever the engine.
macro_rules! bind_all {
    ($query:expr, $condition:expr) => {
        $condition.values.iter().fold($query, |query, value| match value {
            $crate::store::segments::Bound::Text(text) => query.bind(text),
            $crate::store::segments::Bound::Number(number) => query.bind(number),
            $crate::store::segments::Bound::Instant(at) => query.bind(at),
        })
    };
}
pub(super) use bind_all;

impl Condition {
    /// The condition whose first parameter is `$first`.
    pub(super) fn of(database: &Database, whom: &Whom, setting: &Setting, first: usize) -> Self {
        let mut writer = Writer { database, setting, first, values: vec![] };
        let sql = writer.condition(whom);
        Self { sql, values: writer.values }
    }
}

struct Writer<'a> {
    database: &'a Database,
    setting: &'a Setting,
    first: usize,
    values: Vec<Bound>,
}

impl Writer<'_> {
    /// Each part is true or false, never NULL: so that `NOT` turns each into its opposite.
    fn condition(&mut self, whom: &Whom) -> String {
        match whom {
            Whom::All(each) => self.joined(each, " AND ", "(1 = 1)"),
            Whom::Any(some) => self.joined(some, " OR ", "(1 = 0)"),
            Whom::Not(whom) => format!("(NOT {})", self.condition(whom)),
            Whom::Takes { feeds, cadences, states, confirmed } => {
                let mut parts = vec!["n.subscriber = s.id".to_owned()];
                let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
                let cadences: Vec<&str> = cadences.iter().map(|cadence| cadence.as_str()).collect();
                let feeds: Vec<&str> = feeds.iter().map(FeedName::as_str).collect();
                for (column, words) in [("n.feed", feeds), ("n.cadence", cadences), ("n.state", states)] {
                    if !words.is_empty() {
                        parts.push(format!("{column} IN {}", self.list(&words)));
                    }
                }
                parts.push(self.within("n.confirmed_at", *confirmed));
                format!("EXISTS (SELECT 1 FROM subscriptions n WHERE {})", parts.join(" AND "))
            }
            Whom::Speaks(words) => {
                let language = self.text(self.setting.language.clone());
                let spoken = self.database.folded(&format!("COALESCE(s.language, CAST({language} AS TEXT))"));
                format!("({spoken} IN {})", self.list(words.as_slice()))
            }
            Whom::Lives(zones) => {
                let own = self.text(self.setting.time_zone.name().to_owned());
                let names: Vec<&str> = zones.iter().map(|zone| zone.name()).collect();
                format!("(COALESCE(s.time_zone, CAST({own} AS TEXT)) IN {})", self.list(&names))
            }
            Whom::Has(name, test) => self.has(name, test),
            Whom::Joined(within) => format!("({})", self.within("s.created_at", *within)),
            Whom::Delivered(within) => {
                let now = self.setting.now;
                let mut since = |moment: Moment| {
                    let from = self.bind(Bound::Instant(millis(moment.at(now))));
                    format!(
                        "s.id IN ({DELIVERED} AND (g.finished_at IS NULL OR g.finished_at >= ${from}) AND d.settled_at >= ${from})"
                    )
                };
                let after = within.after.map(&mut since);
                let not_since = within.before.map(|before| format!("NOT {}", since(before)));
                // The last one is before a moment where there is one, but none since.
                let any = (after.is_none() && not_since.is_some()).then(|| format!("s.id IN ({DELIVERED})"));
                let parts: Vec<String> = [after, any, not_since].into_iter().flatten().collect();
                if parts.is_empty() { "1 = 1".to_owned() } else { format!("({})", parts.join(" AND ")) }
            }
            Whom::NeverDelivered => format!("NOT s.id IN ({DELIVERED})"),
            Whom::Bounces(between) => self.reports("'hard_bounce', 'soft_bounce'", *between),
            Whom::Complaints(between) => self.reports("'complaint'", *between),
            Whom::Suppressed(is_suppressed) => {
                if *is_suppressed {
                    format!("(NOT {UNSUPPRESSED})")
                } else {
                    UNSUPPRESSED.to_owned()
                }
            }
        }
    }

    fn joined(&mut self, whom: &[Whom], word: &str, none: &str) -> String {
        if whom.is_empty() {
            return none.to_owned();
        }
        format!("({})", whom.iter().map(|whom| self.condition(whom)).collect::<Vec<_>>().join(word))
    }

    fn has(&mut self, name: &str, test: &Test) -> String {
        let place = self.bind(Bound::Text(name.to_owned()));
        match test {
            Test::Is(words) => {
                let values = self.database.values(place);
                let word = self.database.folded("a.word");
                format!("EXISTS (SELECT 1 FROM {values} AS a WHERE {word} IN {})", self.list(words.as_slice()))
            }
            Test::Between(between) => {
                let values = self.database.values(place);
                let is_number = "a.number IS NOT NULL";
                format!(
                    "EXISTS (SELECT 1 FROM {values} AS a WHERE {is_number} AND {})",
                    self.between("a.number", *between)
                )
            }
            Test::Set(true) => self.database.has_value(place),
            Test::Set(false) => format!("(NOT {})", self.database.has_value(place)),
        }
    }

    fn reports(&mut self, kinds: &str, between: Between) -> String {
        let number = format!(
            "CAST((SELECT COUNT(*) FROM reports r WHERE r.address_hash = s.address_hash AND r.kind IN ({kinds})) AS DOUBLE PRECISION)"
        );
        format!("({})", self.between(&number, between))
    }

    fn within(&mut self, what: &str, within: Within) -> String {
        let now = self.setting.now;
        let mut parts = vec![];
        for (limit, sign) in [(within.after, ">="), (within.before, "<")] {
            if let Some(limit) = limit {
                let place = self.bind(Bound::Instant(millis(limit.at(now))));
                parts.push(format!("{what} {sign} ${place}"));
            }
        }
        if parts.is_empty() { "1 = 1".to_owned() } else { parts.join(" AND ") }
    }

    fn between(&mut self, what: &str, between: Between) -> String {
        let mut parts = vec![];
        for (limit, sign) in [(between.above, ">"), (between.below, "<")] {
            if let Some(limit) = limit {
                let place = self.bind(Bound::Number(limit));
                parts.push(format!("{what} {sign} ${place}"));
            }
        }
        if parts.is_empty() { "1 = 1".to_owned() } else { parts.join(" AND ") }
    }

    fn bind(&mut self, value: Bound) -> usize {
        self.values.push(value);
        self.first + self.values.len() - 1
    }

    fn text(&mut self, text: String) -> String {
        format!("${}", self.bind(Bound::Text(text)))
    }

    /// One by one, as far as they are few: SQLite reads a JSON list anew for each row.
    fn list<T: AsRef<str>>(&mut self, words: &[T]) -> String {
        if words.is_empty() || words.len() > FEW {
            let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
            let place = self.bind(Bound::Text(json(&words)));
            return self.database.list(place);
        }
        let places: Vec<String> = words.iter().map(|word| self.text(word.as_ref().to_owned())).collect();
        format!("({})", places.join(", "))
    }
}

impl Store {
    /// How many people are in a segment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_in(&self, whom: &Whom, setting: &Setting) -> Result<u64, StoreError> {
        let condition = Condition::of(&self.database, whom, setting, 1);
        let sql = format!("SELECT COUNT(*) FROM subscribers s WHERE {}", condition.sql);
        let number: i64 = on!(self.database, pool => {
            bind_all!(sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false), condition).fetch_one(pool).await
        })?;
        Ok(number.unsigned_abs())
    }

    /// The first of the people in a segment, in the order of their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_in(&self, whom: &Whom, setting: &Setting, limit: i64) -> Result<Vec<SubscriberId>, StoreError> {
        let condition = Condition::of(&self.database, whom, setting, 2);
        let sql = format!("SELECT s.id FROM subscribers s WHERE {} ORDER BY s.id LIMIT $1", condition.sql);
        let ids: Vec<String> = on!(self.database, pool => {
            bind_all!(sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).bind(limit), condition).fetch_all(pool).await
        })?;
        ids.iter().map(|key| Ok(SubscriberId(id(key)?))).collect()
    }

    /// Which of these people are in a segment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn those_in(
        &self,
        whom: &Whom,
        setting: &Setting,
        among: &[SubscriberId],
    ) -> Result<HashSet<SubscriberId>, StoreError> {
        let condition = Condition::of(&self.database, whom, setting, 2);
        let sql =
            format!("SELECT s.id FROM subscribers s WHERE s.id IN {} AND {}", self.database.list(1), condition.sql);
        let ids: Vec<String> = on!(self.database, pool => {
            bind_all!(sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).bind(json(among)), condition).fetch_all(pool).await
        })?;
        ids.iter().map(|key| Ok(SubscriberId(id(key)?))).collect()
    }

    /// How many readers of a newsletter who are in a segment stand at which cursor, by cadence and time zone, less those
    /// for whom a digest of it stands still.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn readers_in(
        &self,
        newsletter: &FeedName,
        whom: &Whom,
        setting: &Setting,
    ) -> Result<Vec<ReaderGroup>, StoreError> {
        let condition = Condition::of(&self.database, whom, setting, 4);
        let sql = format!(
            "SELECT n.cadence, n.time_zone, n.preferred, n.cursor, COUNT(*) FROM subscriptions n JOIN subscribers s ON s.id = n.subscriber \
             WHERE n.feed = $3 AND n.state = $1 AND {UNSUPPRESSED} AND {NOBODY_WAITS} AND $2 = '' AND {} \
             GROUP BY n.cadence, n.time_zone, n.preferred, n.cursor \
             ORDER BY n.cadence, n.time_zone, n.preferred, n.cursor",
            condition.sql
        );
        let rows: Vec<GroupColumns> = on!(self.database, pool => {
            let query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
            let query = query.bind(SubscriptionState::Active.as_str()).bind("").bind(newsletter.as_str());
            bind_all!(query, condition).fetch_all(pool).await
        })?;
        rows.into_iter().map(group).collect()
    }
}
