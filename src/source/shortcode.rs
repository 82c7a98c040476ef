//! Shortcodes and template tags (`{{< … >}}`, `{{ … }}`, `{% … %}`): programs of Hugo, Zola and Jekyll.
//!
//! They are not run here and stay as text; a person is told.

use std::ops::Range;

use pulldown_cmark::{Event, Parser, Tag};

use super::{Complaints, Source, markdown};

/// Points out the first shortcode outside code.
pub(super) fn complain(source: &Source<'_>, complaints: &mut Complaints<'_>) {
    let markdown = source.text;
    let found = |text: &str| text.match_indices('{').find(|(at, _)| is_shortcode(&text[*at..])).map(|(at, _)| at);
    if found(markdown).is_none() {
        return;
    }
    let mut code: Vec<Range<usize>> = Vec::new();
    for (event, at) in Parser::new_ext(markdown, markdown::options()).into_offset_iter() {
        if matches!(event, Event::Code(_) | Event::Start(Tag::CodeBlock(_))) {
            code.push(at);
        }
    }
    let outside = |at: &usize| {
        let before = code.partition_point(|code| code.start <= *at);
        !code[..before].last().is_some_and(|code| code.contains(at))
    };
    let first = markdown.match_indices('{').map(|(at, _)| at).find(|at| is_shortcode(&markdown[*at..]) && outside(at));
    if let Some(at) = first {
        complaints
            .add(source.line_at(at), "shortcodes are not run: this one stays as text")
            .hint("write what it stands for, or put it into backquotes if it is meant as text");
    }
}

fn is_shortcode(text: &str) -> bool {
    /// A longer one is a text that happens to have braces, and not to be looked through again and again.
    const LONGEST: usize = 300;
    if ["{{<", "{{%", "{%"].iter().any(|opening| text.starts_with(opening)) {
        return true;
    }
    let inside =
        text.strip_prefix("{{").map(str::trim_start).filter(|text| text.starts_with(|c: char| c.is_alphabetic()));
    inside.is_some_and(|inside| inside.as_bytes().windows(2).take(LONGEST).any(|pair| pair == b"}}"))
}
