//! A page copied whole from a browser, as plain text: what was around the article is taken off, and what is left is
//! given its parts.
//!
//! Lines become roles, roles become an article. Nothing goes unsaid: each line of the text has an entry in the account of
//! what became of it.
//!
//! | File | What it knows |
//! |---|---|
//! | `words` | what the parts of a page are called, in each language |
//! | `dates` | how pages write dates |
//! | `lines` | which lines are one |
//! | `marks` | what one line looks like by itself |
//! | `roles` | what each line is, among the others |
//! | `article` | the article, and the account |

mod article;
mod dates;
mod lines;
mod marks;
mod roles;
mod words;

pub(super) use self::article::read;

/// A title's label and the rest: "Breaking News: The lighthouse is lit again".
pub(super) fn label(title: &str) -> Option<(&str, &str)> {
    marks::label(title)
}
