//! What each line of a copied page is, seen among the others.
//!
//! First the title is found, then where the article ends; what is before and behind is the page's, what is between is the
//! article's.

use super::lines::Line;
use super::marks::{self, Facts};

/// What a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Not the article's, and why.
    Out(&'static str),
    Title,
    /// The title's label, on a line of its own.
    Label,
    Standfirst,
    Facts(Facts),
    Place(String),
    Tags(Vec<String>),
    /// A heading of this level, from 2.
    Heading(usize),
    Paragraph,
    Bullet,
    /// An item of a list with numbers.
    Item,
    /// Titles of other articles follow.
    AlsoRead,
    /// The title of another article.
    Related,
    FaqHeading,
    Question,
    Answer,
}

/// A line's role, and what a person should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) role: Role,
    pub(super) doubt: Option<String>,
}

/// Whether a line is never the middle of a broken paragraph.
pub(super) fn stands_alone(text: &str) -> bool {
    marks::furniture(text).is_some()
        || marks::is_faq(text)
        || marks::is_footer(text)
        || marks::numbered(text).is_some()
        || marks::bullet(text).is_some()
        || marks::hashes(text).0 > 0
        || marks::also_read(text).is_some()
        || marks::question_mark(text).is_some()
        || marks::answer_mark(text).is_some()
        || marks::facts(text).is_some()
}

/// The role of every line, in their order.
pub(super) fn assign(lines: &[Line]) -> Vec<Assigned> {
    let mut page = Page { lines, assigned: vec![None; lines.len()] };
    let (title, doubt) = page.title();
    if let Some(title) = title {
        page.set(title, Role::Title, doubt);
    }
    let from = title.map_or(0, |title| title + 1);
    page.above(title.unwrap_or(0));
    let from = page.between(from);
    page.text(from);
    let unseen = || Assigned { role: Role::Paragraph, doubt: None };
    page.assigned.into_iter().map(|assigned| assigned.unwrap_or_else(unseen)).collect()
}

struct Page<'a> {
    lines: &'a [Line],
    assigned: Vec<Option<Assigned>>,
}

/// Where a walk through the text stands.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "a page may be all of these at once")]
struct Walk {
    /// Questions are being read.
    in_faq: bool,
    had_faq: bool,
    /// The last question has no answer yet.
    is_asked: bool,
    /// Below a heading with a number.
    in_part: bool,
    /// The number of the last heading that had one.
    part: u32,
    /// Titles of other articles are being read.
    in_related: bool,
    /// The article is over.
    is_over: bool,
    /// A sentence of the article was read.
    had_text: bool,
}

