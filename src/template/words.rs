//! The words of pages and mail in each language, and dates and numbers as the language writes them (CLDR).
//!
//! A catalogue is a file, `words/xx.toml`. The publication's own stand in front of those that are built in, word by
//! word; what a language does not have comes from the shorter tag (`de` for `de-AT`), and then from English. It knows
//! no template.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, Timelike, Weekday};
use icu_datetime::fieldsets::{E, T, Y, YM, YMD, YMDE};
use icu_datetime::input::{Date, Time};
use icu_datetime::{DateTimeFormatter, NoCalendarFormatter};
use icu_decimal::DecimalFormatter;
use icu_decimal::input::Decimal;
use icu_locale_core::Locale;
use icu_plurals::{PluralCategory, PluralRules};

use crate::problem::{Problem, did_you_mean};

/// What every catalogue is measured by, and what is said where a language has no word.
pub const FIRST: &str = "en";

/// The plural categories of CLDR.
pub const CATEGORIES: [&str; 6] = ["zero", "one", "two", "few", "many", "other"];

/// The table of words that a publication's own templates may add.
const OWN: &str = "own";

/// One word: as it is, or by plural category.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Plain(String),
    Plural(BTreeMap<String, String>),
}

impl Word {
    fn forms(&self) -> Vec<&str> {
        match self {
            Self::Plain(text) => vec![text],
            Self::Plural(forms) => forms.values().map(String::as_str).collect(),
        }
    }

    /// What is filled in, in any of its forms.
    fn places(&self) -> BTreeSet<&str> {
        self.forms().into_iter().flat_map(places).collect()
    }
}

/// The names between braces.
fn places(text: &str) -> Vec<&str> {
    text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
}

type Catalogue = BTreeMap<String, Word>;

/// What is filled into a word.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// As it is.
    Text(&'a str),
    /// As the language writes numbers; by the one that is called `count` the plural is chosen.
    Number(i64),
}

/// Every catalogue.
#[derive(Debug, Default)]
pub struct Words(BTreeMap<String, Catalogue>);

