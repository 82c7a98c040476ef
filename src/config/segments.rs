//! `segments/*.toml`: one selection of subscribers each, and its way to [`Segment`].

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeZone as _, Utc};
use serde::Deserialize;
use toml::{Spanned, Value};

use super::span::Span;
use super::written::{line_at, toml_problem, zone_named};
use super::{Config, Publication};
use crate::domain::feed::{AnyOf, Feed};
use crate::domain::newsletter::Cadence;
use crate::domain::segment::{Between, Moment, Segment, SegmentName, Test, Whom, Within, Words};
use crate::domain::subscription::SubscriptionState;
use crate::domain::text::one_line;
use crate::problem::{Problem, did_you_mean};

/// So many conditions a segment may have: enough for any that was written by hand, and a statement that engines take.
const MAX_CONDITIONS: usize = 200;
/// So deep they may stand within one another.
const MAX_DEPTH: usize = 16;

const WHEN_HINT: &str = "write a date such as 2026-01-31, or how long ago: \"30d ago\"";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    title: Option<Spanned<String>>,
    select: Option<Spanned<WrittenSelect>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenSelect {
    feed: Option<Spanned<AnyOf>>,
    cadence: Option<Spanned<AnyOf>>,
    state: Option<Spanned<AnyOf>>,
    confirmed: Option<WrittenWhen>,
    language: Option<AnyOf>,
    time_zone: Option<Spanned<AnyOf>>,
    attribute: BTreeMap<String, Spanned<Value>>,
    joined: Option<WrittenWhen>,
    delivered: Option<WrittenWhen>,
    never_delivered: Option<bool>,
    bounces: Option<WrittenBetween>,
    complaints: Option<WrittenBetween>,
    suppressed: Option<bool>,
    any: Vec<WrittenSelect>,
    all: Vec<WrittenSelect>,
    not: Option<Box<WrittenSelect>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenWhen {
    after: Option<Spanned<Value>>,
    before: Option<Spanned<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenBetween {
    above: Option<f64>,
    below: Option<f64>,
}

/// Reads every segment, by name; without the folder there is none. One with a fault is left out and named.
pub fn load(config: &Config, feeds: &[Feed]) -> (Vec<Segment>, Vec<Problem>) {
    let (mut segments, mut problems) = (vec![], vec![]);
    let listing = match std::fs::read_dir(&config.segments) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (segments, problems),
        Err(error) => {
            problems.push(Problem::new(config.name_of(&config.segments), format!("cannot be read: {error}")));
            return (segments, problems);
        }
    };
    let mut paths: Vec<_> = listing.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        match read(path, &config.name_of(path), &config.publication, feeds) {
            Ok(segment) => segments.push(segment),
            Err(faults) => problems.extend(faults),
        }
    }
    (segments, problems)
}