impl Page<'_> {
    fn text_at(&self, at: usize) -> Option<&str> {
        self.lines.get(at).map(|line| line.text.as_str())
    }

    fn set(&mut self, at: usize, role: Role, doubt: Option<String>) {
        self.assigned[at] = Some(Assigned { role, doubt });
    }

    fn is(&self, at: usize, test: impl Fn(&str) -> bool) -> bool {
        self.text_at(at).is_some_and(test)
    }

    /// Where the text begins at the latest: its first sentence, or what only stands in a text.
    fn first_text(&self) -> usize {
        let begins = |text: &str| {
            marks::furniture(text).is_none()
                && marks::label(text).is_none()
                && (marks::is_prose(text)
                    || marks::is_faq(text)
                    || (marks::numbered(text).is_some() && marks::facts(text).is_none()))
        };
        self.lines.iter().position(|line| begins(&line.text)).unwrap_or(self.lines.len())
    }

    /// The line that is most like a title, and the one that could be it as well.
    fn title(&self) -> (Option<usize>, Option<String>) {
        /// Points apart by which a title is told from what is not.
        const CLEAR: usize = 4;
        let end = self.first_text();
        let mut points: Vec<(usize, usize)> = (0..end).filter_map(|at| Some((self.points(at)?, at))).collect();
        points.sort_by_key(|(points, at)| (std::cmp::Reverse(*points), *at));
        match points.as_slice() {
            [] => {
                // A text without a line above it: the first line has to do.
                let first = (0..self.lines.len()).find(|at| self.is(*at, |text| marks::furniture(text).is_none()));
                (first, Some("taken as the title, since no line is like one".to_owned()))
            }
            [(best, at), others @ ..] => {
                let other = others.first().filter(|(points, other)| {
                    points + CLEAR > *best && self.lines[*other].text != self.lines[*at].text
                });
                (
                    Some(*at),
                    other.map(|(_, other)| {
                        format!("taken as the title; line {} could be it too", self.lines[*other].numbers[0])
                    }),
                )
            }
        }
    }

    /// How much a line is like a title; `None` where it cannot be one.
    fn points(&self, at: usize) -> Option<usize> {
        let text = self.text_at(at)?;
        let is_other = marks::furniture(text).is_some()
            || marks::facts(text).is_some()
            || marks::is_label(text)
            || marks::also_read(text).is_some()
            || marks::is_footer(text);
        if is_other {
            return None;
        }
        let words = marks::word_count(text);
        let mut points = words.min(8);
        if marks::label(text).is_some() || (at > 0 && self.is(at - 1, marks::is_label)) {
            points += 20;
        }
        if marks::hashes(text).0 == 1 {
            points += 30;
        }
        if (at + 1..at + 4).any(|at| self.is(at, |text| marks::facts(text).is_some())) {
            points += 6;
        }
        if self.lines.iter().enumerate().any(|(other, line)| other != at && line.text == text) {
            points += 3;
        }
        // The first line of several is the title, the others are below it.
        let is_first = at == 0
            || self.is(at - 1, |text| {
                marks::furniture(text).is_some() || marks::facts(text).is_some() || marks::word_count(text) < 4
            })
            || self.lines[at].is_after_blank;
        if is_first && words >= 4 {
            points += 6;
        }
        Some(points)
    }

    /// What stands above the title.
    fn above(&mut self, title: usize) {
        let mut place = None;
        for at in 0..title {
            let text = &self.lines[at].text;
            let role = if at + 1 == title && marks::is_label(text) {
                Role::Label
            } else if let Some(facts) = marks::facts(text).or_else(|| marks::place_and_date(text)) {
                Role::Facts(facts)
            } else if let Some(why) = marks::furniture(text) {
                Role::Out(why)
            } else if *text == self.lines[title].text {
                Role::Out("the title once more")
            } else {
                // The town beside its weather.
                let is_near = |at: usize| self.is(at, |text| marks::furniture(text) == Some("the weather"));
                let is_town = (is_near(at + 1) || (at > 0 && is_near(at - 1))) && marks::word_count(text) <= 4;
                if is_town && place.is_none() && marks::is_short(text) {
                    place = Some(at);
                    Role::Place(text.clone())
                } else {
                    Role::Out("above the title")
                }
            };
            self.set(at, role, None);
        }
    }

    /// What stands between title and text. Returns where the text begins.
    fn between(&mut self, from: usize) -> usize {
        let mut has_facts = false;
        let mut is_introduced = false;
        for at in from..self.lines.len() {
            let line = &self.lines[at].text;
            let role = if let Some(facts) = marks::facts(line) {
                has_facts = true;
                Role::Facts(facts)
            } else if let Some(facts) = marks::place_and_date(line).or_else(|| self.name_above_date(at)) {
                has_facts = true;
                Role::Facts(facts)
            } else if let Some(place) = marks::place(line) {
                Role::Place(place)
            } else if let Some(tags) = marks::tags(line) {
                Role::Tags(tags)
            } else if self.is_title_again(line, from) {
                Role::Out("the title once more")
            } else if let Some(why) = marks::furniture(line) {
                Role::Out(why)
            } else if self.is_place_above(line, from) {
                Role::Place(line.clone())
            } else if self.is_out_above(line, from) {
                Role::Out("said above the title, too")
            } else if from > 0
                && !is_introduced
                && !has_facts
                && marks::word_count(line) >= 5
                && self.has_facts_below(at)
            {
                is_introduced = true;
                Role::Standfirst
            } else {
                return at;
            };
            self.set(at, role, None);
        }
        self.lines.len()
    }

    /// Who wrote it, where a name stands alone above the date.
    fn name_above_date(&self, at: usize) -> Option<Facts> {
        let is_author = self.is(at, marks::is_name_alone)
            && self.is(at + 1, |text| marks::facts(text).is_some_and(|facts| facts.authors.is_empty()));
        is_author.then(|| Facts { authors: vec![self.lines[at].text.clone()], is_unsure: true, ..Facts::default() })
    }

    /// Whether a byline or a date comes next, but for buttons.
    fn has_facts_below(&self, at: usize) -> bool {
        let next = self.lines[at + 1..].iter().find(|line| marks::in_the_way(&line.text).is_none());
        next.is_some_and(|line| marks::facts(&line.text).is_some())
    }

    /// Whether a line was left out above the title, as the page's name is.
    fn is_out_above(&self, line: &str, from: usize) -> bool {
        let above = self.lines[..from].iter().zip(&self.assigned);
        marks::word_count(line) <= 6
            && above.into_iter().any(|(other, assigned)| {
                other.text == line && assigned.as_ref().is_some_and(|assigned| matches!(assigned.role, Role::Out(_)))
            })
    }

    fn is_title_again(&self, line: &str, from: usize) -> bool {
        from > 0 && self.is(from - 1, |title| title == line)
    }

    /// The town that stands above the title, too.
    fn is_place_above(&self, line: &str, from: usize) -> bool {
        self.assigned[..from].iter().flatten().any(|above| above.role == Role::Place(line.to_owned()))
    }

    /// Everything from the first line of the text on.
    fn text(&mut self, from: usize) {
        let mut walk = Walk::default();
        for at in from..self.lines.len() {
            let (role, doubt) = self.role(at, &mut walk);
            self.set(at, role, doubt);
        }
        self.trailing();
    }

    fn role(&self, at: usize, walk: &mut Walk) -> (Role, Option<String>) {
        let text = &self.lines[at].text;
        if walk.is_over && !self.goes_on(at, walk) {
            return below(text);
        }
        let was_over = std::mem::take(&mut walk.is_over);
        let sure = |role| (role, None);
        if marks::is_faq(text) && !walk.in_faq {
            *walk = Walk { in_faq: true, had_faq: true, had_text: true, ..Walk::default() };
            return (
                Role::FaqHeading,
                was_over.then(|| "the article goes on here, below what looked like its end".to_owned()),
            );
        }
        if walk.had_text && marks::is_footer(text) && !self.is_heading_of_text(at, walk) {
            walk.is_over = true;
            return sure(Role::Out("below the article"));
        }
        // A year alone above a text is its heading.
        let is_year = |why| why == marks::NUMBER && walk.had_text && !walk.in_faq && self.is(at + 1, marks::is_prose);
        if let Some(why) = marks::in_the_way(text).filter(|why| !is_year(*why)) {
            walk.is_over = why == marks::COPYRIGHT && !self.has_prose_below(at);
            let doubt = (why == marks::HOUSE && marks::is_prose(text)).then(|| format!("left out as {why}"));
            return (Role::Out(why), doubt);
        }
        if !walk.had_text
            && let Some(why) = marks::furniture(text)
        {
            return sure(Role::Out(why));
        }
        if let Some(rest) = marks::also_read(text) {
            walk.in_related = rest.is_empty();
            return sure(if rest.is_empty() { Role::AlsoRead } else { Role::Related });
        }
        if std::mem::take(&mut walk.in_related) {
            let title = marks::bullet(text).unwrap_or(text);
            if !marks::is_prose(title)
                && marks::numbered(text).is_none()
                && (marks::bullet(text).is_some()
                    || !self.lines[at].is_after_blank
                    || self.is(at - 1, |text| text.ends_with([':', '：'])))
            {
                walk.in_related = true;
                return sure(Role::Related);
            }
        }
        if let Some(tags) = marks::tags(text) {
            return sure(Role::Tags(tags));
        }
        if !walk.had_text
            && let Some(facts) = marks::facts(text)
        {
            return sure(Role::Facts(facts));
        }
        let (role, doubt) = if walk.in_faq { self.in_faq(at, walk) } else { self.in_text(at, walk) };
        walk.had_text |= !matches!(role, Role::Heading(_)) && (marks::is_prose(text) || role != Role::Paragraph);
        (
            role,
            if was_over { Some("the article goes on here, below what looked like its end".to_owned()) } else { doubt },
        )
    }

    /// Whether the article goes on at a line below what looked like its end: its questions, or the next of its parts.
    fn goes_on(&self, at: usize, walk: &Walk) -> bool {
        let text = &self.lines[at].text;
        let is_next_part = marks::numbered(text).is_some_and(|(number, rest)| {
            walk.part > 0 && number == walk.part + 1 && marks::is_short(rest) && self.is(at + 1, marks::is_prose)
        });
        (marks::is_faq(text) && !walk.had_faq) || is_next_part
    }

    /// Whether what sounds like a page's own heading has an article's text below it, and more of it behind.
    fn is_heading_of_text(&self, at: usize, walk: &Walk) -> bool {
        let is_part = marks::numbered(&self.lines[at].text).is_some() || marks::hashes(&self.lines[at].text).0 > 0;
        is_part && !walk.in_faq && self.is(at + 1, marks::is_prose)
    }

    fn has_prose_below(&self, at: usize) -> bool {
        self.lines[at + 1..]
            .iter()
            .take_while(|line| !marks::is_footer(&line.text))
            .any(|line| marks::is_prose(&line.text) && marks::furniture(&line.text).is_none())
    }

    fn in_faq(&self, at: usize, walk: &mut Walk) -> (Role, Option<String>) {
        let text = &self.lines[at].text;
        let bare = marks::bullet(text).unwrap_or(text);
        let numbered = marks::numbered(bare).map(|(_, rest)| rest);
        let marked = marks::question_mark(bare).or_else(|| numbered.and_then(marks::question_mark));
        let asks = |text: &str| text.trim_end_matches(['"', '”', '»', '*', ' ']).ends_with(['?', '？', '؟']);
        let asked = marked.or(numbered).unwrap_or(bare);
        if marks::answer_mark(text).is_some() && walk.is_asked {
            walk.is_asked = false;
            return (Role::Answer, None);
        }
        let asks_and_says = (marked.is_some() || numbered.is_some()) && asked.contains("? ");
        if marked.is_some() || (asks(asked) && marks::word_count(asked) <= 40) || (asks_and_says && !walk.is_asked) {
            walk.is_asked = !asks_and_says;
            return (Role::Question, None);
        }
        if walk.is_asked {
            walk.is_asked = false;
            return (Role::Answer, None);
        }
        let is_first = matches!(self.assigned[..at].last(), Some(Some(Assigned { role: Role::FaqHeading, .. })));
        if (is_first || numbered.is_some_and(marks::is_short))
            && marks::is_short(asked)
            && self.is(at + 1, |next| marks::numbered(next).is_none() && marks::is_prose(next))
        {
            walk.is_asked = true;
            return (Role::Question, Some("taken as a question, though it does not end like one".to_owned()));
        }
        let (hashes, rest) = marks::hashes(text);
        if (hashes > 0 || marks::bullet(text).is_none())
            && marks::is_short(rest)
            && self.is(at + 1, |next| marks::is_prose(next) && !asks(next))
        {
            walk.in_faq = false;
            return (Role::Heading(2), Some("taken as a heading below the questions".to_owned()));
        }
        (Role::Answer, None)
    }

    fn in_text(&self, at: usize, walk: &mut Walk) -> (Role, Option<String>) {
        let text = &self.lines[at].text;
        let (hashes, rest) = marks::hashes(text);
        if hashes > 0 {
            walk.in_part = false;
            return (Role::Heading(hashes.max(2)), None);
        }
        if let Some((number, rest)) = marks::numbered(text) {
            let is_beside = |at: usize, other: u32| {
                self.is(at, |text| marks::numbered(text).is_some_and(|(found, _)| found == other))
            };
            let in_list = is_beside(at + 1, number + 1) || (at > 0 && number > 0 && is_beside(at - 1, number - 1));
            if !in_list && marks::is_short(rest) && self.has_text_below(at) {
                (walk.in_part, walk.part) = (true, number);
                return (Role::Heading(2), None);
            }
            return (Role::Item, None);
        }
        if marks::bullet(text).is_some() {
            return (Role::Bullet, None);
        }
        if marks::is_short(rest)
            && !marks::is_credit(text)
            && (walk.had_text || walk.in_part)
            && self.has_text_below(at)
        {
            let doubt = (marks::furniture(text).is_some())
                .then(|| "taken as a heading, though it could be of the page's menu".to_owned());
            return (Role::Heading(if walk.in_part { 3 } else { 2 }), doubt);
        }
        if marks::is_credit(text) {
            return (Role::Paragraph, Some("a picture's credit, kept as a paragraph".to_owned()));
        }
        let doubt =
            (marks::is_short(text) && !marks::is_prose(text)).then(|| "a short line, kept as a paragraph".to_owned());
        (Role::Paragraph, doubt)
    }

    /// Whether a line has a text below it that it can be the heading of: at once, or below one more heading.
    fn has_text_below(&self, at: usize) -> bool {
        let is_text = |text: &str| {
            marks::is_prose(text)
                || marks::bullet(text).is_some()
                || (!marks::is_short(text) && marks::furniture(text).is_none())
        };
        self.is(at + 1, is_text)
            || (self.is(at + 1, |text| {
                marks::is_short(text)
                    && marks::furniture(text).is_none()
                    && !marks::is_footer(text)
                    && !marks::is_faq(text)
                    && marks::also_read(text).is_none()
            }) && self.is(at + 2, is_text))
    }

    /// Lines of the menu at the very end, under no heading.
    fn trailing(&mut self) {
        for at in (0..self.lines.len()).rev() {
            match &self.assigned[at] {
                Some(Assigned { role: Role::Out(_), .. }) => {}
                Some(Assigned { role: Role::Paragraph | Role::Heading(_), .. }) => {
                    let Some(why) = marks::furniture(&self.lines[at].text) else { return };
                    self.set(at, Role::Out(why), None);
                }
                _ => return,
            }
        }
    }
}

/// What a line below the article is.
fn below(text: &str) -> (Role, Option<String>) {
    /// A sentence of that many words is more than pages say of themselves.
    const MUCH: usize = 25;
    let is_said_of_page = marks::furniture(text).is_some();
    let doubt = (!is_said_of_page && marks::is_prose(text) && marks::word_count(text) >= MUCH)
        .then(|| "left out as it stands below the article's end".to_owned());
    (Role::Out(if is_said_of_page { marks::furniture(text).unwrap_or_default() } else { "below the article" }), doubt)
}