impl Words {
    /// Takes in a catalogue over what is there. `file` is how complaints name it.
    pub(super) fn add(&mut self, language: &str, file: &str, text: &str, problems: &mut Vec<Problem>) {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let error: toml::de::Error = error;
                let mut problem = Problem::new(file, error.message().to_owned());
                problem.line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
                problems.push(problem.hint("write each word as key = \"text\""));
                return;
            }
        };
        if let Err(fault) = Locale::try_from_str(language) {
            problems.push(
                Problem::new(file, format!("{language:?} is not a language tag: {fault}"))
                    .hint("name the file after the language, such as de.toml or pt-BR.toml"),
            );
            return;
        }
        let known = self.0.get(FIRST).cloned().unwrap_or_default();
        let catalogue = self.0.entry(language.to_ascii_lowercase()).or_default();
        for (key, value) in table {
            let mut complain = |what: String, hint: String| {
                let mut problem = Problem::new(file, what).hint(hint);
                problem.line = line_of(text, &key);
                problems.push(problem);
            };
            if let (OWN, toml::Value::Table(own)) = (key.as_str(), &value) {
                for (name, value) in own {
                    match word(value) {
                        Ok(word) => drop(catalogue.insert(format!("{OWN}.{name}"), word)),
                        Err(fault) => complain(format!("own.{name} {fault}"), "write a text".to_owned()),
                    }
                }
                continue;
            }
            match word(&value) {
                Err(fault) => complain(format!("{key} {fault}"), "write a text in quotes".to_owned()),
                Ok(_) if !known.is_empty() && !known.contains_key(&key) => {
                    let hint = match did_you_mean(&key, known.keys().map(String::as_str)) {
                        Some(meant) => format!("did you mean {meant}? Words of your own stand in a table [own]"),
                        None => "words of your own stand in a table [own]".to_owned(),
                    };
                    complain(format!("there is no word {key}"), hint);
                }
                Ok(word) => {
                    let wanted = known.get(&key).map(Word::places);
                    if let Some(strange) = wanted
                        .as_ref()
                        .and_then(|wanted| word.places().into_iter().find(|place| !wanted.contains(place)))
                    {
                        let wanted: Vec<_> = wanted.iter().flatten().map(|place| format!("{{{place}}}")).collect();
                        let hint =
                            if wanted.is_empty() { "nothing is filled in here".to_owned() } else { wanted.join(", ") };
                        complain(format!("{key}: nothing is known of {{{strange}}}"), hint);
                        continue;
                    }
                    catalogue.insert(key, word);
                }
            }
        }
    }

    /// A word of the publication's own in whichever language has it: said in another it is still said, and no digest
    /// stops for it.
    fn own(&self, key: &str) -> Option<&Word> {
        key.strip_prefix(OWN)?.strip_prefix('.')?;
        self.0.values().find_map(|catalogue| catalogue.get(key))
    }

    /// The languages that have words.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What a catalogue lacks of the first one, and of the publication's own words in any: words, what is filled in, and
    /// plural forms that its language needs.
    pub fn lacks(&self, language: &str) -> Vec<String> {
        // A shorter tag has its words too: `de` for `de-AT`.
        let base = language.split('-').next().unwrap_or_default();
        let said = |key: &str| [language, base].iter().find_map(|tag| self.0.get(*tag)?.get(key));
        let needed = plural_categories(language);
        let mut lacks = vec![];
        let is_own = |key: &str| key.strip_prefix(OWN).is_some_and(|rest| rest.starts_with('.'));
        let mut wanted = self.0.get(FIRST).cloned().unwrap_or_default();
        for (key, word) in self.0.values().flatten().filter(|(key, _)| is_own(key)) {
            wanted.entry(key.clone()).or_insert_with(|| word.clone());
        }
        for (key, first) in &wanted {
            match said(key) {
                None => lacks.push(key.clone()),
                Some(word) => {
                    // A number may be part of the word itself, as in "one more": any of its forms will do.
                    let missing = first.places().into_iter().filter(|place| !word.places().contains(place));
                    lacks.extend(missing.map(|place| format!("{key}: {{{place}}}")));
                    if let Word::Plural(forms) = word {
                        let missing = needed.iter().filter(|category| !forms.contains_key(**category));
                        lacks.extend(missing.map(|category| format!("{key}.{category}")));
                    } else if matches!(first, Word::Plural(_)) {
                        lacks.push(format!("{key}.other"));
                    }
                }
            }
        }
        lacks
    }

    /// How this language speaks.
    pub fn of(&self, language: &str) -> Speech<'_> {
        let tag = language.to_ascii_lowercase();
        let base = tag.split('-').next().unwrap_or_default();
        let catalogues = [tag.as_str(), base, FIRST].iter().filter_map(|tag| self.0.get(*tag)).collect();
        // What is said in English for want of a word is still said among words of that language.
        Speech { words: self, catalogues, locale: locale(language), dir: direction(language) }
    }

    /// A language by its own name; its tag where nobody wrote that down.
    pub fn name(&self, language: &str) -> String {
        let tag = language.to_ascii_lowercase();
        let base = tag.split('-').next().unwrap_or_default();
        let word = [tag.as_str(), base].iter().find_map(|tag| self.0.get(*tag)?.get("language"));
        match word {
            Some(Word::Plain(name)) => name.clone(),
            _ => language.to_owned(),
        }
    }

    /// Whether the language has a catalogue of its own, or the one of its shorter tag.
    pub fn has(&self, language: &str) -> bool {
        let tag = language.to_ascii_lowercase();
        self.0.contains_key(&tag) || tag.split('-').next().is_some_and(|base| self.0.contains_key(base))
    }
}

