//! How often, in words: "Weekly, Monday 07:00".

use crate::domain::cron::CronLine;
use crate::domain::feed::Feed;
use crate::domain::newsletter::{Cadence, Rhythm, Timing};
use crate::template::view::CadenceView;
use crate::template::words::Speech;
use crate::template::words::Value::{Number, Text};

/// The cadences of a feed, with the one that a reader has chosen.
pub(super) fn cadences(speech: &Speech<'_>, feed: &Feed, chosen: Option<Cadence>) -> Vec<CadenceView> {
    let Some(newsletter) = &feed.newsletter else { return vec![] };
    let chosen = chosen.filter(|chosen| newsletter.cadences.contains_key(chosen)).unwrap_or(newsletter.default);
    let view = |(cadence, timing): (&Cadence, &Timing)| CadenceView {
        value: cadence.as_str(),
        label: label(speech, *cadence, timing),
        default: *cadence == newsletter.default,
        chosen: *cadence == chosen,
    };
    newsletter.cadences.iter().map(view).collect()
}

fn word_for(cadence: Cadence) -> &'static str {
    match cadence {
        Cadence::Instant => "cadence_instant",
        Cadence::Daily => "cadence_daily",
        Cadence::Weekly => "cadence_weekly",
        Cadence::Monthly => "cadence_monthly",
    }
}

fn label(speech: &Speech<'_>, cadence: Cadence, timing: &Timing) -> String {
    let label = match &timing.rhythm {
        Rhythm::Instant => return speech.word("cadence_instant", &[]),
        Rhythm::Daily(at) => speech.word("often_daily", &[("time", Text(&speech.clock(*at)))]),
        Rhythm::Weekly(day, at) => {
            let values = [("day", Text(&speech.weekday(*day))), ("time", Text(&speech.clock(*at)))];
            speech.word("often_weekly", &values)
        }
        Rhythm::Monthly(day, at) => {
            let values = [("day", Number(i64::from(*day))), ("time", Text(&speech.clock(*at)))];
            speech.word("often_monthly", &values)
        }
        Rhythm::Cron(line) => cron(speech, cadence, line),
    };
    match timing.zone {
        None => label,
        Some(zone) => speech.word("often_zone", &[("often", Text(&label)), ("zone", Text(zone.name()))]),
    }
}

fn cron(speech: &Speech<'_>, cadence: Cadence, line: &CronLine) -> String {
    let cadence = speech.word(word_for(cadence), &[]);
    if speech.is_english() {
        return speech.word("often_times", &[("cadence", Text(&cadence)), ("times", Text(&line.describe()))]);
    }
    // Only English has a description of every line there can be.
    let Some((days, times)) = line.in_week() else { return cadence };
    let times: Vec<String> = times.into_iter().map(|at| speech.clock(at)).collect();
    let times = speech.names(&times).unwrap_or_default();
    let names: Vec<String> = days.iter().map(|day| speech.weekday(*day)).collect();
    match speech.names(&names).filter(|_| days.len() < 7) {
        Some(days) => {
            let values = [("cadence", Text(&cadence)), ("days", Text(&days)), ("times", Text(&times))];
            speech.word("often_days", &values)
        }
        None => speech.word("often_times", &[("cadence", Text(&cadence)), ("times", Text(&times))]),
    }
}
