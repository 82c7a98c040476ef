//! The article that lines with roles make, and the account of what became of each.

use super::super::mark::{escaped, heading};
use super::super::{Brought, Entry, Fate, Piece};
use super::lines::{self, Line};
use super::marks;
use super::roles::{self, Assigned, Role};
use crate::domain::article::Slug;
use crate::domain::text;
use crate::problem::Problem;
use crate::source::Context;

/// Longest title that is made of a sentence, in characters.
const TITLE_MAX: usize = 120;

/// The article in a text, as far as there is one.
pub(in super::super) fn read(name: &str, text: &str, context: &Context<'_>, own_language: &str) -> Brought {
    let lines = lines::read(text, roles::stands_alone);
    let roles = roles::assign(&lines);
    let mut article = Article {
        name,
        piece: Piece { origin: name.to_owned(), ..Piece::default() },
        brought: Brought::default(),
        blocks: vec![],
        above: Above::default(),
        questions: vec![],
        in_faq: false,
        had_lead: false,
    };
    let title = roles.iter().position(|assigned| assigned.role == Role::Title);
    for (at, (line, Assigned { role, doubt })) in lines.iter().zip(roles).enumerate() {
        let is_above = title.is_some_and(|title| at < title);
        let (fate, what, own_doubt) = article.take(line, role, is_above);
        article.enter(line, fate, what, doubt.or(own_doubt));
    }
    article.finish(&lines, title, context, own_language)
}

/// What stood above the title, for when nothing better comes.
#[derive(Default)]
struct Above {
    /// With the place of its line in the account.
    date: Option<(String, usize)>,
    place: Option<(String, usize)>,
}

/// A part of a body or of an answer.
enum Block {
    Paragraph(String),
    /// An item of a list.
    Item(String),
}

struct Article<'a> {
    name: &'a str,
    piece: Piece,
    brought: Brought,
    blocks: Vec<Block>,
    above: Above,
    /// Questions with the blocks of their answers and their line.
    questions: Vec<(String, Vec<Block>, usize)>,
    in_faq: bool,
    had_lead: bool,
}

type Taken = (Fate, String, Option<String>);

