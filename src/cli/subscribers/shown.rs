//! `tidings subscribers show` and `reasons`.

use serde_json::json;

use super::super::Ended;
use super::super::output::{self, count};
use super::parsed;
use crate::domain::consent::Entry;
use crate::domain::feed::FeedName;
use crate::problem::Problem;
use crate::task::{Publication, choices};

/// Reasons in readers' own words that are listed.
const LISTED: i64 = 200;

pub(super) async fn show(publication: &Publication, address: &str, json: bool) -> anyhow::Result<Ended> {
    let address = parsed(address)?;
    let Some(person) = publication.store.subscriber_by_address(&address.key()).await? else {
        let problem = Problem::new(address.as_str(), "nobody is known by this address");
        output::problems(&[problem.hint(format!("{} why {address} says what is known", super::called_as()))]);
        return Ok(Ended::WithFaults);
    };
    if json {
        output::json(&choices::held(publication, &person).await?)?;
        return Ok(Ended::Well);
    }
    let store = &publication.store;
    let zone = person.time_zone.unwrap_or(publication.config.publication.time_zone);
    let on = |at: chrono::DateTime<chrono::Utc>| at.with_timezone(&zone).format("%-d %B %Y %H:%M %Z").to_string();
    let name = person.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let language = person.language.as_ref().map(|language| format!(", {language}")).unwrap_or_default();
    output::say(&format!("{}{name}  {zone}{language}", person.address));
    if let Some(ban) = store.ban(&publication.keyring.address_hash(&person.address.key())).await? {
        output::say(&format!("  suppressed since {}: {}", on(ban.at), ban.cause));
    }
    for taken in store.taken_by(person.id).await? {
        let one = taken.subscription;
        let until = taken.paused_until.map(|at| format!(" until {}", on(at))).unwrap_or_default();
        let preferred = taken.preferred.map(|preferred| format!(", at {preferred}")).unwrap_or_default();
        output::say(&format!("  {} {}{preferred} ({}{until})", one.feed, one.cadence, one.state.as_str()));
    }
    let attributes = store.attributes_of(&[person.id]).await?.remove(&person.id).unwrap_or_default();
    for (name, value) in super::attributes::written(&attributes) {
        output::say(&format!("  {name} = {value}"));
    }
    output::say("\nAgreed to:");
    for entry in store.consents_of(person.id).await? {
        output::say(&format!("  {}  {}", on(entry.at), line(&entry)));
    }
    Ok(Ended::Well)
}

fn line(entry: &Entry) -> String {
    let feed = entry.feed.as_ref().map(|feed| format!(" {feed}")).unwrap_or_default();
    let cadence = entry.cadence.map(|cadence| format!(" {cadence}")).unwrap_or_default();
    let more: Vec<String> = [
        Some(entry.source.as_str().to_owned()),
        entry.text_version.as_ref().map(|version| format!("text {version}")),
        entry.ip.clone(),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!("{}{feed}{cadence}  ({})", entry.step.as_str().replace('_', " "), more.join(", "))
}

pub(super) async fn reasons(publication: &Publication, json: bool) -> anyhow::Result<Ended> {
    let counts = publication.store.reason_counts().await?;
    let given = publication.store.reasons(None, LISTED).await?;
    if json {
        let counts: Vec<_> = counts
            .iter()
            .map(|(feed, reason, number)| json!({ "feed": FeedName::parse(feed), "reason": reason, "count": number }))
            .collect();
        output::json(&json!({ "counts": counts, "reasons": given }))?;
        return Ok(Ended::Well);
    }
    if counts.is_empty() {
        output::say("nobody who left has said why");
        return Ok(Ended::Well);
    }
    let mut rows = vec![["FEED", "REASON", "READERS"].map(str::to_owned).to_vec()];
    rows.extend(counts.iter().map(|(feed, reason, number)| {
        let feed = if feed.is_empty() { "everything" } else { feed };
        vec![feed.to_owned(), reason.replace('_', " "), number.to_string()]
    }));
    output::table(&rows);
    let words: Vec<_> = given.iter().filter(|reason| !reason.words.is_empty()).collect();
    if !words.is_empty() {
        output::say(&format!("\n{} in their own words:", count(words.len(), "reader", "readers")));
    }
    for reason in words {
        let day = reason.at.with_timezone(&publication.config.publication.time_zone).format("%Y-%m-%d");
        let feed = reason.feed.as_ref().map_or("everything", FeedName::as_str);
        output::say(&format!("  {day}  {feed}: {}", reason.words));
    }
    Ok(Ended::Well)
}