fn word(value: &toml::Value) -> Result<Word, String> {
    let whole = |text: &str| {
        if text.matches('{').count() == places(text).len() { Ok(()) } else { Err("has a brace that is not closed") }
    };
    match value {
        toml::Value::String(text) => {
            whole(text)?;
            Ok(Word::Plain(text.clone()))
        }
        toml::Value::Table(table) => {
            let mut forms = BTreeMap::new();
            for (category, text) in table {
                if !CATEGORIES.contains(&category.as_str()) {
                    return Err(format!("has no plural category {category}: there are {}", CATEGORIES.join(", ")));
                }
                let text = text.as_str().ok_or_else(|| format!("has no text under {category}"))?;
                whole(text)?;
                forms.insert(category.clone(), text.to_owned());
            }
            if forms.contains_key("other") { Ok(Word::Plural(forms)) } else { Err("has no form `other`".to_owned()) }
        }
        _ => Err("is not a text".to_owned()),
    }
}

fn line_of(text: &str, key: &str) -> Option<usize> {
    let sets =
        |line: &str| line.split(['=', ']']).next().is_some_and(|before| before.trim().trim_matches(['"', '[']) == key);
    text.lines().position(sets).map(|at| at + 1)
}

/// The plural categories that whole numbers of a language fall into.
fn plural_categories(language: &str) -> Vec<&'static str> {
    let Ok(rules) = PluralRules::try_new_cardinal((&locale(language)).into()) else { return vec!["other"] };
    // `categories` also names those that fractions alone fall into; a mail counts whole things.
    rules.categories().map(name_of).collect()
}

fn name_of(category: PluralCategory) -> &'static str {
    match category {
        PluralCategory::Zero => "zero",
        PluralCategory::One => "one",
        PluralCategory::Two => "two",
        PluralCategory::Few => "few",
        PluralCategory::Many => "many",
        PluralCategory::Other => "other",
    }
}

/// A language tag as it is written: `pt-BR`.
pub fn canonical(language: &str) -> String {
    Locale::try_from_str(language).map_or_else(|_| language.to_owned(), |locale| locale.to_string())
}

/// A language for CLDR. English without a country is written as in Europe, day before month and 24 hours: `en-US` is
/// there for whoever means that.
fn locale(language: &str) -> Locale {
    let tag = if language.eq_ignore_ascii_case("en") { "en-GB" } else { language };
    Locale::try_from_str(tag).unwrap_or(Locale::UNKNOWN)
}

/// The direction of a language's script: `ltr` or `rtl`.
pub fn direction(language: &str) -> &'static str {
    let mut parts = language.split('-');
    let base = parts.next().unwrap_or_default().to_ascii_lowercase();
    let script = parts.find(|part| part.len() == 4 && part.bytes().all(|b| b.is_ascii_alphabetic()));
    let is_rtl = match script.map(str::to_ascii_lowercase).as_deref() {
        Some(script) => matches!(script, "arab" | "hebr" | "thaa" | "syrc" | "nkoo" | "adlm"),
        None => matches!(
            base.as_str(),
            "ar" | "he" | "iw" | "fa" | "ur" | "yi" | "ji" | "ps" | "dv" | "ckb" | "sd" | "ug" | "syr" | "nqo"
        ),
    };
    if is_rtl { "rtl" } else { "ltr" }
}

/// The direction of the first letter that has one.
fn strong(text: &str) -> Option<&'static str> {
    text.chars().find(|c| c.is_alphabetic()).map(|c| match c {
        '\u{590}'..='\u{8FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFF}' | '\u{1E900}'..='\u{1E95F}' => "rtl",
        _ => "ltr",
    })
}

/// How long a date is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateStyle {
    /// `24/11/2026`
    Short,
    /// `24 Nov 2026`
    Medium,
    /// `24 November 2026`
    Long,
    /// `Tuesday 24 November 2026`
    Weekday,
}

