//! Characters that XML forbids, in a body: as they are, or by the back door as a reference such as `&#x1F;`.
//!
//! They are left out, for one of them would make the whole feed ill-formed, and their author is told where they stand.

use std::borrow::Cow;

use super::{Complaints, Source};
use crate::domain::text;

/// Text made of `source`, without such characters.
pub(super) fn cleaned(made: String, source: &Source<'_>, complaints: &mut Complaints<'_>) -> String {
    match text::clean(&made) {
        Cow::Borrowed(_) => made,
        Cow::Owned(cleaned) => {
            complain(source, complaints);
            cleaned
        }
    }
}

fn complain(source: &Source<'_>, complaints: &mut Complaints<'_>) {
    let raw = source.text.char_indices().find(|(_, c)| is_forbidden(*c));
    let written = source.text.match_indices("&#").find_map(|(at, _)| {
        let c = reference(&source.text[at + 2..])?;
        is_forbidden(c).then_some((at, c))
    });
    let first = [raw, written].into_iter().flatten().min_by_key(|(at, _)| *at);
    let Some((at, c)) = first else { return };
    complaints
        .add(source.line_at(at), format!("the text holds a control character, U+{:04X}; it was left out", u32::from(c)))
        .hint("type the line anew: such characters come in unseen with copied text");
}

fn is_forbidden(c: char) -> bool {
    text::clean(c.encode_utf8(&mut [0; 4])).is_empty()
}

/// The character of a numeric reference, from behind its `&#`.
fn reference(text: &str) -> Option<char> {
    let (digits, radix) = match text.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).filter(|end| (1..=7).contains(end))?;
    char::from_u32(u32::from_str_radix(&digits[..end], radix).ok()?)
}
