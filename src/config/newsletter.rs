//! `[newsletter]` in `feeds/*.toml`, and its way to [`Newsletter`].

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{NaiveTime, TimeDelta, Weekday};
use chrono_tz::Tz;
use serde::Deserialize;
use toml::Spanned;

use super::feeds::Reader;
use super::span::{SPAN_HINT, Span};
use super::written::zone_named;
use crate::domain::address::Mailbox;
use crate::domain::brakes::Share;
use crate::domain::cron::CronLine;
use crate::domain::feed::FeedName;
use crate::domain::newsletter::{Cadence, Hold, Newsletter, Rhythm, Timing};
use crate::domain::preference::Choose;
use crate::domain::trial::Trial;

type Text = Option<Spanned<String>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenNewsletter {
    subject: Text,
    #[serde(default)]
    cadences: Cadences,
    default: Text,
    #[serde(default = "one")]
    min_articles: usize,
    template: Text,
    from: Text,
    gather: Text,
    late_after: Text,
    hold: Text,
    #[serde(default)]
    approve: bool,
    life: Text,
    #[serde(default = "yes")]
    archive: bool,
    #[serde(default)]
    welcome: bool,
    #[serde(default)]
    choose: Vec<Spanned<String>>,
    #[serde(default)]
    subjects: Vec<Spanned<String>>,
    test_share: Option<Spanned<f64>>,
    test_for: Text,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cadences {
    instant: Option<Nothing>,
    daily: Option<Spanned<Daily>>,
    weekly: Option<Spanned<Weekly>>,
    monthly: Option<Spanned<Monthly>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Daily {
    at: Text,
    cron: Text,
    zone: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weekly {
    on: Text,
    at: Text,
    cron: Text,
    zone: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Monthly {
    day: Option<Spanned<u32>>,
    at: Text,
    cron: Text,
    zone: Text,
}

impl Reader<'_> {
    fn time(&mut self, at: &Spanned<String>) -> Option<NaiveTime> {
        let time = NaiveTime::parse_from_str(at.get_ref(), "%H:%M").ok();
        if time.is_none() {
            self.complain(
                Some(at),
                format!("not a time of day: {:?}", at.get_ref()),
                "write hours and minutes, such as 07:00",
            );
        }
        time
    }

    /// A key that the cadence `whole` cannot do without.
    fn needed<T, U>(&mut self, value: Option<T>, whole: &Spanned<U>, missing: &str, example: &str) -> Option<T> {
        if value.is_none() {
            let hint = format!("write {example}, or a line of cron = \"0 7 * * mon-fri\"");
            self.complain(Some(whole), format!("{missing} is missing"), &hint);
        }
        value
    }

    fn cron(&mut self, line: &Spanned<String>, beside: bool) -> Option<Rhythm> {
        const HINT: &str = "write minute, hour, day, month and day of the week, such as cron = \"0 7 * * mon-fri\"";
        if beside {
            self.complain(Some(line), "cron stands beside keys that say the same", "write the one or the others");
            return None;
        }
        match CronLine::parse(line.get_ref()) {
            Ok(line) => Some(Rhythm::Cron(line)),
            Err(fault) => {
                self.complain(Some(line), format!("cron {:?}: {fault}", line.get_ref()), HINT);
                None
            }
        }
    }

    fn daily(&mut self, whole: &Spanned<Daily>) -> Option<Timing> {
        let Daily { at, cron, zone } = whole.get_ref();
        let zone = self.zone(zone.as_ref());
        let rhythm = if let Some(line) = cron {
            self.cron(line, at.is_some())
        } else {
            let at = self.needed(at.as_ref(), whole, "at", "at = \"07:00\"");
            at.and_then(|at| self.time(at)).map(Rhythm::Daily)
        };
        Some(Timing { rhythm: rhythm?, zone })
    }

    fn weekly(&mut self, whole: &Spanned<Weekly>) -> Option<Timing> {
        let Weekly { on, at, cron, zone } = whole.get_ref();
        let zone = self.zone(zone.as_ref());
        if let Some(line) = cron {
            return Some(Timing { rhythm: self.cron(line, on.is_some() || at.is_some())?, zone });
        }
        let on = self.needed(on.as_ref(), whole, "on", "on = \"monday\"");
        let at = self.needed(at.as_ref(), whole, "at", "at = \"07:00\"");
        let day = on.and_then(|on| {
            let day = on.get_ref().parse::<Weekday>().ok();
            if day.is_none() {
                let what = format!("not a day of the week: {:?}", on.get_ref());
                self.complain(Some(on), what, "write monday to sunday");
            }
            day
        });
        let time = at.and_then(|at| self.time(at));
        Some(Timing { rhythm: Rhythm::Weekly(day?, time?), zone })
    }

    fn monthly(&mut self, whole: &Spanned<Monthly>) -> Option<Timing> {
        let Monthly { day, at, cron, zone } = whole.get_ref();
        let zone = self.zone(zone.as_ref());
        if let Some(line) = cron {
            return Some(Timing { rhythm: self.cron(line, day.is_some() || at.is_some())?, zone });
        }
        let day = self.needed(day.as_ref(), whole, "day", "day = 1");
        let at = self.needed(at.as_ref(), whole, "at", "at = \"07:00\"");
        if let Some(day) = day.filter(|day| !(1..=31).contains(day.get_ref())) {
            let what = format!("no month has a day {}", day.get_ref());
            self.complain(Some(day), what, "write 1 to 31; a shorter month uses its last day");
        }
        let time = at.and_then(|at| self.time(at));
        Some(Timing { rhythm: Rhythm::Monthly(*day?.get_ref(), time?), zone })
    }

    /// Whose clock; `None` is the reader's own.
    fn zone(&mut self, written: Option<&Spanned<String>>) -> Option<Tz> {
        let written = written.filter(|written| written.get_ref() != "reader")?;
        match zone_named(written.get_ref()) {
            Ok(zone) => Some(zone),
            Err(hint) => {
                let hint = format!("{hint}; \"reader\" is each reader's own");
                // Noted, so there will be no newsletter on the wrong clock.
                self.complain(Some(written), format!("unknown time zone {:?}", written.get_ref()), &hint);
                None
            }
        }
    }

    fn cadences(&mut self, written: &Cadences) -> BTreeMap<Cadence, Timing> {
        let mut cadences = BTreeMap::new();
        if written.instant.is_some() {
            cadences.insert(Cadence::Instant, Timing { rhythm: Rhythm::Instant, zone: None });
        }
        let daily = written.daily.as_ref().and_then(|daily| self.daily(daily));
        let weekly = written.weekly.as_ref().and_then(|weekly| self.weekly(weekly));
        let monthly = written.monthly.as_ref().and_then(|monthly| self.monthly(monthly));
        let timed = [(Cadence::Daily, daily), (Cadence::Weekly, weekly), (Cadence::Monthly, monthly)];
        cadences.extend(timed.into_iter().filter_map(|(cadence, timing)| Some((cadence, timing?))));
        cadences
    }

    fn span(&mut self, written: &Text, key: &str) -> Option<Duration> {
        let written = written.as_ref()?;
        let span: Option<Span> = written.get_ref().parse().ok();
        if span.is_none() {
            self.complain(Some(written), format!("{key} is not understood: {:?}", written.get_ref()), SPAN_HINT);
        }
        span.map(Span::duration)
    }

    fn delta(&mut self, written: &Text, key: &str, default: TimeDelta) -> TimeDelta {
        self.span(written, key).and_then(|span| TimeDelta::from_std(span).ok()).unwrap_or(default)
    }

    /// Subjects to be tried: none, or a few.
    fn subjects(&mut self, written: &[Spanned<String>]) -> Vec<String> {
        if written.len() == 1 || written.len() > Trial::MOST {
            let hint = format!("write {} to {}, or subject = \"…\" for one", Trial::LEAST, Trial::MOST);
            self.complain(written.first(), format!("{} subjects are no trial", written.len()), &hint);
        }
        written.iter().map(|subject| subject.get_ref().clone()).collect()
    }

    /// What is left to readers; there has to be a cadence that it moves.
    fn choose(&mut self, written: &[Spanned<String>], cadences: &BTreeMap<Cadence, Timing>) -> Choose {
        let mut choose = Choose::default();
        for word in written {
            let one = match word.get_ref().as_str() {
                "hour" => Choose { hour: true, day: false },
                "day" => Choose { hour: false, day: true },
                other => {
                    self.complain(
                        Some(word),
                        format!("readers cannot choose {other:?}"),
                        "write hour, or day, or both",
                    );
                    continue;
                }
            };
            if !cadences.is_empty() && !cadences.values().any(|timing| one.moves(timing)) {
                let what = format!("no cadence has a {} that readers could choose", word.get_ref());
                let hint =
                    "a daily, weekly or monthly one with `at`, on the reader's clock, has; day is for the last two";
                self.complain(Some(word), what, hint);
            }
            choose = Choose { hour: choose.hour || one.hour, day: choose.day || one.day };
        }
        choose
    }

    fn test_share(&mut self, written: Option<&Spanned<f64>>) -> Share {
        let Some(written) = written else { return Trial::SHARE };
        let share = *written.get_ref();
        if !(share > 0.0 && share < 1.0) {
            let hint = "write a part of all readers, such as 0.2";
            self.complain(Some(written), format!("test_share is not a part of all readers: {share}"), hint);
            return Trial::SHARE;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 1")]
        Share::millionths((share * 1e6).round() as u32)
    }

    fn hold(&mut self, written: &Text, approve: bool) -> Hold {
        match written.as_ref().map(|written| written.get_ref().trim()) {
            None if approve => Hold::Approval,
            None => Hold::None,
            Some("approval") => Hold::Approval,
            Some(_) if approve => {
                let hint = "leave hold out, or approve: nothing goes out by itself where approve = true";
                self.complain(written.as_ref(), "hold and approve say different things", hint);
                Hold::Approval
            }
            Some(text) => {
                let span = text.parse::<Span>().ok().and_then(|span| TimeDelta::from_std(span.duration()).ok());
                if span.is_none() {
                    let what = format!("hold is not understood: {text:?}");
                    self.complain(written.as_ref(), what, "write a length of time such as 15m, or approval");
                }
                span.map_or(Hold::None, Hold::For)
            }
        }
    }

    fn default_cadence(&mut self, written: Text, cadences: &BTreeMap<Cadence, Timing>) -> Option<Cadence> {
        let Some(word) = written else { return cadences.keys().next().copied() };
        let offered = Cadence::parse(word.get_ref()).filter(|cadence| cadences.contains_key(cadence));
        if offered.is_none() {
            let words: Vec<_> = cadences.keys().map(ToString::to_string).collect();
            let what = format!("the default {:?} is not on offer", word.get_ref());
            self.complain(Some(&word), what, &format!("write one of {}", words.join(", ")));
        }
        offered
    }

    pub(super) fn newsletter(&mut self, written: WrittenNewsletter) -> Option<Newsletter> {
        let faults = self.problems.len();
        let cadences = self.cadences(&written.cadences);
        if cadences.is_empty() && self.problems.len() == faults {
            self.complain::<()>(
                None,
                "the newsletter offers no cadence",
                "write cadences.daily = { at = \"07:00\" } below [newsletter]",
            );
        }
        let default = self.default_cadence(written.default, &cadences);
        let template = written.template.as_ref().map(|template| template.get_ref().clone());
        if let Some(template) = template.as_ref().filter(|template| FeedName::parse(template).is_none()) {
            self.complain(
                written.template.as_ref(),
                format!("{template:?} cannot be a template's name"),
                "write the first part of its file's name, such as digest",
            );
        }
        let from = written.from.and_then(|from| match Mailbox::parse(from.get_ref()) {
            Ok(mailbox) => Some(mailbox),
            Err(fault) => {
                let what = format!("from is not an address: {fault}");
                self.complain(Some(&from), what, "write \"Name <name@example.org>\"");
                None
            }
        });
        let gather = self.delta(&written.gather, "gather", Newsletter::GATHER);
        let late_after = self.delta(&written.late_after, "late_after", Newsletter::LATE_AFTER);
        let hold = self.hold(&written.hold, written.approve);
        let life = self.span(&written.life, "life");
        let choose = self.choose(&written.choose, &cadences);
        let subjects = self.subjects(&written.subjects);
        let test_share = self.test_share(written.test_share.as_ref());
        let test_for = self.delta(&written.test_for, "test_for", Trial::LENGTH);
        Some(Newsletter {
            subject: written
                .subject
                .map_or_else(|| "{{publication.title}}: {{articles.0.title}}".to_owned(), Spanned::into_inner),
            cadences,
            default: default?,
            min_articles: written.min_articles.max(1),
            template,
            from,
            gather,
            late_after,
            hold,
            life,
            archive: written.archive,
            welcome: written.welcome,
            choose,
            subjects,
            test_share,
            test_for,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::feeds::defined as feed;
    use super::*;

    fn newsletter(lines: &str) -> Newsletter {
        feed(&format!("title = \"N\"\n[newsletter]\n{lines}")).unwrap().newsletter.unwrap()
    }

    fn time(hour: u32, minute: u32) -> NaiveTime {
        NaiveTime::from_hms_opt(hour, minute, 0).unwrap()
    }

    #[test]
    fn a_newsletter_has_its_cadences_and_a_default() {
        let newsletter = newsletter(
            "cadences.daily = { at = \"07:00\" }\ncadences.weekly = { on = \"monday\", at = \"18:30\" }\ndefault = \"weekly\"",
        );
        assert_eq!(newsletter.default, Cadence::Weekly);
        assert_eq!(newsletter.cadences[&Cadence::Weekly].rhythm, Rhythm::Weekly(Weekday::Mon, time(18, 30)));
        assert_eq!((newsletter.gather, newsletter.late_after), (TimeDelta::minutes(2), TimeDelta::hours(6)));
        assert_eq!((newsletter.hold, newsletter.life), (Hold::None, None));
    }

    #[test]
    fn times_and_zones_of_a_newsletter_are_its_own() {
        let newsletter = newsletter(
            "cadences.instant = {}\ncadences.daily = { cron = \"0 7 * * mon-fri\", zone = \"Europe/Lisbon\" }\n\
             cadences.weekly = { on = \"monday\", at = \"07:00\", zone = \"reader\" }\n\
             gather = \"5m\"\nlate_after = \"2h\"\nhold = \"15m\"\nlife = \"2d\"",
        );
        let daily = &newsletter.cadences[&Cadence::Daily];
        assert_eq!(daily.rhythm, Rhythm::Cron(CronLine::parse("0 7 * * mon-fri").unwrap()));
        assert_eq!(daily.zone, Some(chrono_tz::Europe::Lisbon));
        assert_eq!(newsletter.cadences[&Cadence::Weekly].zone, None);
        assert_eq!((newsletter.gather, newsletter.late_after), (TimeDelta::minutes(5), TimeDelta::hours(2)));
        assert_eq!(newsletter.hold, Hold::For(TimeDelta::minutes(15)));
        assert_eq!(newsletter.life, Some(Duration::from_hours(48)));
        for yes in ["hold = \"approval\"", "approve = true"] {
            assert_eq!(self::newsletter(&format!("cadences.instant = {{}}\n{yes}")).hold, Hold::Approval);
        }
    }

    #[test]
    fn what_readers_choose_is_theirs_only_where_a_cadence_has_it() {
        let daily = "cadences.daily = { at = \"07:00\" }";
        let weekly = "cadences.weekly = { on = \"monday\", at = \"07:00\" }";
        assert_eq!(newsletter(daily).choose, Choose::default());
        let both = newsletter(&format!("{daily}\n{weekly}\nchoose = [\"hour\", \"day\"]")).choose;
        assert_eq!(both, Choose { hour: true, day: true });
        let cron = "cadences.daily = { cron = \"0 7 * * mon-fri\" }";
        for (cadences, choose) in [(daily, "day"), (cron, "hour"), (weekly, "minute")] {
            let faults =
                feed(&format!("title = \"N\"\n[newsletter]\n{cadences}\nchoose = [\"{choose}\"]")).unwrap_err();
            assert_eq!(faults.len(), 1, "{faults:#?}");
            assert!(faults[0].starts_with("feeds/news.toml:4: "), "{faults:?}");
        }
    }

    #[test]
    fn faults_name_the_line_and_the_remedy() {
        let faults = feed(
            "title = \"N\"\nlimit = 0\n[newsletter]\ncadences.daily = { at = \"7 o'clock\" }\n\
             cadences.weekly = { on = \"mnday\", at = \"07:00\" }\ndefault = \"monthly\"\ngather = \"soon\"\n\
             hold = \"a while\"\nlife = \"0s\"",
        )
        .unwrap_err();
        let lines: Vec<_> = faults.iter().map(|fault| fault.split(':').nth(1).unwrap_or_default().to_owned()).collect();
        assert_eq!(lines, ["2", "4", "5", "6", "7", "8", "9"], "{faults:#?}");
    }

    #[test]
    fn a_cron_line_that_never_comes_due_and_an_unknown_zone_are_named() {
        let fault = |keys: &str| {
            let faults = feed(&format!("title = \"N\"\n\n[newsletter]\ncadences.daily = {{ {keys} }}")).unwrap_err();
            assert_eq!(faults.len(), 1, "{faults:#?}");
            faults[0].clone()
        };
        let cron_hint = "hint: write minute, hour, day, month and day of the week, such as cron = \"0 7 * * mon-fri\"";
        assert_eq!(
            fault("cron = \"0 0 30 2 *\""),
            format!("feeds/news.toml:4: cron \"0 0 30 2 *\": no such day ever comes\n  {cron_hint}")
        );
        assert!(fault("cron = \"7 o'clock\"").starts_with("feeds/news.toml:4: cron \"7 o'clock\""));
        assert!(fault("cron = \"0 7 * * *\", at = \"07:00\"").contains("cron stands beside"));
        assert!(fault("zone = \"reader\"").contains("at is missing"));
        let zone = fault("at = \"07:00\", zone = \"Europe/Lisbn\"");
        assert!(
            zone.starts_with("feeds/news.toml:4: unknown time zone \"Europe/Lisbn\"")
                && zone.contains("did you mean Europe/Lisbon?"),
            "{zone}"
        );
        let faults =
            feed("title = \"N\"\n[newsletter]\ncadences.instant = {}\napprove = true\nhold = \"15m\"").unwrap_err();
        assert!(faults[0].starts_with("feeds/news.toml:5: hold and approve"), "{faults:?}");
    }
}
