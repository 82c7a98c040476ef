//! `tidings subscribers`.

mod attributes;
mod exchange;
mod farewell;
mod shown;

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::output::{self, count};
use super::{Ended, Usage, called_as, segments};
use crate::domain::address::EmailAddress;
use crate::domain::attributes::Attributes;
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::provider;
use crate::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use crate::domain::text::one_line;
use crate::problem::Problem;
use crate::task::exchange::{Form, Listed, feeds as feeds_in};
use crate::task::{Publication, compose, confirm};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add one person, who has agreed to it; existing choices stay
    Add {
        /// Their address
        address: String,
        /// What to call them
        #[arg(long)]
        name: Option<String>,
        /// The feeds they get, as in "news" or "news:weekly"; the only newsletter where there is one
        #[arg(long = "feed", value_name = "FEED[:CADENCE]")]
        feeds: Vec<String>,
        /// Their time zone, such as Europe/Lisbon
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
    },
    /// List everyone, or those of one feed or segment
    List {
        /// Only those of this feed
        #[arg(long)]
        feed: Option<String>,
        /// Only those in this segment
        #[arg(long)]
        segment: Option<String>,
    },
    /// Set attributes of one person, as in city=Lisbon
    Set {
        /// Their address
        address: String,
        /// Names with their values; numbers, true and false are what they look like
        #[arg(value_name = "NAME=VALUE", required_unless_present = "unset")]
        attributes: Vec<String>,
        /// Remove this attribute
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
    },
    /// Show all that is held of one person, and what they agreed to and when
    Show {
        /// Their address
        address: String,
    },
    /// Say why people left, where they said so
    Reasons,
    #[expect(clippy::doc_markdown, reason = "this is what --help prints")]
    /// Take people in from a CSV or JSON file
    ///
    /// Columns: address, name, language, time_zone, feeds ("news:daily;offers"); all but the first may be missing. Exports
    /// of listmonk, Mailchimp, Ghost, Substack and Buttondown are known by their columns; who left there is not taken. Tags,
    /// labels, groups and the like become attributes, which segments select by and templates show.
    Import {
        /// The file; - is standard input
        file: PathBuf,
        /// The feed of lines that name none, as in "news" or "news:weekly"
        #[arg(long, value_name = "FEED[:CADENCE]")]
        feed: Option<String>,
        /// Change what people chose to what the file says; who left stays away
        #[arg(long)]
        overwrite: bool,
        /// A column whose cells hold several values, between commas, as Mailchimp's groups
        #[arg(long = "list", value_name = "COLUMN")]
        lists: Vec<String>,
        /// Only say what would happen, line by line
        #[arg(long)]
        dry_run: bool,
    },
    /// Write everyone who gets mail as CSV, or with --json as JSON
    Export {
        /// The file; standard output if none is given
        file: Option<PathBuf>,
        /// Only those of this feed
        #[arg(long)]
        feed: Option<String>,
        /// Only those in this segment
        #[arg(long)]
        segment: Option<String>,
        /// Also who left, never confirmed, paused or is suppressed
        #[arg(long)]
        all: bool,
        /// Also what they agreed to and when, in a column of CSV; JSON always has it
        #[arg(long)]
        consent: bool,
    },
    /// Remove one person with everything that belongs to them
    Erase {
        /// Their address
        address: String,
        /// Keep a keyed hash of the address, so that no mail ever goes there again
        #[arg(long)]
        never_again: bool,
        /// Without asking
        #[arg(long)]
        yes: bool,
    },
    /// Remove whoever asked for mail and never confirmed, and whom [retention] says to keep no longer; serve does it by itself
    Purge {
        /// Only say whom
        #[arg(long)]
        dry_run: bool,
        /// Without asking
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(publication: &Publication, verb: Verb, json: bool) -> anyhow::Result<Ended> {
    match verb {
        Verb::Add { address, name, feeds, time_zone } => {
            add(publication, &address, name.as_deref(), &feeds, time_zone.as_deref(), json).await
        }
        Verb::List { feed, segment } => list(publication, feed.as_deref(), segment.as_deref(), json).await,
        Verb::Show { address } => shown::show(publication, &address, json).await,
        Verb::Set { address, attributes, unset } => {
            attributes::set(publication, &address, &attributes, &unset, json).await
        }
        Verb::Reasons => shown::reasons(publication, json).await,
        Verb::Import { file, feed, overwrite, lists, dry_run } => {
            let how = exchange::How { overwrite, dry_run, lists: &lists };
            exchange::import(publication, &file, feed.as_deref(), how, json).await
        }
        Verb::Export { file, feed, segment, all, consent } => {
            let form = match (json, consent) {
                (true, _) => Form::Json,
                (false, true) => Form::CsvWithConsents,
                (false, false) => Form::Csv,
            };
            let segment = segment.as_deref().map(|name| segments::named(publication, name)).transpose()?;
            exchange::export(publication, file, feed.as_deref(), segment, all, form).await
        }
        Verb::Erase { address, never_again, yes } => {
            farewell::erase(publication, &address, never_again, yes, json).await
        }
        Verb::Purge { dry_run, yes } => farewell::purge(publication, dry_run, yes, json).await,
    }
}

pub(super) fn parsed(address: &str) -> anyhow::Result<EmailAddress> {
    EmailAddress::parse(address)
        .map_err(|fault| Usage(format!("{address:?} is not an address: {fault}\n  hint: {}", fault.hint())).into())
}

/// Reads feeds as given on the command line.
fn named(publication: &Publication, feeds: &[String]) -> anyhow::Result<Vec<(FeedName, Cadence)>> {
    let newsletters: Vec<_> =
        publication.feeds.iter().filter_map(|feed| Some((feed, feed.newsletter.as_ref()?))).collect();
    let only = match newsletters.as_slice() {
        [(feed, newsletter)] => Some((feed.name.clone(), newsletter.default)),
        _ => None,
    };
    feeds_in(publication, &feeds.join(";"), only.as_ref())
        .map_err(|(what, hint)| Usage(format!("{what}\n  hint: {hint}")).into())
}

async fn add(
    publication: &Publication,
    address: &str,
    name: Option<&str>,
    feeds: &[String],
    time_zone: Option<&str>,
    json: bool,
) -> anyhow::Result<Ended> {
    let address = parsed(address)?;
    let feeds = named(publication, feeds)?;
    let time_zone = time_zone
        .map(|zone| {
            zone.parse()
                .map_err(|_| Usage(format!("unknown time zone {zone:?}\n  hint: write a name such as Europe/Lisbon")))
        })
        .transpose()?;
    let now = publication.clock.now();
    let hash = publication.keyring.address_hash(&address.key());
    if publication.store.suppressed(std::slice::from_ref(&hash)).await?.contains(&hash) {
        let problem = Problem::new(
            address.as_str(),
            "this address is suppressed: a relay refused it, or its owner wants no mail",
        );
        output::problems(&[problem]);
        return Ok(Ended::WithFaults);
    }
    let name = name.map(one_line).filter(|name| !name.is_empty());
    let subscriber = Subscriber { id: SubscriberId::new(now), address, name, language: None, time_zone };
    let (people, subscriptions) =
        confirm::subscribe(publication, &subscriber, &feeds, SubscriptionState::Active).await?;
    let meant = provider::probably_meant(&subscriber.address);
    if json {
        output::json(&json!({ "subscribers": people, "subscriptions": subscriptions, "probably_meant": meant }))?;
        return Ok(Ended::Well);
    }
    if let Some(meant) = meant {
        let address = &subscriber.address;
        output::complain(&format!(
            "did you mean {meant}? {address} is taken as it stands\n  hint: {} subscribers erase {address}",
            called_as()
        ));
    }
    for (is_so, what) in [
        (provider::is_role(&subscriber.address), "belongs to a role, not to a person"),
        (publication.config.form.disposable.hold(&subscriber.address), "is at a domain of disposable mailboxes"),
    ] {
        if is_so {
            output::complain(&format!("{} {what}", subscriber.address));
        }
    }
    let feeds: Vec<String> = feeds.iter().map(|(feed, cadence)| format!("{feed} {cadence}")).collect();
    if subscriptions == 0 {
        output::say(&format!("{} has this already; nothing was changed", subscriber.address));
    } else {
        output::say(&format!("{}: {}", subscriber.address, feeds.join(", ")));
    }
    Ok(Ended::Well)
}

fn feed_named(publication: &Publication, feed: Option<&str>) -> anyhow::Result<Option<FeedName>> {
    let Some(feed) = feed else { return Ok(None) };
    Ok(Some(compose::newsletter(publication, feed)?.0.name.clone()))
}

async fn list(
    publication: &Publication,
    feed: Option<&str>,
    segment: Option<&str>,
    as_json: bool,
) -> anyhow::Result<Ended> {
    let feed = feed_named(publication, feed)?;
    let segment = segment.map(|name| segments::named(publication, name)).transpose()?;
    let setting = publication.setting();
    let mut after = None;
    let mut total = 0;
    loop {
        let mut page = publication.store.subscribers(feed.as_ref(), after, 1000).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.subscriber.id);
        let mut ids: Vec<SubscriberId> = page.iter().map(|listed| listed.subscriber.id).collect();
        if let Some(segment) = segment {
            let those = publication.store.those_in(&segment.whom, &setting, &ids).await?;
            page.retain(|listed| those.contains(&listed.subscriber.id));
            ids.retain(|id| those.contains(id));
        }
        total += page.len() as u64;
        let known = if as_json { publication.store.attributes_of(&ids).await? } else { HashMap::new() };
        for listed in &page {
            if as_json {
                output::say(&as_line(listed, known.get(&listed.subscriber.id)).to_string());
            } else {
                output::say(&as_text(listed));
            }
        }
    }
    if !as_json {
        output::complain(&count(total, "subscriber", "subscribers"));
    }
    Ok(Ended::Well)
}

/// One person as one line of JSON.
fn as_line(listed: &Listed, attributes: Option<&Attributes>) -> serde_json::Value {
    let person = &listed.subscriber;
    let subscriptions: Vec<_> = listed
        .subscriptions
        .iter()
        .map(|one| json!({ "feed": one.feed, "cadence": one.cadence, "state": one.state, "cursor": one.cursor }))
        .collect();
    json!({
        "id": person.id,
        "address": person.address,
        "name": person.name,
        "language": person.language,
        "time_zone": person.time_zone.map(chrono_tz::Tz::name),
        "attributes": attributes.cloned().unwrap_or_default(),
        "suppressed": listed.suppressed,
        "subscriptions": subscriptions,
    })
}

fn as_text(listed: &Listed) -> String {
    let subscriptions: Vec<String> = listed
        .subscriptions
        .iter()
        .map(|one| format!("{} {} ({})", one.feed, one.cadence, one.state.as_str()))
        .collect();
    let suppressed = listed.suppressed.as_ref().map(|cause| format!("  suppressed: {cause}")).unwrap_or_default();
    format!("{}  {}{suppressed}", listed.subscriber.address, subscriptions.join(", "))
}
