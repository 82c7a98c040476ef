//! What one line looks like by itself, before it is seen among the others.

use super::dates::{self, Dated};
use super::words::{self, LANGUAGES, NETWORKS, folded};
use crate::domain::text::one_line;

/// Reasons that are asked about elsewhere.
pub(super) const COPYRIGHT: &str = "a copyright";
pub(super) const HOUSE: &str = "said of the page itself";
pub(super) const NUMBER: &str = "a number alone";

/// Words of a sentence that a page says of itself; an article may use the same words in a longer one.
const HOUSE_WORDS: usize = 20;

/// Words of a line that can be a heading.
const HEADING_WORDS: usize = 14;

/// Characters of a line that can be a heading.
const HEADING_LENGTH: usize = 100;

/// Words of a sentence that is surely one of a text.
const SENTENCE_WORDS: usize = 9;

pub(super) fn word_count(text: &str) -> usize {
    text.split(' ').filter(|word| word.contains(char::is_alphanumeric)).count()
}

/// Whether this is a sentence or more, as articles are made of them.
pub(super) fn is_prose(text: &str) -> bool {
    let text = text.trim_end_matches(['"', '”', '’', '»', '“', ')', '\'']);
    let ends = text.ends_with(['.', '!', '?', '…', ':', '。', '！', '？']);
    (ends && word_count(text) >= SENTENCE_WORDS) || text.chars().count() > 160
}

/// Whether this could stand above a text.
pub(super) fn is_short(text: &str) -> bool {
    word_count(text) <= HEADING_WORDS
        && text.chars().count() <= HEADING_LENGTH
        && text.contains(char::is_alphanumeric)
        && !text.ends_with(['.', ',', ';', ':', '!', '…', '"', '”', '»'])
        && !text.chars().next().is_some_and(char::is_lowercase)
}

/// Why a line is of the page and not of the article, if it is.
pub(super) fn furniture(text: &str) -> Option<&'static str> {
    let line = folded(text);
    if line.is_empty() {
        return Some("no words in it");
    }
    if let Some(why) = in_the_way(text) {
        return Some(why);
    }
    if is_weather(text, &line) {
        return Some("the weather");
    }
    let is_menu = |word: &str| words::any(|one| one.furniture, word) || NETWORKS.contains(&word);
    if is_menu(&line) {
        return Some("the menu");
    }
    let parts: Vec<String> =
        text.split(['|', '/', '›', '»', '>', '•', '·', '▸']).map(folded).filter(|part| !part.is_empty()).collect();
    if parts.len() > 1
        && (parts.iter().all(|part| is_menu(part)) || (text.contains(['›', '»', '>', '▸']) && is_menu(&parts[0])))
    {
        return Some("the menu");
    }
    let each: Vec<String> = text.split(' ').map(folded).filter(|part| !part.is_empty()).collect();
    (each.len() > 2 && each.iter().all(|word| is_menu(word))).then_some("the menu")
}

/// Why a line is of the page, wherever it stands: even between two paragraphs.
pub(super) fn in_the_way(text: &str) -> Option<&'static str> {
    let line = folded(text);
    let lower = text.to_lowercase();
    if is_copyright(text) {
        return Some(COPYRIGHT);
    }
    if words::any(|one| one.buttons, &line) {
        return Some("a button");
    }
    if words::all(|one| one.house_phrases).any(|phrase| lower.contains(phrase)) && word_count(text) <= HOUSE_WORDS {
        return Some(HOUSE);
    }
    let each: Vec<String> = text.split([' ', '|', '/', '·', '•']).map(folded).filter(|part| !part.is_empty()).collect();
    let networks = each.iter().filter(|word| NETWORKS.contains(&word.as_str())).count();
    if !each.is_empty() && networks == each.len() {
        return Some("where to share it");
    }
    let counts =
        line.split(' ').all(|word| word.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '.' | 'k' | 'm')));
    (counts && line.len() <= 7).then_some(NUMBER)
}

fn is_copyright(text: &str) -> bool {
    let lower = text.to_lowercase();
    let begins = lower.starts_with('©') || lower.starts_with("(c) ") || lower.starts_with("copyright");
    begins && lower.contains(|c: char| c.is_ascii_digit()) && word_count(text) <= 30
}

