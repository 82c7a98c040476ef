//! `tidings subscribers erase` and `purge`: each says what it is about to do, and said twice it is done once.

use chrono::{DateTime, TimeDelta, Utc};
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
    let messages = tidy::messages_to(publication, &address).await?;
    let conclude = |is_done: bool, is_banned: bool| {
        if json {
            return output::json(
                &json!({ "address": address, "erased": is_done, "messages": messages.len(), "suppressed": is_banned }),
            );
        }
        let what = if is_done { "is erased" } else { "is held nowhere; nothing was erased" };
        let hash = if is_banned { "; a hash of the address stays, so that no mail goes there" } else { "" };
        output::say(&format!("{address} {what}{hash}"));
        Ok(())
    };
    if found.is_none() && reports == 0 && messages.is_empty() && (is_banned || !never_again) {
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
    if !messages.is_empty() {
        let outbox = publication.config.name_of(&publication.config.mail.outbox);
        output::complain(&format!("  and {} in {outbox}/", count(messages.len(), "message", "messages")));
    }
    if !yes && !agreed("Erase it? This cannot be undone.")? {
        output::complain("nothing was changed");
        return Ok(Ended::Well);
    }
    if never_again {
        store.suppress(&hash, "erasure", "", publication.clock.now()).await?;
    }
    let is_done = store.forget(&hash).await? || reports > 0 || !messages.is_empty();
    // One that went out while this was asked.
    tidy::remove_messages(publication, &tidy::messages_to(publication, &address).await?)?;
    conclude(is_done, is_banned || never_again)?;
    Ok(Ended::Well)
}

pub(super) async fn purge(publication: &Publication, dry_run: bool, yes: bool, json: bool) -> anyhow::Result<Ended> {
    let due = tidy::due(publication).await?;
    let retention = publication.config.retention;
    let day = |at: DateTime<Utc>| {
        at.with_timezone(&publication.config.publication.time_zone).format("%-d %B %Y %H:%M").to_string()
    };
    let before = |time: Option<TimeDelta>| day(publication.clock.now() - time.unwrap_or_default());
    let mut lines = vec![];
    if due.subscriptions > 0 {
        let what = count(due.subscriptions, "subscription", "subscriptions");
        let since = day(tidy::unconfirmed_before(publication));
        lines.push(format!("{what} asked for before {since} and never confirmed: removed, with whoever has no other"));
    }
    if due.ended > 0 {
        let who = count(due.ended, "subscriber", "subscribers");
        lines.push(format!("{who} who had left everything before {}: erased", before(retention.ended)));
    }
    if due.bounced > 0 {
        let who = count(due.bounced, "subscriber", "subscribers");
        let since = before(retention.bounced);
        lines.push(format!("{who} whose address was given up before {since}: erased; a hash of the address stays"));
    }
    for line in &lines {
        output::complain(line);
    }
    if dry_run {
        if json {
            output::json(
                &json!({ "dry_run": true, "unconfirmed": due.subscriptions, "ended": due.ended, "bounced": due.bounced }),
            )?;
        } else {
            output::say(if lines.is_empty() { "nothing to remove" } else { "nothing was changed" });
        }
        return Ok(Ended::Well);
    }
    if !lines.is_empty() && !yes && !agreed("Remove them? This cannot be undone.")? {
        output::complain("nothing was changed");
        return Ok(Ended::Well);
    }
    let purged = tidy::purge(publication).await?;
    if json {
        output::json(&purged)?;
    } else {
        output::say(&format!(
            "{} and {} removed",
            count(purged.subscriptions, "unconfirmed subscription", "unconfirmed subscriptions"),
            count(purged.people(), "subscriber", "subscribers")
        ));
    }
    Ok(Ended::Well)
}
