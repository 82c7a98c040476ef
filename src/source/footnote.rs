//! Footnotes: numbered in order of first mention, collected at the foot of the body, each with the way back.
//!
//! Ids begin with the article's slug, and links name the article's own page: several articles stand on one page and
//! in one mail.

use std::collections::HashMap;

use pulldown_cmark::CowStr;

use super::Page;
use super::html::push;

/// The notes of one body.
#[derive(Debug, Default)]
pub(super) struct Notes<'a> {
    places: HashMap<CowStr<'a>, usize>,
    notes: Vec<Note>,
}

#[derive(Debug, Default)]
struct Note {
    references: usize,
    html: String,
}

impl<'a> Notes<'a> {
    /// The note's place in order of first mention, from 0.
    pub(super) fn place(&mut self, label: CowStr<'a>) -> usize {
        let next = self.notes.len();
        let place = *self.places.entry(label).or_insert(next);
        if place == next {
            self.notes.push(Note::default());
        }
        place
    }

    /// Adds to what the note at `place` says.
    pub(super) fn define(&mut self, place: usize, html: &str) {
        self.notes[place].html.push_str(html);
    }

    /// Writes a reference to a note.
    pub(super) fn refer(&mut self, html: &mut String, label: CowStr<'a>, page: &Page<'_>) {
        let place = self.place(label);
        let number = place + 1;
        self.notes[place].references += 1;
        let again = match self.notes[place].references {
            1 => String::new(),
            references => format!("-{references}"),
        };
        let (own, slug) = (page.links.own(), page.slug);
        push(
            html,
            format_args!(
                "<sup id=\"{slug}-fnref-{number}{again}\"><a href=\"{own}#{slug}-fn-{number}\">{number}</a></sup>"
            ),
        );
    }

    /// Writes the notes, if there are any.
    pub(super) fn write(&self, html: &mut String, page: &Page<'_>) {
        if self.notes.is_empty() {
            return;
        }
        let (own, slug) = (page.links.own(), page.slug);
        html.push_str("<hr />\n<ol>\n");
        for (place, note) in self.notes.iter().enumerate() {
            let number = place + 1;
            push(html, format_args!("<li id=\"{slug}-fn-{number}\">"));
            let text = note.html.trim_end();
            let (text, end) = text.strip_suffix("</p>").map_or((text, ""), |text| (text, "</p>"));
            html.push_str(text);
            if note.references > 0 {
                // U+FE0E: the arrow as text, which mail programs would else turn into a coloured picture.
                push(html, format_args!(" <a href=\"{own}#{slug}-fnref-{number}\">↩\u{FE0E}</a>"));
            }
            push(html, format_args!("{end}</li>\n"));
        }
        html.push_str("</ol>\n");
    }
}
