//! `tidings subscribers erase` and `purge`: each says what it is about to do, and said twice it is done once.

use serde_json::json;

use super::super::Ended;
use super::super::digest::agreed;
use super::super::output::{self, count};
use super::parsed;
use crate::task::{Publication, tidy};

pub(super) async fn erase(
    publication: &Publication,
    address: &str,
    never_again: bool,
    yes: bool,
    json: bool,
) -> anyhow::Result<Ended> {
    let address = parsed(address)?;
    let store = &publication.store;
    let hash = publication.keyring.address_hash(&address.key());
    let found = store.subscriber_by_address(&address.key()).await?;
    let is_banned = store.ban(&hash).await?.is_some();
    let reports = store.reports_about(&hash).await?;
    let conclude = |is_done: bool, is_banned: bool| {
        if json {
            return output::json(&json!({ "address": address, "erased": is_done, "suppressed": is_banned }));
        }
        let what = if is_done { "is erased" } else { "is held nowhere; nothing was erased" };
        let hash = if is_banned { "; a hash of the address stays, so that no mail goes there" } else { "" };
        output::say(&format!("{address} {what}{hash}"));
        Ok(())
    };
    if found.is_none() && reports == 0 && (is_banned || !never_again) {
        conclude(false, is_banned)?;
        return Ok(Ended::Well);
    }
    let mut parts = vec![];
    if let Some(person) = &found {
        parts.push(count(store.subscriptions_of(person.id).await?.len(), "subscription", "subscriptions"));
        parts.push(count(store.deliveries_to(person.id, None, i64::MAX).await?.len(), "delivery", "deliveries"));
    }
    parts.push(count(reports, "report", "reports"));
    output::complain(&format!("{address}: {}; all of it goes, and only the figures of digests stay", parts.join(", ")));
    if is_banned || never_again {
        output::complain("  a hash of the address stays among the suppressions: no mail ever goes there again");
    }
    if publication.config.relays.is_empty() {
        let outbox = publication.config.name_of(&publication.config.mail.outbox);
        output::complain(&format!("  messages in {outbox}/ are files of yours, and stay"));
    }
    if !yes && !agreed("Erase it? This cannot be undone.")? {
        output::complain("nothing was changed");
        return Ok(Ended::Well);
    }
    if never_again {
        store.suppress(&hash, "erasure", "", publication.clock.now()).await?;
    }
    let is_done = store.forget(&hash).await? || reports > 0;
    conclude(is_done, is_banned || never_again)?;
    Ok(Ended::Well)
}

pub(super) async fn purge(publication: &Publication, yes: bool, json: bool) -> anyhow::Result<Ended> {
    let before = tidy::unconfirmed_before(publication);
    let number = publication.store.unconfirmed(before).await?;
    if number > 0 {
        let since = before.with_timezone(&publication.config.publication.time_zone).format("%-d %B %Y %H:%M");
        let what = count(number, "subscription", "subscriptions");
        output::complain(&format!(
            "{what} asked for before {since} and never confirmed: removed, with whoever has no other"
        ));
        if !yes && !agreed("Remove them?")? {
            output::complain("nothing was changed");
            return Ok(Ended::Well);
        }
    }
    let (subscriptions, people) = tidy::purge(publication).await?;
    if json {
        output::json(&json!({ "subscriptions": subscriptions, "subscribers": people }))?;
    } else {
        output::say(&format!(
            "{} and {} removed",
            count(subscriptions, "unconfirmed subscription", "unconfirmed subscriptions"),
            count(people, "subscriber", "subscribers")
        ));
    }
    Ok(Ended::Well)
}
