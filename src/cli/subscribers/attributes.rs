//! `tidings subscribers set`.

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
pub(super) fn written(attributes: &Attributes) -> Vec<(String, String)> {
    let shown = |value: &serde_json::Value| word(value).unwrap_or_else(|| value.to_string());
    attributes.iter().map(|(name, value)| (name.to_owned(), shown(value))).collect()
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
