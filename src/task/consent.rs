//! The text that people agree to when they sign up, and its version: a hash of what was shown.

use super::Publication;
pub use crate::template::view::ConsentText;
use crate::template::words::Value;

/// Characters of a version: 64 bits, enough to tell apart what one publication has ever shown.
const CHARACTERS: usize = 16;

/// The text in a language: `form.consent`, or our own words.
pub fn text(publication: &Publication, language: &str) -> ConsentText {
    let config = &publication.config;
    let title = [("publication", Value::Text(&config.publication.title))];
    let text = config.form.consent.clone();
    versioned(text.unwrap_or_else(|| publication.templates.speech(language).word("ask_consent", &title)))
}

/// Every text that may be shown, in whichever language, by its version.
pub fn texts(publication: &Publication) -> Vec<ConsentText> {
    let mut texts: Vec<ConsentText> = vec![];
    let own = publication.config.publication.language.as_str();
    for language in [own].into_iter().chain(publication.templates.languages()) {
        let text = text(publication, language);
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