fn is_weather(text: &str, line: &str) -> bool {
    if words::any(|one| one.weather, line) {
        return true;
    }
    let short = word_count(text) <= 6;
    if matches!(text, "C" | "F" | "°C" | "°F" | "º") {
        return true;
    }
    let degrees = text.contains(['°', 'º', '℃', '℉']) && text.contains(|c: char| c.is_ascii_digit());
    let mut each = line.split(' ');
    let number = each.next().is_some_and(|word| {
        let digits = word.trim_end_matches(['c', 'f']);
        let digits = digits.trim_start_matches(['-', '−']);
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
    });
    let unit = line.ends_with('c') || line.ends_with('f');
    short && (degrees || (number && unit && each.all(|word| matches!(word, "c" | "f"))))
}

/// A title's label and the rest: "Breaking News: The lighthouse is lit again".
pub(super) fn label(text: &str) -> Option<(&str, &str)> {
    let (at, separator) = [":", " | ", " – ", " — ", " - "]
        .iter()
        .filter_map(|separator| text.find(separator).map(|at| (at, separator)))
        .min_by_key(|(at, _)| *at)?;
    let (label, rest) = (text[..at].trim(), text[at + separator.len()..].trim());
    (is_label(label) && rest.contains(char::is_alphanumeric)).then_some((label, rest))
}

/// Whether this is a label and nothing else.
pub(super) fn is_label(text: &str) -> bool {
    words::any(|one| one.labels, &folded(text))
}

/// A line without the marks of a Markdown heading, and how many there were.
pub(super) fn hashes(text: &str) -> (usize, &str) {
    let rest = text.trim_start_matches('#');
    let count = text.len() - rest.len();
    match rest.strip_prefix(' ') {
        Some(rest) if (1..=6).contains(&count) => (count, rest.trim()),
        _ => (0, text),
    }
}

/// What comes after the colon or dash of a line that begins with a word of a list.
fn led(text: &str, list: impl Fn(&words::Language) -> &'static [&'static str]) -> Option<&str> {
    let separators = [":", "：", " – ", " — ", " - ", " | ", " » ", " > "];
    let (at, separator) = separators
        .iter()
        .filter_map(|separator| text.find(separator).map(|at| (at, separator)))
        .min_by_key(|(at, _)| *at)?;
    words::any(list, &folded(&text[..at])).then(|| text[at + separator.len()..].trim())
}

/// What leads to another article: its title, empty where it comes in the lines below.
pub(super) fn also_read(text: &str) -> Option<&str> {
    led(text, |one| one.also_read).or_else(|| words::any(|one| one.also_read, &folded(text)).then_some(""))
}

/// The tags on a line of tags.
pub(super) fn tags(text: &str) -> Option<Vec<String>> {
    let rest = led(text, |one| one.tags)?;
    let tags: Vec<String> = rest
        .split([',', ';', '#'])
        .map(|tag| tag.trim().trim_end_matches('.').to_owned())
        .filter(|tag| !tag.is_empty())
        .collect();
    (!tags.is_empty()).then_some(tags)
}

/// The place on a line such as "Place: Port Example".
pub(super) fn place(text: &str) -> Option<String> {
    let rest = led(text, |one| one.place)?;
    (word_count(rest) <= 6 && !rest.is_empty()).then(|| rest.trim_end_matches('.').to_owned())
}

/// Whether a line says whose a picture is.
pub(super) fn is_credit(text: &str) -> bool {
    led(text, |one| one.credits).is_some()
}

pub(super) fn is_faq(text: &str) -> bool {
    let line = folded(hashes(text).1);
    // "Frequently asked questions about the bell", but not "FAQ" as the first word of a sentence.
    let begins =
        |phrase: &str| phrase.contains(' ') && line.strip_prefix(phrase).is_some_and(|rest| rest.starts_with(' '));
    words::any(|one| one.faq, &line) || (is_short(text) && words::all(|one| one.faq).any(begins))
}

pub(super) fn is_footer(text: &str) -> bool {
    words::any(|one| one.footer, &folded(hashes(text).1))
}

