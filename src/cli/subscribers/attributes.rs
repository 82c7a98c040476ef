//! `tidings subscribers show` and `set`.

use chrono::{DateTime, Utc};
use serde_json::{Map, json};

use super::super::output;
use super::super::{Ended, Usage};
use super::parsed;
use crate::domain::attributes::{AttributeFault, Attributes, typed, word};
use crate::domain::subscription::Subscriber;
use crate::problem::Problem;
use crate::task::Publication;

async fn found(publication: &Publication, address: &str) -> anyhow::Result<Result<Subscriber, Ended>> {
    let address = parsed(address)?;
    let found = publication.store.subscriber_by_address(&address.key()).await?;
    Ok(found.ok_or_else(|| {
        output::problems(&[Problem::new(address.as_str(), "there is no such subscriber")]);
        Ended::WithFaults
    }))
}

/// Attributes as they are typed.
fn written(attributes: &Attributes) -> Vec<(String, String)> {
    let shown = |value: &serde_json::Value| word(value).unwrap_or_else(|| value.to_string());
    attributes.iter().map(|(name, value)| (name.to_owned(), shown(value))).collect()
}

pub(super) async fn show(publication: &Publication, address: &str, json: bool) -> anyhow::Result<Ended> {
    let person = match found(publication, address).await? {
        Ok(person) => person,
        Err(ended) => return Ok(ended),
    };
    let store = &publication.store;
    let attributes = store.attributes_of(&[person.id]).await?.remove(&person.id).unwrap_or_default();
    let taken = store.taken_by(person.id).await?;
    let ban = store.ban(&publication.keyring.address_hash(&person.address.key())).await?;
    if json {
        let subscriptions: Vec<_> = taken
            .iter()
            .map(|one| {
                json!({
                    "feed": one.subscription.feed, "cadence": one.subscription.cadence,
                    "state": one.subscription.state, "created_at": one.created_at,
                    "confirmed_at": one.confirmed_at, "ended_at": one.ended_at,
                })
            })
            .collect();
        output::json(&json!({
            "id": person.id, "address": person.address, "name": person.name, "language": person.language,
            "time_zone": person.time_zone.map(chrono_tz::Tz::name), "attributes": attributes,
            "subscriptions": subscriptions, "suppressed": ban,
        }))?;
        return Ok(Ended::Well);
    }
    let zone = publication.config.publication.time_zone;
    let on = |at: DateTime<Utc>| at.with_timezone(&zone).format("%-d %B %Y").to_string();
    let mut rows = vec![vec!["Address".to_owned(), person.address.to_string()]];
    let mut add = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| vec![name.to_owned(), value]));
    };
    add("Name", person.name);
    add("Language", person.language);
    add("Time zone", person.time_zone.map(|zone| zone.name().to_owned()));
    for one in &taken {
        let subscription = &one.subscription;
        let since = match (subscription.state.as_str(), one.ended_at) {
            ("ended", Some(at)) => format!("ended on {}", on(at)),
            (state, _) => format!("{state}, since {}", on(one.confirmed_at.unwrap_or(one.created_at))),
        };
        add("Subscription", Some(format!("{} {}: {since}", subscription.feed, subscription.cadence)));
    }
    for (name, value) in written(&attributes) {
        add("Attribute", Some(format!("{name}={value}")));
    }
    add("Suppressed", ban.map(|ban| format!("{}, since {}", ban.cause, on(ban.at))));
    output::table(&rows);
    Ok(Ended::Well)
}

pub(super) async fn set(
    publication: &Publication,
    address: &str,
    pairs: &[String],
    unset: &[String],
    json: bool,
) -> anyhow::Result<Ended> {
    let fault = |fault: AttributeFault| Usage(format!("{fault}\n  hint: {}", fault.hint()));
    let mut fields = Map::new();
    for pair in pairs {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Usage(format!("{pair:?} is no name with a value\n  hint: write city=Lisbon")))?;
        if value.trim().is_empty() {
            return Err(Usage(format!("{name:?} has no value\n  hint: --unset {name} removes it")).into());
        }
        fields.insert(name.to_owned(), typed(value));
    }
    let fields = Attributes::of(fields).map_err(fault)?;
    let person = match found(publication, address).await? {
        Ok(person) => person,
        Err(ended) => return Ok(ended),
    };
    let attributes = publication.store.change_attributes(person.id, &fields, unset).await?.map_err(fault)?;
    if json {
        output::json(&json!({ "address": person.address, "attributes": attributes }))?;
        return Ok(Ended::Well);
    }
    let all: Vec<String> = written(&attributes).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let all = if all.is_empty() { "no attributes".to_owned() } else { all.join(", ") };
    output::say(&format!("{}: {all}", person.address));
    Ok(Ended::Well)
}
