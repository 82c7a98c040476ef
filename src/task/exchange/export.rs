//! Subscribers out, with all that is held of them.

use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::{COLUMNS, defused, defused_json};
use crate::domain::attributes::Attributes;
use crate::domain::feed::FeedName;
use crate::domain::segment::Segment;
use crate::domain::subscription::{SubscriberId, SubscriptionState};
use crate::store::{Held, Taken};
use crate::task::{Publication, TaskError};

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A line for each person, with a heading.
    Csv,
    /// The same with the ledger in a column at its end.
    CsvWithConsents,
    /// A list of objects, each on a line of its own.
    Json,
}

/// People read at once.
const PAGE: usize = 1000;

/// Whom an export holds.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Only those of this feed.
    pub feed: Option<FeedName>,
    /// Only those in this segment.
    pub segment: Option<Segment>,
    /// Also who gets no mail.
    pub everyone: bool,
}

/// Exports everyone who gets mail, or those of one feed or segment; with `everyone` also who left, never confirmed, paused or is
/// suppressed. Returns how many.
///
/// Without `everyone` they are left out: an import elsewhere would write to them.
///
/// # Errors
/// When the store fails or the output cannot be written.
pub async fn export(
    publication: &Publication,
    which: &Which,
    form: Form,
    output: impl Write,
) -> Result<u64, TaskError> {
    let failed = |source| TaskError::Write { path: "the export".into(), source };
    let mut writer = Writer::begin(form, output).map_err(failed)?;
    let setting = publication.setting();
    let (mut after, mut count) = (None, 0);
    loop {
        let page = publication.store.held(after, PAGE, form != Form::Csv).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.subscriber.id);
        let ids: Vec<SubscriberId> = page.iter().map(|held| held.subscriber.id).collect();
        let those = match &which.segment {
            Some(segment) => Some(publication.store.those_in(&segment.whom, &setting, &ids).await?),
            None => None,
        };
        let mut known = publication.store.attributes_of(&ids).await?;
        for held in page {
            if those.as_ref().is_some_and(|those| !those.contains(&held.subscriber.id)) {
                continue;
            }
            let taken: Vec<Taken> = held
                .taken
                .iter()
                .filter(|one| which.feed.as_ref().is_none_or(|feed| one.subscription.feed == *feed))
                .filter(|one| {
                    which.everyone || held.suppressed.is_none() && one.subscription.state == SubscriptionState::Active
                })
                .cloned()
                .collect();
            if !taken.is_empty() {
                let attributes = known.remove(&held.subscriber.id).unwrap_or_default();
                writer.person(&Held { taken, ..held }, &attributes).map_err(failed)?;
                count += 1;
            }
        }
    }
    writer.end().map_err(failed)?;
    Ok(count)
}

enum Writer<W: Write> {
    Csv { output: Box<csv::Writer<W>>, has_consents: bool },
    Json { output: W, is_first: bool },
}

impl<W: Write> Writer<W> {
    fn begin(form: Form, mut output: W) -> std::io::Result<Self> {
        match form {
            Form::Csv | Form::CsvWithConsents => {
                let has_consents = form == Form::CsvWithConsents;
                let mut output = csv::Writer::from_writer(output);
                let columns = COLUMNS.into_iter().chain(has_consents.then_some("consents"));
                output.write_record(columns).map_err(std::io::Error::other)?;
                Ok(Self::Csv { output: Box::new(output), has_consents })
            }
            Form::Json => {
                output.write_all(b"[")?;
                Ok(Self::Json { output, is_first: true })
            }
        }
    }

    fn person(&mut self, held: &Held, attributes: &Attributes) -> std::io::Result<()> {
        match self {
            Self::Csv { output, has_consents } => {
                let consents = has_consents.then(|| match held.consents.as_slice() {
                    [] => String::new(),
                    consents => defused_json(&serde_json::to_string(consents).unwrap_or_default()),
                });
                let row = row(held, attributes).into_iter().chain(consents);
                output.write_record(row).map_err(std::io::Error::other)
            }
            Self::Json { output, is_first } => {
                output.write_all(if std::mem::take(is_first) { b"\n" } else { b",\n" })?;
                serde_json::to_writer(output, &object(held, attributes)).map_err(std::io::Error::other)
            }
        }
    }

    fn end(self) -> std::io::Result<()> {
        match self {
            Self::Csv { mut output, .. } => output.flush(),
            Self::Json { mut output, .. } => {
                output.write_all(b"\n]\n")?;
                output.flush()
            }
        }
    }
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn row(held: &Held, attributes: &Attributes) -> [String; COLUMNS.len()] {
    let person = &held.subscriber;
    let each = |what: &dyn Fn(&Taken) -> String| held.taken.iter().map(what).collect::<Vec<_>>().join(";");
    let date = |at: Option<DateTime<Utc>>| at.map(written).unwrap_or_default();
    // Nothing in any of them is nothing.
    let dates = |which: &dyn Fn(&Taken) -> Option<DateTime<Utc>>| {
        if held.taken.iter().any(|one| which(one).is_some()) { each(&|one| date(which(one))) } else { String::new() }
    };
    [
        defused(person.address.as_str()),
        defused(person.name.as_deref().unwrap_or_default()),
        defused(person.language.as_deref().unwrap_or_default()),
        person.time_zone.map(|zone| zone.name().to_owned()).unwrap_or_default(),
        each(&|one| format!("{}:{}", one.subscription.feed, one.subscription.cadence)),
        each(&|one| one.subscription.state.as_str().to_owned()),
        each(&|one| written(one.created_at)),
        dates(&|one| one.confirmed_at),
        dates(&|one| one.ended_at),
        if held.taken.iter().any(|one| one.preferred.is_some()) {
            each(&|one| one.preferred.clone().unwrap_or_default())
        } else {
            String::new()
        },
        dates(&|one| one.paused_until),
        defused(held.suppressed.as_deref().unwrap_or_default()),
        if attributes.is_empty() { String::new() } else { defused_json(&attributes.to_json()) },
    ]
}

fn object(held: &Held, attributes: &Attributes) -> serde_json::Value {
    let person = &held.subscriber;
    let subscriptions: Vec<_> = held
        .taken
        .iter()
        .map(|one| {
            json!({
                "feed": one.subscription.feed,
                "cadence": one.subscription.cadence,
                "state": one.subscription.state,
                "created_at": written(one.created_at),
                "confirmed_at": one.confirmed_at.map(written),
                "ended_at": one.ended_at.map(written),
                "preferred": one.preferred,
                "paused_until": one.paused_until.map(written),
            })
        })
        .collect();
    json!({
        "address": person.address,
        "name": person.name,
        "language": person.language,
        "time_zone": person.time_zone.map(chrono_tz::Tz::name),
        "subscriptions": subscriptions,
        "suppressed": held.suppressed,
        "attributes": attributes,
        "consents": held.consents,
    })
}
