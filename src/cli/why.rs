//! `tidings why`.

use chrono::{DateTime, Utc};

use super::output;
use super::{Ended, Usage, digest};
use crate::domain::address::EmailAddress;
use crate::domain::delivery::Attempt;
use crate::domain::newsletter::Cadence;
use crate::problem::printable;
use crate::task::Publication;
use crate::task::why::{Account, why};

pub(super) async fn run(
    publication: &Publication,
    address: &str,
    digest: Option<&str>,
    json: bool,
) -> anyhow::Result<Ended> {
    let address = EmailAddress::parse(address)
        .map_err(|fault| Usage(format!("{address:?} is not an address: {fault}\n  hint: {}", fault.hint())))?;
    let digest = match digest {
        Some(id) => Some(digest::found(publication, id).await?),
        None => None,
    };
    let account = why(publication, &address, digest.as_ref()).await?;
    if json {
        output::json(&account)?;
    } else {
        tell(publication, &account);
    }
    Ok(Ended::Well)
}

fn tell(publication: &Publication, account: &Account) {
    let zone = account.zone.parse().unwrap_or(publication.config.publication.time_zone);
    let when = |at: DateTime<Utc>| at.with_timezone(&zone).format("%-d %B %Y %H:%M").to_string();
    output::say(&format!("{} ({})", account.address, account.zone));
    for reason in &account.reasons {
        output::say(&format!("  {}", printable(reason)));
    }
    for expected in &account.newsletters {
        output::say(&format!("{}:", expected.newsletter));
        for reason in &expected.reasons {
            output::say(&format!("  {}", printable(reason)));
        }
        for slug in expected.waiting.iter().take(12) {
            output::say(&format!("    {slug}"));
        }
        if expected.waiting.len() > 12 {
            output::say(&format!("    … and {} more", expected.waiting.len() - 12));
        }
    }
    for told in &account.digests {
        let key = &told.digest.key;
        let cadence = key.cadence.map_or("every", Cadence::as_str);
        output::say(&format!("digest {}: {} {cadence}, {}", told.digest.id, key.newsletter, when(key.slot)));
        for reason in &told.reasons {
            output::say(&format!("  {}", printable(reason)));
        }
        for attempt in &told.attempts {
            output::say(&format!("    {}: {}", when(attempt.at), printable(&describe(attempt))));
        }
    }
}

fn describe(attempt: &Attempt) -> String {
    let Attempt { relay, verdict, stage, code, enhanced, text, ms, .. } = attempt;
    let stage = stage.as_ref().map(|stage| format!(" at {stage}")).unwrap_or_default();
    let code = code.map(|code| format!(" {code}")).unwrap_or_default();
    let enhanced = enhanced.as_ref().map(|enhanced| format!(" {enhanced}")).unwrap_or_default();
    let text = if text.is_empty() { String::new() } else { format!(" {text}") };
    format!("{relay}, {verdict}{stage}:{code}{enhanced}{text} ({ms} ms)")
}