impl Article<'_> {
    fn enter(&mut self, line: &Line, fate: Fate, what: String, doubt: Option<String>) {
        let unsure = doubt.is_some();
        self.brought.account.push(Entry {
            file: self.name.to_owned(),
            line: line.numbers.first().copied().unwrap_or(0),
            through: line.numbers.last().copied().unwrap_or(0),
            text: line.text.clone(),
            fate,
            what: doubt.unwrap_or(what),
            unsure,
        });
    }

    fn take(&mut self, line: &Line, role: Role, is_above: bool) -> Taken {
        let text = line.text.as_str();
        let as_it_was = |what: &str| (Fate::Kept, what.to_owned(), None);
        match role {
            Role::Out(why) => (Fate::Dropped, why.to_owned(), None),
            Role::Title => self.title(text),
            Role::Label => {
                self.piece.label.get_or_insert_with(|| text.trim_end_matches([':', '|']).trim().to_owned());
                as_it_was("the label")
            }
            Role::Standfirst => {
                self.piece.summary = Some(text.to_owned());
                as_it_was("the summary")
            }
            Role::Facts(facts) => self.facts(facts, is_above),
            Role::Place(place) => self.place(place, is_above),
            Role::Tags(tags) => {
                let what = format!("tags: {}", tags.join(", "));
                self.piece.tags.extend(tags);
                (Fate::Read, what, None)
            }
            Role::AlsoRead => (Fate::Read, "what to read next is below it".to_owned(), None),
            Role::Related => self.related(text),
            Role::FaqHeading => {
                self.in_faq = true;
                (Fate::Read, "the questions are below it".to_owned(), None)
            }
            Role::Question => self.question(line),
            Role::Answer => {
                self.answer(text);
                as_it_was("an answer")
            }
            Role::Heading(level) => {
                self.in_faq = false;
                let text = marks::hashes(text).1;
                self.blocks.push(Block::Paragraph(heading(level, text)));
                as_it_was("a heading")
            }
            Role::Paragraph => self.paragraph(text),
            Role::Bullet | Role::Item => {
                self.blocks.push(block(text));
                as_it_was("an item of a list")
            }
        }
    }

    fn title(&mut self, text: &str) -> Taken {
        let text = marks::hashes(text).1;
        let whole = match marks::label(text) {
            Some((label, rest)) => {
                self.piece.label = Some(label.to_owned());
                rest
            }
            None => text,
        };
        self.piece.title = text::shorten(whole, TITLE_MAX * 2);
        if self.piece.title != whole {
            // A sentence that has to be the title stays a sentence.
            self.piece.title = text::shorten(whole, TITLE_MAX);
            self.blocks.push(Block::Paragraph(escaped(whole)));
        }
        match &self.piece.label {
            Some(label) => (Fate::Read, format!("the title, with the label {label:?}"), None),
            None => (Fate::Kept, "the title".to_owned(), None),
        }
    }

    fn facts(&mut self, facts: marks::Facts, is_above: bool) -> Taken {
        let at = self.brought.account.len();
        let mut said = vec![];
        let mut is_used = facts.dates.is_empty();
        for date in facts.dates {
            let written = date.written();
            let (slot, what) =
                if date.is_update { (&mut self.piece.updated, "edited") } else { (&mut self.piece.date, "dated") };
            if is_above {
                is_used |= self.above.date.is_none();
                self.above.date.get_or_insert((written.clone(), at));
            } else {
                is_used |= slot.is_none() || slot.as_ref() == Some(&written);
                slot.get_or_insert(written.clone());
            }
            said.push(format!("{what} {written}"));
        }
        if let Some(place) = facts.place.clone().filter(|_| is_above) {
            self.above.place.get_or_insert((place, at));
        }
        if let Some(place) = facts.place.filter(|_| !is_above) {
            said.insert(0, format!("from {place}"));
            self.piece.place.get_or_insert(place);
            is_used = true;
        }
        if is_above && !facts.authors.is_empty() {
            return (Fate::Dropped, "above the title".to_owned(), None);
        }
        if !facts.authors.is_empty() {
            said.insert(0, format!("by {}", facts.authors.join(", ")));
            is_used = true;
        }
        for author in facts.authors {
            if !self.piece.authors.contains(&author) {
                self.piece.authors.push(author);
            }
        }
        if !is_used {
            return (Fate::Dropped, "one more date".to_owned(), None);
        }
        let said = said.join(", ");
        let doubt = facts.is_unsure.then(|| format!("taken as: {said}"));
        (Fate::Read, said, doubt)
    }

    fn place(&mut self, place: String, is_above: bool) -> Taken {
        let what = format!("the place, {place}");
        if is_above {
            let at = self.brought.account.len();
            self.above.place.get_or_insert((place, at));
            return (Fate::Dropped, "above the title".to_owned(), None);
        }
        if self.piece.place.as_ref().is_some_and(|known| *known != place) {
            return (Fate::Dropped, "one more place".to_owned(), None);
        }
        self.piece.place = Some(place);
        (Fate::Read, what, None)
    }

    fn related(&mut self, text: &str) -> Taken {
        let title = marks::also_read(text).filter(|rest| !rest.is_empty()).unwrap_or(text);
        let title = marks::bullet(title).unwrap_or(title);
        let Some(slug) = Slug::from_text(title) else {
            return (Fate::Dropped, "what to read next, without letters or digits".to_owned(), None);
        };
        if !self.piece.related.iter().any(|known| known == slug.as_str()) {
            self.piece.related.push(slug.as_str().to_owned());
        }
        (Fate::Read, format!("also read: {slug}"), None)
    }

    fn question(&mut self, line: &Line) -> Taken {
        let text = marks::bullet(&line.text).unwrap_or(&line.text);
        let text = marks::numbered(text).map_or(text, |(_, rest)| rest);
        let text = marks::question_mark(text).unwrap_or(text);
        let (_, text) = marks::hashes(text);
        let (question, answer) = match text.split_once("? ") {
            Some((question, answer)) if !text.ends_with('?') => (format!("{question}?"), Some(answer)),
            _ => (text.to_owned(), None),
        };
        let blocks = answer.map(|answer| vec![block(marks::answer_mark(answer).unwrap_or(answer))]).unwrap_or_default();
        let is_answered = !blocks.is_empty();
        self.questions.push((question.trim_matches(['*', '_']).trim().to_owned(), blocks, line.numbers[0]));
        if is_answered {
            return (Fate::Read, "a question and its answer".to_owned(), None);
        }
        (Fate::Kept, "a question".to_owned(), None)
    }

    fn answer(&mut self, text: &str) {
        let text = marks::answer_mark(text).unwrap_or(text);
        match self.questions.last_mut() {
            Some((_, blocks, _)) => blocks.push(block(text)),
            None => self.blocks.push(block(text)),
        }
    }

    fn paragraph(&mut self, text: &str) -> Taken {
        let is_lead = !std::mem::replace(&mut self.had_lead, true);
        let dateline =
            marks::dateline(text, is_lead).filter(|(place, _)| is_lead && !self.piece.authors.contains(place));
        if let Some((place, rest)) = dateline {
            self.blocks.push(block(rest));
            let what = format!("begins with the place, {place}");
            self.piece.place = Some(place);
            return (Fate::Read, what, None);
        }
        self.blocks.push(Block::Paragraph(escaped(text)));
        (Fate::Kept, "a paragraph".to_owned(), None)
    }

    fn finish(mut self, lines: &[Line], title: Option<usize>, context: &Context<'_>, own_language: &str) -> Brought {
        let Some(title) = title.filter(|_| !self.piece.title.is_empty()) else {
            let problem = Problem::new(self.name, "no article in it: every line is empty, or of a page's menu");
            self.brought.problems.push(problem.hint("copy the page from its title to its last sentence"));
            return self.brought;
        };
        self.piece.line = lines[title].numbers.first().copied();
        self.fill_from_above();
        if self.piece.date.is_none() {
            self.piece.date = self.piece.updated.take();
        }
        if self.piece.date.is_none() {
            self.piece.is_dated_now = true;
            self.piece.date = Some(context.now.with_timezone(&context.time_zone).date_naive().to_string());
            let entry = &mut self.brought.account[title];
            entry.what = format!("{}; no date was found, so it is dated today", entry.what);
            entry.unsure = true;
        }
        let language = marks::language(lines.iter().map(|line| line.text.as_str()));
        let own = own_language.split('-').next().unwrap_or_default();
        self.piece.language = language.filter(|found| *found != own).map(str::to_owned);
        for (question, blocks, line) in std::mem::take(&mut self.questions) {
            if blocks.is_empty() {
                self.blocks.push(Block::Paragraph(escaped(&question)));
                let problem = Problem::new(self.name, format!("a question without an answer: {question:?}")).at(line);
                self.brought
                    .problems
                    .push(problem.hint("it was put below the text; write its answer under [[faq]], or take it out"));
            } else {
                self.piece.faq.push((question, written(&blocks)));
            }
        }
        self.piece.body = written(&self.blocks);
        self.brought.pieces.push(self.piece);
        self.brought
    }

    /// What the article does not say itself is taken from above its title.
    fn fill_from_above(&mut self) {
        if let Some((date, at)) = self.above.date.take() {
            let entry = &mut self.brought.account[at];
            if self.piece.date.is_none() && self.piece.updated.is_none() {
                (entry.fate, entry.unsure) = (Fate::Read, true);
                entry.what = format!("above the title, taken as the date: {date}");
                self.piece.date = Some(date);
            } else {
                (entry.fate, entry.unsure, entry.what) = (Fate::Dropped, false, "above the title".to_owned());
            }
        }
        if let Some((place, at)) = self.above.place.take()
            && self.piece.place.is_none()
        {
            let entry = &mut self.brought.account[at];
            (entry.fate, entry.unsure) = (Fate::Read, true);
            let also = if entry.what.contains("taken as the date") {
                format!("{}, and as the place: {place}", entry.what)
            } else {
                "above the title, taken as the place".to_owned()
            };
            entry.what = also;
            self.piece.place = Some(place);
        }
    }
}

/// A line of a body or an answer in Markdown.
fn block(text: &str) -> Block {
    if let Some(rest) = marks::bullet(text) {
        return Block::Item(format!("- {}", escaped(rest)));
    }
    match marks::numbered(text) {
        Some((number, rest)) => Block::Item(format!("{number}. {}", escaped(rest))),
        None => Block::Paragraph(escaped(text)),
    }
}

/// Blocks with a blank line between them, items of a list without.
fn written(blocks: &[Block]) -> String {
    let mut out = String::new();
    let mut is_after_item = false;
    for block in blocks {
        let (text, is_item) = match block {
            Block::Paragraph(text) => (text, false),
            Block::Item(text) => (text, true),
        };
        if !out.is_empty() {
            out.push_str(if is_after_item && is_item { "\n" } else { "\n\n" });
        }
        out.push_str(text);
        is_after_item = is_item;
    }
    out
}