impl DateStyle {
    /// Every style by its name.
    pub const ALL: [(&'static str, Self); 4] =
        [("short", Self::Short), ("medium", Self::Medium), ("long", Self::Long), ("weekday", Self::Weekday)];
}

/// These fields of a date as CLDR writes them in a speech's language. A macro, since the parts have types of their own.
macro_rules! by_cldr {
    ($speech:expr, $day:expr, $fields:expr) => {{
        let day: NaiveDate = $day;
        let date = u8::try_from(day.month())
            .ok()
            .zip(u8::try_from(day.day()).ok())
            .and_then(|(month, of_month)| Date::try_new_iso(day.year(), month, of_month).ok());
        date.zip(DateTimeFormatter::try_new((&$speech.locale).into(), $fields).ok())
            .map(|(date, formatter)| formatter.format(&date).to_string())
    }};
}

/// One language's way to say things.
#[derive(Debug)]
pub struct Speech<'w> {
    words: &'w Words,
    /// The first that has a word says it.
    catalogues: Vec<&'w Catalogue>,
    locale: Locale,
    dir: &'static str,
}

impl Speech<'_> {
    /// A word with its places filled.
    ///
    /// # Errors
    /// In words, for whoever wrote the template: no such word, or a place for which there is no value.
    pub fn say(&self, key: &str, values: &[(&str, Value<'_>)]) -> Result<String, String> {
        let word = self.catalogues.iter().find_map(|catalogue| catalogue.get(key)).or_else(|| self.words.own(key));
        let word = word.ok_or_else(|| {
            let known = self.catalogues.iter().flat_map(|catalogue| catalogue.keys().map(String::as_str));
            let meant = did_you_mean(key, known).map(|meant| format!(": did you mean \"{meant}\"?"));
            format!("there is no word \"{key}\"{}", meant.unwrap_or_default())
        })?;
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        if let Some((strange, _)) = values.iter().find(|(name, _)| *name != "count" && !word.places().contains(name)) {
            let known: Vec<_> = word.places().into_iter().collect();
            return Err(format!("the word \"{key}\" has no place for `{strange}`; it has: {}", known.join(", ")));
        }
        let text = match word {
            Word::Plain(text) => text,
            Word::Plural(forms) => {
                let Some(Value::Number(count)) = value("count") else {
                    return Err(format!("the word \"{key}\" needs a number: count=…"));
                };
                forms.get(self.category(count)).or_else(|| forms.get("other")).map_or("", String::as_str)
            }
        };
        self.fill(text, value).map_err(|place| format!("the word \"{key}\" needs `{place}`: {place}=…"))
    }

    /// Whether it speaks English, be it for want of other words.
    pub fn is_english(&self) -> bool {
        self.catalogues.first().is_none_or(|first| self.words.0.get(FIRST).is_some_and(|own| std::ptr::eq(own, *first)))
            || self.locale.id.language.as_str() == FIRST
    }

    /// A word that is known to be there; its key where it is not after all.
    pub fn word(&self, key: &str, values: &[(&str, Value<'_>)]) -> String {
        self.say(key, values).unwrap_or_else(|_| key.to_owned())
    }

    fn fill<'v>(&self, text: &str, value: impl Fn(&str) -> Option<Value<'v>>) -> Result<String, String> {
        let mut parts = text.split('{');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (place, after) = part.split_once('}').unwrap_or((part, ""));
            match value(place).ok_or_else(|| place.to_owned())? {
                Value::Text(text) if strong(text).is_some_and(|dir| dir != self.dir) => {
                    // Else a bracket or a full stop beside it would stand on its other side.
                    out.push('\u{2068}');
                    out.push_str(text);
                    out.push('\u{2069}');
                }
                Value::Text(text) => out.push_str(text),
                Value::Number(number) => out.push_str(&self.number(number)),
            }
            out.push_str(after);
        }
        Ok(out)
    }

    /// The plural category of a whole number.
    pub fn category(&self, number: i64) -> &'static str {
        PluralRules::try_new_cardinal((&self.locale).into())
            .map_or("other", |rules| name_of(rules.category_for(number.unsigned_abs())))
    }

    /// A whole number in the language's digits and groups.
    pub fn number(&self, number: i64) -> String {
        DecimalFormatter::try_new((&self.locale).into(), icu_decimal::options::DecimalFormatterOptions::default())
            .map_or_else(|_| number.to_string(), |formatter| formatter.format(&Decimal::from(number)).to_string())
    }

    /// A date, as the clock of its own offset has it.
    pub fn date(&self, at: DateTime<FixedOffset>, style: DateStyle) -> String {
        let day = at.date_naive();
        let written = match style {
            DateStyle::Short => by_cldr!(self, day, YMD::short()),
            DateStyle::Medium => by_cldr!(self, day, YMD::medium()),
            DateStyle::Long => by_cldr!(self, day, YMD::long()),
            DateStyle::Weekday => by_cldr!(self, day, YMDE::long()),
        };
        written.unwrap_or_else(|| day.to_string())
    }

    /// A month with its year, `November 2026`.
    pub fn month(&self, day: NaiveDate) -> String {
        by_cldr!(self, day, YM::long()).unwrap_or_else(|| day.format("%Y-%m").to_string())
    }

    /// A year, in the language's digits.
    pub fn year(&self, day: NaiveDate) -> String {
        by_cldr!(self, day, Y::long()).unwrap_or_else(|| day.year().to_string())
    }

    /// The name of a day of the week.
    pub fn weekday(&self, day: Weekday) -> String {
        // A Monday, and the days that follow it.
        let date = NaiveDate::from_ymd_opt(2024, 1, 1 + day.num_days_from_monday());
        date.and_then(|date| by_cldr!(self, date, E::long())).unwrap_or_else(|| day.to_string())
    }

    /// A time of day, as the clock of its own offset has it.
    pub fn time(&self, at: DateTime<FixedOffset>) -> String {
        self.clock(at.time())
    }

    /// A time of day.
    pub fn clock(&self, at: NaiveTime) -> String {
        let iso = || at.format("%H:%M").to_string();
        let (Ok(hour), Ok(minute)) = (u8::try_from(at.hour()), u8::try_from(at.minute())) else { return iso() };
        let Ok(time) = Time::try_new(hour, minute, 0, 0) else { return iso() };
        NoCalendarFormatter::try_new((&self.locale).into(), T::hm())
            .map_or_else(|_| iso(), |formatter| formatter.format(&time).to_string())
    }

    /// Names in a row: "A", "A and B", "A, B and C".
    pub fn names(&self, names: &[String]) -> Option<String> {
        let (last, before) = names.split_last()?;
        let join = |key, first: &str, last: &str| {
            self.word(key, &[("first", Value::Text(first)), ("last", Value::Text(last))])
        };
        let before = before.iter().cloned().reduce(|row, name| join("comma", &row, &name));
        Some(before.map_or_else(|| last.clone(), |before| join("and", &before, last)))
    }

    /// "Hello Mara," or "Hello,".
    pub fn greeting(&self, name: Option<&str>) -> String {
        match name {
            Some(name) => self.word("greeting_named", &[("name", Value::Text(name))]),
            None => self.word("greeting", &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_has_the_direction_of_its_script() {
        for language in ["ar", "ar-EG", "he", "fa", "ur", "az-Arab", "ku-Arab-IQ", "AR"] {
            assert_eq!(direction(language), "rtl", "{language}");
        }
        for language in ["en", "de-AT", "ar-Latn", "az", "ur-Latn-PK", "", "arn"] {
            assert_eq!(direction(language), "ltr", "{language}");
        }
    }

    #[test]
    fn what_runs_the_other_way_is_set_apart() {
        let mut words = Words::default();
        words.add("en", "en.toml", "hello = \"({name}).\"", &mut vec![]);
        let say = |language: &str, name| words.of(language).word("hello", &[("name", Value::Text(name))]);
        assert_eq!(say("en", "Mara"), "(Mara).");
        assert_eq!(say("en", "مارا"), "(\u{2068}مارا\u{2069}).");
        assert_eq!(say("he", "Mara"), "(\u{2068}Mara\u{2069}).");
        assert_eq!(say("he", "2026"), "(2026).");
    }

    #[test]
    fn names_stand_in_a_row_as_the_language_has_it() {
        let mut words = Words::default();
        words.add("en", "en.toml", "and = \"{first} and {last}\"\ncomma = \"{first}, {last}\"", &mut vec![]);
        let names = |number: usize| words.of("en").names(&["A", "B", "C"].map(str::to_owned)[..number]);
        assert_eq!(names(0), None);
        assert_eq!(names(1).as_deref(), Some("A"));
        assert_eq!(names(3).as_deref(), Some("A, B and C"));
    }
}
