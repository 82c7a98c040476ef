//! `tidings digest pause`, `resume`, `approve`, `cancel` and `reschedule`: each says what it is about to do, and said
//! twice it is done once.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::json;

use super::digest::{agreed, found, go_on, when};
use super::output::{count, grouped};
use super::{Ended, Usage, called_as, output};
use crate::domain::digest::{Digest, DigestState, Tally};
use crate::domain::newsletter::on_the_clock;
use crate::task::Publication;

/// A digest that an editor turns to.
struct Turned {
    digest: Digest,
    tally: Tally,
    /// What to call it.
    name: String,
}

impl Turned {
    async fn to(publication: &Publication, id: &str) -> anyhow::Result<Self> {
        let digest = found(publication, id).await?;
        let tally = publication.store.tally(digest.id).await?;
        let name = format!("{} of {}", digest.key.newsletter, when(publication, &digest));
        Ok(Self { digest, tally, name })
    }

    /// How many have it and how many wait, with what will become of them.
    fn announce(&self, will: &str) {
        let waiting = count(self.tally.open(), "reader waits", "readers wait");
        let of = grouped(self.tally.total());
        output::complain(&format!("{}: {}", self.name, self.digest.state));
        output::complain(&format!("  {} of {of} sent, {waiting}: {will}", grouped(self.tally.sent)));
    }

    /// How it ended, in words or as JSON.
    fn conclude(&self, state: &DigestState, is_done: bool, json: bool) -> anyhow::Result<()> {
        if json {
            let (word, why) = state.parts();
            return output::json(&json!({
                "digest": self.digest.id, "state": word, "why": why, "changed": is_done, "deliveries": self.tally,
            }));
        }
        let already = if is_done { "" } else { "; nothing was changed" };
        output::say(&format!("{}: {state}{already}", self.name));
        Ok(())
    }
}

/// Stops sending for a while.
pub(super) async fn pause(publication: &Publication, id: &str, yes: bool, json: bool) -> anyhow::Result<Ended> {
    let turned = Turned::to(publication, id).await?;
    match turned.digest.state {
        DigestState::Sending => {}
        DigestState::Paused => {
            turned.conclude(&DigestState::Paused, false, json)?;
            return Ok(Ended::Well);
        }
        ref other => {
            output::complain(&format!("{}: {other}; only one that is being sent can be paused", turned.name));
            return Ok(Ended::WithFaults);
        }
    }
    turned.announce("they go on waiting until it is resumed");
    if !yes && !agreed("Pause it?")? {
        output::complain("nothing was changed");
        return Ok(Ended::Well);
    }
    moved(publication, &turned, "sending", &DigestState::Paused, json).await
}

/// What an editor says to a digest that does not go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    /// Go on, whatever it waits for.
    On,
    /// Yes, to one that is held.
    Approved,
}

/// Lets a digest go on, and sends it.
pub(super) async fn resume(
    publication: &Publication,
    id: &str,
    go: Go,
    yes: bool,
    json: bool,
) -> anyhow::Result<Ended> {
    let turned = Turned::to(publication, id).await?;
    let from = match (&turned.digest.state, go) {
        (DigestState::Held { .. }, _) => "held",
        (DigestState::Paused, Go::On) => "paused",
        (DigestState::Halted { .. }, Go::On) => "halted",
        (DigestState::Sending, _) => {
            turned.conclude(&DigestState::Sending, false, json)?;
            return if json { Ok(Ended::Well) } else { go_on(publication).await };
        }
        (DigestState::Sent, _) => {
            turned.conclude(&DigestState::Sent, false, json)?;
            return Ok(Ended::Well);
        }
        (other, Go::Approved) => {
            let hint = if *other == DigestState::Cancelled { "" } else { "; `digest resume` lets it go on" };
            output::complain(&format!("{}: {other}; only one that is held can be approved{hint}", turned.name));
            return Ok(Ended::WithFaults);
        }
        (other, Go::On) => {
            output::complain(&format!("{}: {other}; it cannot be resumed", turned.name));
            return Ok(Ended::WithFaults);
        }
    };
    turned.announce("they get it now");
    let question = if go == Go::Approved { "Let it go out?" } else { "Go on?" };
    if !yes && !agreed(question)? {
        output::complain("nothing was changed");
        return Ok(Ended::Well);
    }
    let ended = moved(publication, &turned, from, &DigestState::Sending, json).await?;
    // With JSON the answer is one value; `serve` or `worker` sends.
    if json || ended != Ended::Well { Ok(ended) } else { go_on(publication).await }
}

/// Ends a digest.
pub(super) async fn cancel(publication: &Publication, id: &str, yes: bool, json: bool) -> anyhow::Result<Ended> {
    let turned = Turned::to(publication, id).await?;
    match turned.digest.state {
        DigestState::Cancelled => {
            turned.conclude(&DigestState::Cancelled, false, json)?;
            return Ok(Ended::Well);
        }
        DigestState::Sent => {
            output::complain(&format!("{}: sent; only one that is still to be sent can be cancelled", turned.name));
            return Ok(Ended::WithFaults);
        }
        _ => {}
    }
    turned.announce("they will not get it, and find its articles in their next digest");
    if !yes && !agreed("Cancel it?")? {
        output::complain("nothing was changed");
        return Ok(Ended::Well);
    }
    let digest = turned.digest.id;
    let Some(left_out) = publication.store.cancel_digest(digest, publication.clock.now()).await? else {
        let now = found(publication, &digest.to_string()).await?;
        output::complain(&format!("{}: {} meanwhile; nothing was changed", turned.name, now.state));
        return Ok(Ended::WithFaults);
    };
    let overtaken = publication.store.overtaken(digest).await?;
    if json {
        output::json(&json!({
            "digest": digest, "state": "cancelled", "changed": true, "cancelled": left_out, "overtaken": overtaken,
        }))?;
    } else {
        let readers = count(left_out, "reader", "readers");
        output::say(&format!("cancelled; {readers} will not get it, and find its articles in their next digest"));
        if overtaken > 0 {
            let readers = count(overtaken, "reader was", "readers were");
            output::say(&format!("{readers} given a later digest before, and will not get these articles"));
        }
    }
    Ok(Ended::Well)
}

async fn moved(
    publication: &Publication,
    turned: &Turned,
    from: &str,
    to: &DigestState,
    json: bool,
) -> anyhow::Result<Ended> {
    if publication.store.move_digest(turned.digest.id, from, to).await? {
        turned.conclude(to, true, json)?;
        return Ok(Ended::Well);
    }
    let now = found(publication, &turned.digest.id.to_string()).await?;
    if now.state == *to {
        turned.conclude(to, false, json)?;
        return Ok(Ended::Well);
    }
    output::complain(&format!("{}: {} meanwhile; nothing was changed", turned.name, now.state));
    Ok(Ended::WithFaults)
}

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
