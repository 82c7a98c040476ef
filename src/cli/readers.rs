//! `tidings readers`.

use serde_json::json;

use super::Ended;
use super::output::{self, grouped};
use crate::problem::{Problem, did_you_mean};
use crate::task::readers::{FeedReads, readers};
use crate::task::{Publication, TaskError};

/// Feeds that are shown without being asked for.
const SHOWN: usize = 40;

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only of this feed, day by day: news, tags/harbour
    feed: Option<String>,
    /// Of this many days, today among them
    #[arg(long, value_name = "NUMBER", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=400))]
    days: u16,
}

pub(super) async fn run(publication: &Publication, arguments: Arguments, json: bool) -> anyhow::Result<Ended> {
    let Arguments { feed, days } = arguments;
    let found = readers(publication, feed.as_deref(), days.into()).await.map_err(TaskError::from)?;
    if let Some(feed) = &feed
        && found.is_empty()
    {
        return Err(unknown(publication, feed, days).await?.into());
    }
    if json {
        output::json(&json!({ "days": days, "feeds": found }))?;
    } else if let (Some(_), [only]) = (&feed, found.as_slice()) {
        one(only);
    } else {
        all(&found, days);
    }
    Ok(Ended::Well)
}

async fn unknown(publication: &Publication, feed: &str, days: u16) -> Result<TaskError, TaskError> {
    let known = readers(publication, None, days.into()).await?;
    let names: Vec<&str> = known.iter().map(|reads| reads.feed.as_str()).collect();
    let hint = match did_you_mean(feed, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("known here: {}", names.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ")),
    };
    Ok(Problem::new(feed, "there is no such feed, or nobody has read it").hint(hint).into())
}

fn number(number: i64) -> String {
    grouped(number.unsigned_abs())
}

fn all(found: &[FeedReads], days: u16) {
    let mut rows = vec![["FEED", "BY MAIL", "BY FEED READER", "BROWSERS", "ROBOTS"].map(str::to_owned).to_vec()];
    for reads in found.iter().take(SHOWN) {
        let most = |of: fn(&crate::task::readers::DayReads) -> i64| reads.days.iter().map(of).max().unwrap_or_default();
        rows.push(vec![
            reads.feed.clone(),
            reads.by_mail.map_or_else(|| "-".to_owned(), number),
            number(reads.by_feed_reader),
            number(most(|day| day.browsers)),
            number(most(|day| day.robots)),
        ]);
    }
    output::table(&rows);
    if found.len() > SHOWN {
        output::say(&format!("… and {} more: --json has them all", grouped((found.len() - SHOWN) as u64)));
    }
    let time = if days == 1 { "today".to_owned() } else { format!("on the best of the last {days} days") };
    output::say(&format!("By mail: now. By feed reader: {time}, as services say and others ask."));
}

fn one(reads: &FeedReads) {
    match reads.by_mail {
        Some(by_mail) => output::say(&format!("{}: {} by mail", reads.feed, number(by_mail))),
        None => output::say(&format!("{}: not by mail", reads.feed)),
    }
    if reads.days.is_empty() {
        output::say("nobody has fetched it in this time");
        return;
    }
    let mut rows =
        vec![["DAY", "BY FEED READER", "SERVICES", "OTHERS", "BROWSERS", "ROBOTS"].map(str::to_owned).to_vec()];
    for day in &reads.days {
        let others: i64 = day.others.values().sum();
        let cells = [day.by_feed_reader, day.by_feed_reader - others, others, day.browsers, day.robots];
        rows.push(std::iter::once(day.day.clone()).chain(cells.map(number)).collect());
    }
    output::table(&rows);
    let Some(day) = reads.days.iter().max_by_key(|day| day.by_feed_reader).filter(|day| !day.services.is_empty())
    else {
        return;
    };
    output::say("");
    let mut rows = vec![["SERVICE", "FORMAT", "READERS"].map(str::to_owned).to_vec()];
    let row = |service: &crate::task::readers::ServiceReads| {
        vec![crate::problem::printable(&service.name), service.format.clone(), number(service.readers)]
    };
    rows.extend(day.services.iter().map(row));
    output::table(&rows);
}
