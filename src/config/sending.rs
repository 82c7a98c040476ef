//! Pace, retries and warm-up as they are written.

use std::time::Duration;

use chrono::NaiveDate;
use serde::Deserialize;

use super::span::{SPAN_HINT, Span};
use super::written::{Number, Reader, Text};
use crate::domain::delivery::RetryPolicy;
use crate::domain::pace::{DomainPace, Rate, WarmUp};

/// How long a sending process may show no sign of life until others take over: longer than any pause of a healthy one.
pub(super) const TAKE_OVER_AFTER: Duration = Duration::from_mins(1);
/// Messages over one connection: some relays refuse more.
pub(super) const MESSAGES_PER_CONNECTION: u32 = 500;
/// Beyond this depth nothing is gained, and all of it is in doubt after a crash.
pub(super) const DEPTH_MAX: usize = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenPace {
    domains: Vec<String>,
    connections: Option<Number<usize>>,
    rate: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenWarmUp {
    start: Number<u64>,
    since: Day,
    growth: Option<Number<f64>>,
}

/// A day, with or without quotation marks.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Day {
    Date(toml::value::Datetime),
    Text(String),
}

impl Reader<'_> {
    pub(super) fn span(&mut self, text: Text, key: &str) -> Option<Duration> {
        self.parsed(text, key, SPAN_HINT).map(Span::duration)
    }

    pub(super) fn rate(&mut self, text: Text, key: &str) -> Option<Rate> {
        self.parsed(text, key, "write messages per second, minute, hour or day, such as 20/s or 50000/h")
    }

    pub(super) fn retry(&mut self, first: Text, cap: Text, life: Text) -> RetryPolicy {
        let usual = RetryPolicy::default();
        let first = self.span(first, "mail.retry_first").unwrap_or(usual.first);
        let cap = self.span(cap, "mail.retry_cap").unwrap_or(usual.cap);
        RetryPolicy { first, cap: cap.max(first * 2), life: self.span(life, "mail.life").unwrap_or(usual.life) }
    }

    pub(super) fn warm_up(&mut self, written: &WrittenWarmUp) -> Option<WarmUp> {
        let since = match &written.since {
            Day::Date(date) => date.to_string(),
            Day::Text(text) => text.clone(),
        };
        let Ok(since) = since.parse::<NaiveDate>() else {
            self.complain(None, format!("relay.warm_up.since is not a day: {since:?}"), "write 2026-11-24");
            return None;
        };
        let growth = written.growth.as_ref().map_or(WarmUp::GROWTH, |growth| growth.0);
        if !(1.0..=10.0).contains(&growth) || written.start.0 == 0 {
            self.complain(
                None,
                "relay.warm_up does not add up".into(),
                "write a start of 1 or more and a growth from 1.0 to 10.0, such as { start = 200, since = 2026-11-24 }",
            );
            return None;
        }
        Some(WarmUp { start: written.start.0, since, growth })
    }

    pub(super) fn pace(&mut self, written: WrittenPace) -> Option<DomainPace> {
        let rate = self.rate(written.rate, "pace.rate");
        let connections = written.connections.map(|number| number.0.max(1));
        if written.domains.is_empty() || (rate.is_none() && connections.is_none()) {
            self.complain(
                None,
                "[[pace]] sets no pace for any domain".into(),
                "write domains = [\"example.org\"] with connections = 4 or rate = \"60/m\"",
            );
            return None;
        }
        let domains = written.domains.iter().map(|domain| domain.trim().to_lowercase()).collect();
        Some(DomainPace { domains, connections, rate })
    }
}