fn read(path: &Path, file: &str, publication: &Publication, feeds: &[Feed]) -> Result<Segment, Vec<Problem>> {
    let text =
        std::fs::read_to_string(path).map_err(|error| vec![Problem::new(file, format!("cannot be read: {error}"))])?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = SegmentName::parse(&stem).ok_or_else(|| {
        vec![
            Problem::new(file, format!("{stem:?} cannot be a segment's name"))
                .hint("name the file with lower-case letters, digits and hyphens, such as lisbon.toml"),
        ]
    })?;
    let written: Written = toml::from_str(&text).map_err(|error| vec![toml_problem(file, &text, &error)])?;
    let mut reader = Reader { file, text: &text, publication, feeds, conditions: 0, problems: vec![] };
    let title = written.title.as_ref().map(|title| one_line(title.get_ref())).unwrap_or_default();
    if title.is_empty() {
        reader.complain(written.title.as_ref().map(Spanned::span), "a segment needs a title", "write title = \"…\"");
    }
    let Some(select) = written.select else {
        let hint = "write [select], and below it what its people have in common, such as feed = \"news\"";
        reader.complain(None, "a segment needs a selection", hint);
        return Err(reader.problems);
    };
    let span = select.span();
    let whom = reader.whom(select.into_inner(), 1);
    if reader.conditions > MAX_CONDITIONS {
        let what = format!("a segment has {MAX_CONDITIONS} conditions at most");
        reader.complain(Some(span.clone()), what, "write the words of one condition as a list");
    }
    if whom == Whom::EVERYONE {
        let hint = "write what its people have in common, such as feed = \"news\"; without --segment everyone is meant";
        reader.complain(Some(span), "the selection is empty", hint);
    }
    if reader.problems.is_empty() { Ok(Segment { name, title, whom }) } else { Err(reader.problems) }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    publication: &'a Publication,
    feeds: &'a [Feed],
    conditions: usize,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn complain(&mut self, at: Option<std::ops::Range<usize>>, what: impl Into<String>, hint: impl Into<String>) {
        let mut problem = Problem::new(self.file, what).hint(hint);
        problem.line = at.map(|at| line_at(self.text, at.start));
        self.problems.push(problem);
    }

    fn whom(&mut self, written: WrittenSelect, depth: usize) -> Whom {
        if depth > MAX_DEPTH {
            let what = format!("conditions stand more than {MAX_DEPTH} deep within one another");
            self.complain(None, what, "write them side by side");
            return Whom::EVERYONE;
        }
        let mut all: Vec<Whom> = vec![];
        all.extend(self.taken(
            written.feed.as_ref(),
            written.cadence.as_ref(),
            written.state.as_ref(),
            written.confirmed,
        ));
        all.extend(written.language.map(|language| Whom::Speaks(Words::new(language.words()))));
        all.extend(written.time_zone.map(|zones| Whom::Lives(self.zones(&zones))));
        for (name, value) in written.attribute {
            let tests = self.tests(&name, &value);
            all.extend(tests.into_iter().map(|test| Whom::Has(one_line(&name), test)));
        }
        all.extend(written.joined.map(|when| Whom::Joined(self.within(when))));
        all.extend(written.delivered.map(|when| Whom::Delivered(self.within(when))));
        let never = |is_so| if is_so { Whom::NeverDelivered } else { Whom::Not(Box::new(Whom::NeverDelivered)) };
        all.extend(written.never_delivered.map(never));
        let between = |written: WrittenBetween| Between { above: written.above, below: written.below };
        all.extend(written.bounces.map(|number| Whom::Bounces(between(number))));
        all.extend(written.complaints.map(|number| Whom::Complaints(between(number))));
        all.extend(written.suppressed.map(Whom::Suppressed));
        self.conditions += all.len();
        if !written.any.is_empty() {
            all.push(Whom::Any(written.any.into_iter().map(|select| self.whom(select, depth + 1)).collect()));
        }
        all.extend(written.all.into_iter().map(|select| self.whom(select, depth + 1)).collect::<Vec<_>>());
        all.extend(written.not.map(|select| Whom::Not(Box::new(self.whom(*select, depth + 1)))));
        if all.len() == 1 { all.remove(0) } else { Whom::All(all) }
    }

    /// What is asked of one subscription. Who is asked for by feed or cadence gets it: the state is active, if none is given.
    fn taken(
        &mut self,
        feed: Option<&Spanned<AnyOf>>,
        cadence: Option<&Spanned<AnyOf>>,
        state: Option<&Spanned<AnyOf>>,
        confirmed: Option<WrittenWhen>,
    ) -> Option<Whom> {
        if feed.is_none() && cadence.is_none() && state.is_none() && confirmed.is_none() {
            return None;
        }
        let known: Vec<&str> =
            self.feeds.iter().filter(|feed| feed.newsletter.is_some()).map(|feed| feed.name.as_str()).collect();
        let by_name =
            |word: &str| self.feeds.iter().find(|feed| feed.name.as_str() == word && feed.newsletter.is_some());
        let find = |word: &str| by_name(word).map(|feed| feed.name.clone());
        let (mut feeds, mut wrong) = (vec![], vec![]);
        for word in feed.iter().flat_map(|feed| feed.get_ref().words()) {
            match find(word) {
                Some(name) => feeds.push(name),
                None => wrong.push(word.clone()),
            }
        }
        for word in wrong {
            let hint = did_you_mean(&word, known.iter().copied())
                .map_or_else(|| format!("known here: {}", known.join(", ")), |meant| format!("did you mean {meant}?"));
            self.complain(feed.map(Spanned::span), format!("there is no newsletter {word:?}"), hint);
        }
        let cadences = self.parsed(cadence, "cadence", Cadence::parse, &Cadence::ALL.map(Cadence::as_str));
        let mut states =
            self.parsed(state, "state", SubscriptionState::parse, &["active", "paused", "pending", "ended"]);
        if state.is_none() {
            states.push(SubscriptionState::Active);
        }
        let confirmed = confirmed.map(|when| self.within(when)).unwrap_or_default();
        Some(Whom::Takes { feeds, cadences, states, confirmed })
    }

    fn parsed<T>(
        &mut self,
        written: Option<&Spanned<AnyOf>>,
        key: &str,
        parse: impl Fn(&str) -> Option<T>,
        known: &[&str],
    ) -> Vec<T> {
        let mut found = vec![];
        for word in written.iter().flat_map(|written| written.get_ref().words()) {
            if let Some(value) = parse(word) {
                found.push(value);
            } else {
                let what = format!("{key} is not understood: {word:?}");
                self.complain(written.map(Spanned::span), what, format!("write {}", known.join(", ")));
            }
        }
        if found.is_empty() && written.is_some_and(|written| written.get_ref().words().is_empty()) {
            self.complain(written.map(Spanned::span), format!("{key} is an empty list"), "write at least one word");
        }
        found
    }

    fn zones(&mut self, written: &Spanned<AnyOf>) -> Vec<chrono_tz::Tz> {
        let mut zones = vec![];
        for name in written.get_ref().words() {
            match zone_named(name) {
                Ok(zone) => zones.push(zone),
                Err(hint) => self.complain(Some(written.span()), format!("unknown time zone {name:?}"), hint),
            }
        }
        zones
    }

    fn within(&mut self, written: WrittenWhen) -> Within {
        let within = Within { after: self.moment(written.after), before: self.moment(written.before) };
        if within.is_always() && self.problems.is_empty() {
            self.complain(None, "a date is asked for, and none is given", "write after = 2026-01-31, or before");
        }
        within
    }

    fn moment(&mut self, written: Option<Spanned<Value>>) -> Option<Moment> {
        let written = written?;
        let found = match written.get_ref() {
            Value::Datetime(at) => self.instant(&at.to_string()).map(Moment::At),
            Value::String(text) => match text.trim().strip_suffix("ago") {
                Some(span) => span.parse::<Span>().ok().map(|span| Moment::Ago(span.delta())),
                None => self.instant(text.trim()).map(Moment::At),
            },
            _ => None,
        };
        if found.is_none() {
            self.complain(Some(written.span()), format!("not a date: {}", written.get_ref()), WHEN_HINT);
        }
        found
    }

    /// A day begins on the publication's clock; so does a time without an offset.
    fn instant(&self, text: &str) -> Option<DateTime<Utc>> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Some(at.to_utc());
        }
        let local = text.parse().or_else(|_| text.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN))).ok()?;
        let zone = self.publication.time_zone;
        // A day that begins in a gap begins at its end.
        let after_gap = || zone.from_local_datetime(&(local + chrono::TimeDelta::hours(1))).earliest();
        zone.from_local_datetime(&local).earliest().or_else(after_gap).map(|at| at.to_utc())
    }

    fn tests(&mut self, name: &str, written: &Spanned<Value>) -> Vec<Test> {
        const KEYS: [&str; 4] = ["is", "above", "below", "set"];
        let span = || Some(written.span());
        let Value::Table(table) = written.get_ref() else {
            return self.words(name, written.get_ref(), written.span()).into_iter().map(Test::Is).collect();
        };
        let mut tests = vec![];
        let mut between = Between::default();
        for (key, value) in table {
            let number = || value.as_float().or_else(|| value.as_integer()?.to_string().parse().ok());
            match key.as_str() {
                "is" => tests.extend(self.words(name, value, written.span()).map(Test::Is)),
                "above" if number().is_some() => between.above = number(),
                "below" if number().is_some() => between.below = number(),
                "set" if value.is_bool() => tests.push(Test::Set(value.as_bool() == Some(true))),
                known if KEYS.contains(&known) => {
                    let hint = "above and below take a number, set takes true or false";
                    self.complain(span(), format!("{known} of attribute {name:?} is not understood: {value}"), hint);
                }
                unknown => {
                    let hint = match did_you_mean(unknown, KEYS) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("known here: {}", KEYS.join(", ")),
                    };
                    self.complain(span(), format!("unknown key `{unknown}` of attribute {name:?}"), hint);
                }
            }
        }
        if between != Between::default() {
            tests.push(Test::Between(between));
        }
        if tests.is_empty() && table.is_empty() {
            self.complain(span(), format!("nothing is asked of attribute {name:?}"), "write is, above, below or set");
        }
        tests
    }

    /// Texts, numbers and truth values, written out.
    fn words(&mut self, name: &str, value: &Value, span: std::ops::Range<usize>) -> Option<Words> {
        fn word(value: &Value) -> Option<String> {
            match value {
                Value::String(text) => Some(text.clone()),
                Value::Integer(_) | Value::Boolean(_) => Some(value.to_string()),
                Value::Float(number) => Some(number.to_string()),
                _ => None,
            }
        }
        let words: Option<Vec<String>> = match value {
            Value::Array(list) => list.iter().map(word).collect(),
            value => word(value).map(|word| vec![word]),
        };
        let words = words.filter(|words| !words.is_empty());
        if words.is_none() {
            let hint = "write a text, a number, true or false, or a list of them";
            self.complain(Some(span), format!("attribute {name:?} cannot be {value}"), hint);
        }
        words.map(Words::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(text: &str) -> Result<Whom, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lisbon.toml");
        std::fs::write(&path, text).unwrap();
        let news = super::super::feeds::defined(
            "title = \"N\"\n[newsletter]\nsubject = \"N\"\ncadences.daily = { at = \"07:00\" }\n",
        );
        let publication = Publication {
            title: "A".into(),
            description: None,
            url: url::Url::parse("https://a.example").unwrap(),
            language: "en".into(),
            time_zone: chrono_tz::Europe::Lisbon,
            address: None,
        };
        read(&path, "segments/lisbon.toml", &publication, &[news.unwrap()])
            .map(|segment| segment.whom)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_selection_is_read_as_it_is_meant() {
        let text = "title = \"Lisbon\"\n[select]\nall = [{ feed = \"news\", cadence = \"daily\" }]\n\
                    attribute.city = \"Lisbon\"\nattribute.score = { above = 3 }\njoined = { after = 2026-07-01 }\n\
                    delivered = { before = \"90d ago\" }\nnot = { language = [\"de\", \"fr\"] }\n";
        let Whom::All(all) = segment(text).unwrap() else { panic!("not several") };
        let joined = DateTime::parse_from_rfc3339("2026-06-30T23:00:00Z").unwrap().to_utc();
        assert_eq!(
            all,
            [
                Whom::Has("city".into(), Test::Is(Words::new(["Lisbon"]))),
                Whom::Has("score".into(), Test::Between(Between { above: Some(3.0), below: None })),
                Whom::Joined(Within { after: Some(Moment::At(joined)), before: None }),
                Whom::Delivered(Within { after: None, before: Some(Moment::Ago(chrono::TimeDelta::days(90))) }),
                Whom::Takes {
                    feeds: vec![crate::domain::feed::FeedName::parse("news").unwrap()],
                    cadences: vec![Cadence::Daily],
                    states: vec![SubscriptionState::Active],
                    confirmed: Within::default(),
                },
                Whom::Not(Box::new(Whom::Speaks(Words::new(["de", "fr"])))),
            ]
        );
    }

    #[test]
    fn every_fault_has_its_line_and_a_remedy() {
        for (select, fault) in [
            ("fed = \"news\"", ":3: unknown key `fed`\n  hint: did you mean `feed`?"),
            ("feed = \"nwes\"", ":3: there is no newsletter \"nwes\"\n  hint: did you mean news?"),
            ("all = [{ cadence = \"hourly\" }]", ":3: cadence is not understood: \"hourly\"\n  hint: write instant"),
            ("state = []", ":3: state is an empty list"),
            ("\ntime_zone = \"Europe/Lisbn\"", ":4: unknown time zone"),
            ("joined = { after = \"soon\" }", ":3: not a date: \"soon\"\n  hint: write a date such as"),
            ("joined = { afetr = 2026-01-01 }", ":3: unknown key `afetr`\n  hint: did you mean `after`?"),
            (
                "attribute.score = { abov = 3 }",
                ":3: unknown key `abov` of attribute \"score\"\n  hint: did you mean `above`?",
            ),
            ("attribute.score = { above = \"3\" }", ":3: above of attribute \"score\" is not understood: \"3\""),
            ("attribute.city = []", ":3: attribute \"city\" cannot be []"),
            ("attribute.city = {}", ":3: nothing is asked of attribute \"city\""),
            ("", "the selection is empty"),
        ] {
            let faults = segment(&format!("title = \"L\"\n[select]\n{select}\n")).unwrap_err();
            assert!(faults[0].starts_with("segments/lisbon.toml:") && faults[0].contains(fault), "{faults:?}");
            assert!(faults[0].contains("hint: "), "{faults:?}");
        }
        let faults = segment("").unwrap_err();
        assert!(faults[0].contains("needs a title") && faults[1].contains("needs a selection"), "{faults:?}");
        let deep =
            format!("title = \"L\"\nselect = {}{{ language = \"en\" }}{}", "{ not = ".repeat(18), " }".repeat(18));
        assert!(segment(&deep).unwrap_err()[0].contains("more than 16 deep"));
        let many: Vec<String> = (0..201).map(|at| format!("attribute.a{at} = 1")).collect();
        assert!(
            segment(&format!("title = \"L\"\n[select]\n{}", many.join("\n"))).unwrap_err()[0]
                .contains("200 conditions")
        );
    }
}
