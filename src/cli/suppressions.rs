//! `tidings suppressions`: addresses that must not be written to. Each verb says what it is about to do, and said twice it
//! is done once.

use clap::Subcommand;
use serde_json::json;

use super::digest::agreed;
use super::output::{self, count};
use super::subscribers::parsed;
use super::{Ended, Usage};
use crate::domain::text::{one_line, shorten};
use crate::problem::printable;
use crate::task::Publication;
use crate::task::tidy::Banned;

/// The cause of a ban that an editor lays.
const BY_HAND: &str = "word of an editor";
/// Longest reason, in characters.
const MAX_REASON: usize = 200;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List them; with --json one object a line
    List,
    /// Write to an address no more, whoever imports or signs it up
    Add {
        /// The address
        address: String,
        /// Why, for whoever asks later
        #[arg(long)]
        reason: String,
        /// Without asking
        #[arg(long)]
        yes: bool,
    },
    /// Let mail go to an address again
    Lift {
        /// The address
        address: String,
        /// Why, for whoever reads the log
        #[arg(long)]
        reason: String,
        /// Without asking
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(publication: &Publication, verb: Verb, json: bool) -> anyhow::Result<Ended> {
    match verb {
        Verb::List => list(publication, json).await,
        Verb::Add { address, reason, yes } => add(publication, &address, &reason, yes, json).await,
        Verb::Lift { address, reason, yes } => lift(publication, &address, &reason, yes, json).await,
    }
}

async fn list(publication: &Publication, json: bool) -> anyhow::Result<Ended> {
    let (mut after, mut total) = (String::new(), 0);
    loop {
        let page = publication.store.bans(&after, 1000).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.address_hash);
        total += page.len() as u64;
        for banned in &page {
            output::say(&if json { as_line(banned) } else { as_text(publication, banned) });
        }
    }
    if !json {
        output::complain(&count(total, "address", "addresses"));
    }
    Ok(Ended::Well)
}

fn as_line(banned: &Banned) -> String {
    let Banned { address_hash, address, ban } = banned;
    json!({ "address": address, "hash": address_hash, "cause": ban.cause, "reason": ban.detail, "since": ban.at })
        .to_string()
}

fn as_text(publication: &Publication, banned: &Banned) -> String {
    let since = banned.ban.at.with_timezone(&publication.config.publication.time_zone).format("%Y-%m-%d");
    let who = banned.address.clone().unwrap_or_else(|| format!("hash {}", banned.address_hash));
    let detail = banned.ban.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    printable(&format!("{since}  {who}  {}{detail}", banned.ban.cause))
}

fn given(reason: &str) -> anyhow::Result<String> {
    let reason = shorten(&one_line(reason), MAX_REASON);
    if reason.is_empty() {
        return Err(Usage("the reason is empty\n  hint: say why, such as --reason \"asked by letter\"".into()).into());
    }
    Ok(reason)
}

fn conclude(address: &str, is_suppressed: bool, is_done: bool, json: bool) -> anyhow::Result<Ended> {
    if json {
        output::json(&json!({ "address": address, "suppressed": is_suppressed, "changed": is_done }))?;
    } else {
        let state = if is_suppressed { "is suppressed" } else { "is not suppressed" };
        output::say(&format!("{address} {state}{}", if is_done { "" } else { "; nothing was changed" }));
    }
    Ok(Ended::Well)
}

async fn add(publication: &Publication, address: &str, reason: &str, yes: bool, json: bool) -> anyhow::Result<Ended> {
    let (address, reason) = (parsed(address)?, given(reason)?);
    let hash = publication.keyring.address_hash(&address.key());
    let store = &publication.store;
    if store.ban(&hash).await?.is_some() {
        return conclude(address.as_str(), true, false, json);
    }
    let known = match store.subscriber_by_address(&address.key()).await? {
        Some(person) => count(store.subscriptions_of(person.id).await?.len(), "subscription", "subscriptions"),
        None => "no subscriber".into(),
    };
    output::complain(&format!("{address} ({known}): no mail goes there any more, and what waits for it is skipped"));
    if !yes && !agreed("Suppress it?")? {
        output::complain("nothing was changed");
        return Ok(Ended::Well);
    }
    let now = publication.clock.now();
    let is_new = store.suppress(&hash, BY_HAND, &reason, now).await?;
    store.skip_unwanted(now).await?;
    tracing::info!(reason, "an address was suppressed");
    conclude(address.as_str(), true, is_new, json)
}

async fn lift(publication: &Publication, address: &str, reason: &str, yes: bool, json: bool) -> anyhow::Result<Ended> {
    let (address, reason) = (parsed(address)?, given(reason)?);
    let hash = publication.keyring.address_hash(&address.key());
    let Some(ban) = publication.store.ban(&hash).await? else {
        return conclude(address.as_str(), false, false, json);
    };
    let since = ban.at.with_timezone(&publication.config.publication.time_zone).format("%-d %B %Y");
    let detail = ban.detail.filter(|detail| !detail.is_empty()).map(|detail| format!(": {detail}")).unwrap_or_default();
    output::complain(&format!("{address}: suppressed since {since} ({}{})", ban.cause, printable(&detail)));
    output::complain("  mail goes there again, with the next digest; what was skipped meanwhile stays skipped");
    if ban.cause.starts_with("complain") {
        output::complain("  they complained: write to them only if they asked you to");
    }
    if !yes && !agreed("Lift it?")? {
        output::complain("nothing was changed");
        return Ok(Ended::Well);
    }
    let was_there = publication.store.lift(&hash).await?;
    tracing::info!(reason, "a suppression was lifted");
    conclude(address.as_str(), false, was_there, json)
}
