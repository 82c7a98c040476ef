//! The text that people agree to when they sign up, and its version: a hash of what was shown.

use super::Publication;
use super::present::Presenter;
pub use crate::template::view::ConsentText;
use crate::template::words::Value;

/// Characters of a version: 64 bits, enough to tell apart what one publication has ever shown.
const CHARACTERS: usize = 16;

/// The text in the language that `presenter` speaks: `form.consent`, or our own words.
pub fn text(publication: &Publication, presenter: &Presenter<'_>) -> ConsentText {
    let config = &publication.config;
    let title = [("publication", Value::Text(&config.publication.title))];
    let text = config.form.consent.clone();
    versioned(text.unwrap_or_else(|| presenter.speech().word("ask_consent", &title)))
}

/// Every text that may be shown, in whichever language, by its version.
pub fn texts(publication: &Publication) -> Vec<ConsentText> {
    let config = &publication.config;
    if let Some(text) = &config.form.consent {
        return vec![versioned(text.clone())];
    }
    let title = [("publication", Value::Text(&config.publication.title))];
    let mut languages: Vec<&str> = publication.templates.languages().collect();
    languages.push(&config.publication.language);
    let mut texts: Vec<ConsentText> = vec![];
    for language in languages {
        let text = versioned(publication.templates.speech(language).word("ask_consent", &title));
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

fn versioned(text: String) -> ConsentText {
    let mut version = super::fingerprint([&text]);
    version.truncate(CHARACTERS);
    ConsentText { text, version }
}
