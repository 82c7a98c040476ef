//! The hour and the day that readers choose, where a newsletter leaves them to its readers.

use chrono::Weekday;

use super::{Publication, TaskError};
use crate::domain::feed::{Feed, FeedName};
use crate::domain::newsletter::{Cadence, Newsletter};
use crate::domain::preference::{Choose, Day, Preferred};
use crate::domain::subscription::SubscriberId;
use crate::template::view::OptionView;
use crate::template::words::{Speech, Value};

const HOURS: std::ops::Range<u32> = 0..24;
const DAYS_OF_MONTH: std::ops::RangeInclusive<u32> = 1..=31;
const WEEK: [Weekday; 7] =
    [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];

/// Whether a choice of this much moves the slots of one of the cadences given.
fn moves(newsletter: &Newsletter, choose: Choose, among: &[Cadence]) -> bool {
    among.iter().filter_map(|cadence| newsletter.cadences.get(cadence)).any(|timing| choose.moves(timing))
}

fn options(
    all: impl Iterator<Item = Preferred>,
    now: Preferred,
    label: impl Fn(Preferred) -> String,
) -> Vec<OptionView> {
    let option = |one: Preferred| OptionView { value: one.to_string(), label: label(one), chosen: one == now };
    std::iter::once(Preferred::default()).chain(all).map(option).collect()
}

/// The hours that a reader of this feed may choose; none where they may not.
pub fn hours(feed: &Feed, preferred: Preferred, speech: &Speech<'_>) -> Vec<OptionView> {
    let hour = Choose { hour: true, day: false };
    let is_left = |newsletter: &Newsletter| newsletter.choose.hour && moves(newsletter, hour, &Cadence::ALL);
    if !feed.newsletter.as_ref().is_some_and(is_left) {
        return vec![];
    }
    let all = HOURS.map(|hour| Preferred { hour: Some(hour), day: None });
    options(all, Preferred { day: None, ..preferred }, |one| match one.hour {
        Some(_) => one.to_string(),
        None => speech.word("prefer_usual", &[]),
    })
}

/// The days that a reader of this feed may choose: of the week, of the month, or both; none where they may not.
pub fn days(feed: &Feed, preferred: Preferred, speech: &Speech<'_>) -> Vec<OptionView> {
    let day = Choose { hour: false, day: true };
    let Some(newsletter) = feed.newsletter.as_ref().filter(|newsletter| newsletter.choose.day) else { return vec![] };
    let mut all: Vec<Day> = vec![];
    if moves(newsletter, day, &[Cadence::Weekly]) {
        all.extend(WEEK.map(Day::Week));
    }
    if moves(newsletter, day, &[Cadence::Monthly]) {
        all.extend(DAYS_OF_MONTH.map(Day::Month));
    }
    if all.is_empty() {
        return vec![];
    }
    let all = all.into_iter().map(|day| Preferred { day: Some(day), hour: None });
    options(all, Preferred { hour: None, ..preferred }, |one| match one.day {
        Some(Day::Week(day)) => speech.weekday(day),
        Some(Day::Month(day)) => {
            speech.word("prefer_day_of_month", &[("day", Value::Text(&speech.number(i64::from(day))))])
        }
        None => speech.word("prefer_usual", &[]),
    })
}

/// Remembers what a reader chose, in the words of [`hours`] and [`days`]: what is not left to them, or is nothing that could
/// be chosen, is as the newsletter has it. Where nothing is left to them, what they chose once stays for when it is again.
///
/// # Errors
/// When the store fails.
pub async fn prefer(
    publication: &Publication,
    who: SubscriberId,
    feed: &FeedName,
    hour: &str,
    day: &str,
) -> Result<(), TaskError> {
    let newsletter = publication.feed(feed).and_then(|feed| feed.newsletter.as_ref());
    let Some(choose) = newsletter.map(|newsletter| newsletter.choose).filter(|choose| *choose != Choose::default())
    else {
        return Ok(());
    };
    let said = |text: &str| Preferred::parse(text).unwrap_or_default();
    let preferred = Preferred { hour: said(hour).hour, day: said(day).day }.within(choose);
    let text = Some(preferred.to_string()).filter(|text| !text.is_empty());
    Ok(publication.store.prefer(who, feed, text.as_deref()).await?)
}
