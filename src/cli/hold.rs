//! `tidings digest reschedule`.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::json;

use super::digest::{agreed, found, when};
use super::{Ended, Usage, called_as, output};
use crate::domain::digest::DigestState;
use crate::domain::newsletter::on_the_clock;
use crate::task::Publication;

pub(super) async fn reschedule(
    publication: &Publication,
    id: &str,
    time: &str,
    yes: bool,
    json: bool,
) -> anyhow::Result<Ended> {
    let digest = found(publication, id).await?;
    let until = instant(publication, time)?;
    if until <= publication.clock.now() {
        let hint = format!("{} digest resume {} sends it now", called_as(), digest.id);
        return Err(Usage(format!("{time:?} has passed\n  hint: {hint}")).into());
    }
    let zone = publication.config.publication.time_zone;
    let shown = until.with_timezone(&zone).format("%-d %B %Y %H:%M %Z");
    let name = format!("{} of {}", digest.key.newsletter, when(publication, &digest));
    if !matches!(digest.state, DigestState::Held { .. }) {
        output::complain(&format!("{name}: {}; only one that is held can wait for another time", digest.state));
        return Ok(Ended::WithFaults);
    }
    let is_so_already = digest.state.held_until() == Some(until);
    if !is_so_already {
        output::complain(&format!("{name}: {}; it would go out by itself on {shown}", digest.state));
        if !yes && !agreed("Let it?")? {
            output::complain("nothing was changed");
            return Ok(Ended::Well);
        }
        let to = DigestState::Held { why: "rescheduled by an editor".into(), until: Some(until) };
        if !publication.store.move_digest(digest.id, "held", &to).await? {
            output::complain("it is not held any more; nothing was changed");
            return Ok(Ended::WithFaults);
        }
    }
    if json {
        output::json(&json!({ "digest": digest.id, "held_until": until, "changed": !is_so_already }))?;
    } else {
        output::say(&format!("{name} goes out by itself on {shown}"));
    }
    Ok(Ended::Well)
}

/// A time with an offset, or one on the publication's clock.
fn instant(publication: &Publication, time: &str) -> anyhow::Result<DateTime<Utc>> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(time) {
        return Ok(instant.to_utc());
    }
    let formats = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"];
    let local = formats.into_iter().find_map(|format| NaiveDateTime::parse_from_str(time, format).ok());
    let Some(local) = local else {
        let hint = "write 2026-11-26 07:00, or 2026-11-26T07:00:00+01:00";
        return Err(Usage(format!("{time:?} is not a time\n  hint: {hint}")).into());
    };
    Ok(on_the_clock(publication.config.publication.time_zone, local.date(), local.time()))
}