/// What stands after "1." or "1)", and the number.
pub(super) fn numbered(text: &str) -> Option<(u32, &str)> {
    let text = text.strip_prefix('(').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit()).filter(|end| (1..=3).contains(end))?;
    let rest = text[end..].strip_prefix(['.', ')'])?;
    let rest = rest.strip_prefix(' ')?.trim();
    rest.contains(char::is_alphanumeric).then(|| Some((text[..end].parse().ok()?, rest)))?
}

/// What stands after the mark of a list.
pub(super) fn bullet(text: &str) -> Option<&str> {
    let rest =
        text.strip_prefix(['•', '●', '▪', '■', '◦', '○', '‣', '⁃', '∙', '·', '►', '▶', '✓', '✔', '➤', '*', '-', '–'])?;
    let spaced = rest.strip_prefix(' ').or_else(|| (!text.starts_with(['*', '-', '–', '·'])).then_some(rest))?;
    Some(spaced.trim()).filter(|rest| rest.contains(char::is_alphanumeric))
}

/// What stands after "Q:", "Question 2." and their like.
pub(super) fn question_mark(text: &str) -> Option<&str> {
    marked(text, |one| one.question)
}

/// What stands after "A:" and its like.
pub(super) fn answer_mark(text: &str) -> Option<&str> {
    marked(text, |one| one.answer)
}

fn marked(text: &str, list: impl Fn(&words::Language) -> &'static [&'static str]) -> Option<&str> {
    let at = text.find([':', '.', ')'])?;
    let before = folded(&text[..at]);
    let word = before.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let rest = text[at + 1..].strip_prefix(' ')?.trim();
    // "A. Quill wrote it": without a number, only a colon makes a letter a mark.
    let is_mark = text[at..].starts_with(':') || (word.len() != before.len());
    (is_mark && words::any(list, word) && rest.contains(char::is_alphanumeric)).then_some(rest)
}

/// What a line between title and text tells of the article.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) authors: Vec<String>,
    pub(super) dates: Vec<Dated>,
    /// A name before a date: "Port Example, March 3, 2024".
    pub(super) place: Option<String>,
    /// A name that nothing introduces.
    pub(super) is_unsure: bool,
}

/// What a line tells that is made of a byline, dates and counts, and of nothing else.
pub(super) fn facts(text: &str) -> Option<Facts> {
    if let Some(date) = dates::parse(text) {
        return Some(Facts { dates: vec![date], is_unsure: date.is_unsure, ..Facts::default() });
    }
    let mut facts = Facts::default();
    let mut is_named = false;
    let parts = text.split(['|', '•', '·', '–', '—']).flat_map(|part| part.split(" - ")).map(str::trim);
    let parts: Vec<&str> = parts.filter(|part| part.contains(char::is_alphanumeric)).collect();
    for part in &parts {
        if let Some(date) = dates::parse(part) {
            facts.is_unsure |= date.is_unsure;
            facts.dates.push(date);
        } else if let Some(names) = byline(part) {
            facts.authors.extend(names);
            is_named = true;
        } else if in_the_way(part).is_some() {
            // "3 min read" beside the byline.
        } else if parts.len() > 1 && facts.authors.is_empty() && is_name(part) {
            facts.authors.push((*part).to_owned());
        } else {
            return by_and_date(text);
        }
    }
    if facts.authors.is_empty() && facts.dates.is_empty() {
        return None;
    }
    if !facts.authors.is_empty() && !is_named {
        if facts.dates.is_empty() {
            return None;
        }
        facts.is_unsure = true;
    }
    Some(facts)
}

/// "By Mara Quill, March 3, 2024": a name and a date with no more than a comma between them.
fn by_and_date(text: &str) -> Option<Facts> {
    text.match_indices([',', ' ']).find_map(|(at, _)| {
        let date = dates::parse(text[at..].trim_start_matches([',', ' ']))?;
        let authors = byline(text[..at].trim())?;
        Some(Facts { authors, dates: vec![date], place: None, is_unsure: date.is_unsure })
    })
}

/// "Port Example, March 3, 2024": a place, as likely as not.
pub(super) fn place_and_date(text: &str) -> Option<Facts> {
    text.match_indices(", ").find_map(|(at, _)| {
        let date = dates::parse(&text[at + 2..])?;
        let place = text[..at].trim();
        let is_place =
            is_name(place) && dates::parse(place).is_none() && !words::any(|one| one.weekdays, &folded(place));
        is_place.then(|| Facts {
            dates: vec![date],
            place: Some(place.to_owned()),
            is_unsure: true,
            ..Facts::default()
        })
    })
}

/// Whether a line is a name of a few words and nothing else.
pub(super) fn is_name_alone(text: &str) -> bool {
    (2..=4).contains(&word_count(text)) && is_name(text)
}

/// The names in "By Mara Quill and Tom Reed".
pub(super) fn byline(text: &str) -> Option<Vec<String>> {
    let lower = text.to_lowercase();
    let after = |word: &str| {
        let rest = text.get(word.len()..).filter(|_| lower.starts_with(word))?;
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        rest.starts_with(' ').then(|| rest.trim())
    };
    let rest = LANGUAGES.iter().flat_map(|one| one.by).filter_map(|word| after(word)).min_by_key(|rest| rest.len())?;
    let mut rest = rest.trim_end_matches(['.', ',']).to_owned();
    for language in &LANGUAGES {
        rest = rest.replace(&format!(" {} ", language.and), ", ");
    }
    let names: Vec<String> = rest.split([',', '&', ';']).map(one_line).filter(|name| !name.is_empty()).collect();
    (!names.is_empty() && names.len() <= 6 && names.iter().all(|name| is_name(name))).then_some(names)
}

/// Whether this can be what somebody is called, or an office.
fn is_name(text: &str) -> bool {
    let small =
        ["van", "von", "der", "den", "de", "del", "la", "le", "du", "di", "da", "bin", "al", "of", "the", "y", "e"];
    let each: Vec<&str> = text.split(' ').collect();
    each.len() <= 5
        && text.chars().count() <= 60
        && !text.contains(|c: char| c.is_ascii_digit() || matches!(c, '?' | '!' | ':'))
        && each.iter().all(|word| small.contains(word) || !word.chars().next().is_some_and(char::is_lowercase))
        && each[0].starts_with(|c: char| c.is_uppercase() || !c.is_lowercase())
}

/// A dateline and what follows: "PORT EXAMPLE (Harbour Press) — After nine dark winters".
///
/// Where `may_be_low`, a name in capitals and small letters will do as well.
pub(super) fn dateline(text: &str, may_be_low: bool) -> Option<(String, &str)> {
    const LONGEST: usize = 70;
    let separators = [" — ", "— ", " – ", " -- ", " - ", ": "];
    let (at, separator) = separators
        .iter()
        .filter_map(|separator| text.find(separator).map(|at| (at, *separator)))
        .min_by_key(|(at, separator)| (*at, std::cmp::Reverse(separator.len())))?;
    let rest = text[at + separator.len()..].trim();
    if at > LONGEST || word_count(rest) < 3 {
        return None;
    }
    let head = text[..at].split('(').next().unwrap_or_default().trim();
    // "Port Example, March 3": the day is told elsewhere.
    let (name, is_dated) = match head.split_once(", ") {
        Some((name, day)) if day.contains(|c: char| c.is_ascii_digit()) => (name, true),
        _ => (head, false),
    };
    let name = name.trim_end_matches(['.', ',']);
    let is_high = name.chars().filter(|c| c.is_alphabetic()).count() >= 3 && !name.chars().any(char::is_lowercase);
    let fits = (1..=5).contains(&word_count(name)) && is_name(name) && !is_label(name);
    let is_dash = !separator.starts_with(':');
    let is_place =
        is_high || (is_dash && (is_dated || text[..at].ends_with(')') || (may_be_low && separator != " - ")));
    (fits && is_place).then(|| (if is_high { capitalised(name) } else { name.to_owned() }, rest))
}

/// A name in capitals as it is written elsewhere.
fn capitalised(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first: String = letters.next().into_iter().collect();
        if word.contains('.') { word.to_owned() } else { first + &letters.as_str().to_lowercase() }
    };
    name.split(' ').map(|part| part.split('-').map(word).collect::<Vec<_>>().join("-")).collect::<Vec<_>>().join(" ")
}

/// The language that a text is written in, if its frequent words leave no doubt.
pub(super) fn language<'a>(lines: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    const ENOUGH: usize = 8;
    let mut counts = [0; LANGUAGES.len()];
    for word in lines.flat_map(|line| line.split(' ')).map(folded) {
        for (count, language) in counts.iter_mut().zip(&LANGUAGES) {
            *count += usize::from(language.common.contains(&word.as_str()));
        }
    }
    let (best, count) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
    let others = counts.iter().enumerate().filter(|(at, _)| *at != best).map(|(_, count)| *count).max()?;
    (*count >= ENOUGH && *count > others * 2).then_some(LANGUAGES[best].tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_page_is_known() {
        for text in [
            "25.4 C",
            "14 °C",
            "Port Example 9°",
            "Clear sky",
            "Home",
            "Home News Sport Opinion",
            "Home › News › Harbour",
            "Sign in / Join",
            "Facebook Twitter WhatsApp",
            "Share",
            "3 min read",
            "© 2024 The Harbour Lantern",
            "***",
            "1,204",
            "To be updated with all the latest news, offers and special announcements.",
            "Alle Rechte vorbehalten.",
        ] {
            assert!(furniture(text).is_some(), "{text}");
        }
        for text in [
            "The lighthouse is lit again",
            "Origins",
            "A lamp for 3 C batteries",
            "By Mara Quill",
            "Home again after nine winters",
        ] {
            assert_eq!(furniture(text), None, "{text}");
        }
    }

    #[test]
    fn bylines_and_dates_stand_together_in_many_ways() {
        for text in [
            "By Mara Quill | March 3, 2024",
            "Mara Quill - March 3, 2024",
            "By Mara Quill, March 3, 2024",
            "Von Mara Quill • 3. März 2024 • 3 Minuten Lesezeit",
            "Par Mara Quill — 3 mars 2024",
        ] {
            let facts = facts(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((facts.authors, facts.dates.len()), (vec!["Mara Quill".to_owned()], 1), "{text}");
        }
        assert_eq!(byline("By Mara Quill and Tom van Reed").unwrap(), ["Mara Quill", "Tom van Reed"]);
        for text in ["By the time it was lit, nobody spoke.", "By noon everybody had left", "Mara Quill"] {
            assert_eq!(facts(text), None, "{text}");
        }
    }

    #[test]
    fn a_dateline_is_a_place_before_a_dash() {
        let place = |text| dateline(text, true).map(|(place, rest)| (place, rest.to_owned()));
        let expected = Some(("Port Example".to_owned(), "After nine winters it is lit.".to_owned()));
        for text in [
            "PORT EXAMPLE — After nine winters it is lit.",
            "PORT EXAMPLE (Harbour Press) – After nine winters it is lit.",
            "Port Example, March 3 — After nine winters it is lit.",
            "Port Example — After nine winters it is lit.",
            "PORT EXAMPLE: After nine winters it is lit.",
        ] {
            assert_eq!(place(text), expected, "{text}");
        }
        assert_eq!(place("The light — after nine winters — is lit."), None);
        assert_eq!(dateline("Mara Quill — the engineer — said so.", false), None);
        assert_eq!(place("It was late: nobody came home."), None);
    }

    #[test]
    fn marks_of_questions_and_lists_are_taken_off() {
        assert_eq!(question_mark("Q: Why?"), Some("Why?"));
        assert_eq!(question_mark("Frage 2: Warum?"), Some("Warum?"));
        assert_eq!(question_mark("Q1. Why?"), Some("Why?"));
        assert_eq!(answer_mark("A: So."), Some("So."));
        assert_eq!(answer_mark("A. Quill wrote it."), None);
        assert_eq!(numbered("12) Twelve"), Some((12, "Twelve")));
        assert_eq!(numbered("3.5 metres"), None);
        assert_eq!(bullet("•Tight"), Some("Tight"));
        assert_eq!(bullet("-5 degrees"), None);
        assert_eq!(label("Eilmeldung: Der Turm brennt"), Some(("Eilmeldung", "Der Turm brennt")));
        assert_eq!(label("Harbour: full again"), None);
        assert_eq!(also_read("Lesen Sie auch: Die Fähre"), Some("Die Fähre"));
    }
}
