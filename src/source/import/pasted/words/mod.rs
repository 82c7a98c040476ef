//! The words by which the parts of a copied page are known, in each language. A language more is a file
//! more, and its name in [`LANGUAGES`].
//!
//! Everything is written as [`folded`] text is: lower case, straight apostrophes, no mark at either end.

mod english;
mod french;
mod german;
mod spanish;

/// What one language calls the parts of a page.
pub(super) struct Language {
    /// Its tag (BCP 47).
    pub(super) tag: &'static str,
    /// Words before a title, or above it.
    pub(super) labels: &'static [&'static str],
    /// What leads to another article, alone or before its title.
    pub(super) also_read: &'static [&'static str],
    /// What stands above questions with answers.
    pub(super) faq: &'static [&'static str],
    /// One question, and its answer, where they bear a mark: "Q", "A", "Question 1".
    pub(super) question: &'static [&'static str],
    pub(super) answer: &'static [&'static str],
    /// The headings with which the end of a page begins.
    pub(super) footer: &'static [&'static str],
    /// Lines that are on every page, whole: the menu, buttons, what is under a picture of an advertisement.
    pub(super) furniture: &'static [&'static str],
    /// Those of them that stand in the middle of articles, too.
    pub(super) buttons: &'static [&'static str],
    /// What stands before the name of who made a picture.
    pub(super) credits: &'static [&'static str],
    /// What stands before an article's tags.
    pub(super) tags: &'static [&'static str],
    /// Parts of sentences that a page says of itself and not of the news.
    pub(super) house_phrases: &'static [&'static str],
    /// What stands before a name of who wrote it.
    pub(super) by: &'static [&'static str],
    /// What stands between two names.
    pub(super) and: &'static str,
    /// What stands before a place on a line of its own.
    pub(super) place: &'static [&'static str],
    /// What stands before the date of a first, and of a later edition.
    pub(super) published: &'static [&'static str],
    pub(super) updated: &'static [&'static str],
    /// Words that may stand in a date besides its numbers and names.
    pub(super) in_dates: &'static [&'static str],
    pub(super) months: [&'static [&'static str]; 12],
    pub(super) weekdays: &'static [&'static str],
    /// The sky, on a line of its own.
    pub(super) weather: &'static [&'static str],
    /// Frequent words that hardly any other of these languages has: they tell in which one a text is written.
    pub(super) common: &'static [&'static str],
}

/// A line as these words are written.
pub(super) fn folded(text: &str) -> String {
    let straight: String = text.chars().map(|c| if matches!(c, '’' | '‘' | '´' | '`') { '\'' } else { c }).collect();
    straight.to_lowercase().trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
}

/// Whether any language has this word in a list.
pub(super) fn any(list: impl Fn(&Language) -> &'static [&'static str], word: &str) -> bool {
    LANGUAGES.iter().any(|language| list(language).contains(&word))
}

/// Every word of a list in every language.
pub(super) fn all(list: impl Fn(&Language) -> &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    LANGUAGES.iter().flat_map(move |language| list(language).iter().copied())
}

/// The places where a page is shared or followed; they are called the same everywhere.
pub(super) const NETWORKS: &[&str] = &[
    "facebook",
    "twitter",
    "x",
    "instagram",
    "pinterest",
    "whatsapp",
    "linkedin",
    "youtube",
    "telegram",
    "reddit",
    "tumblr",
    "tiktok",
    "threads",
    "mastodon",
    "bluesky",
    "rss",
    "email",
    "e-mail",
    "mail",
    "vimeo",
    "vkontakte",
    "vk",
    "linkedin in",
    "reddit it",
    "copy url",
    "copy link",
    "print",
    "viber",
    "flipboard",
    "xing",
    "snapchat",
];

pub(super) const LANGUAGES: [Language; 4] = [english::ENGLISH, german::GERMAN, french::FRENCH, spanish::SPANISH];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_written_as_lines_are_compared() {
        for language in &LANGUAGES {
            let lists = [
                language.labels,
                language.also_read,
                language.faq,
                language.question,
                language.answer,
                language.footer,
                language.furniture,
                language.buttons,
                language.tags,
                language.credits,
                language.by,
                language.place,
                language.published,
                language.updated,
                language.in_dates,
                language.weekdays,
                language.weather,
                language.common,
            ];
            for word in lists.into_iter().chain(language.months).flatten() {
                assert_eq!(folded(word), *word, "{}", language.tag);
            }
            for phrase in language.house_phrases {
                assert_eq!(phrase.to_lowercase(), *phrase, "{}", language.tag);
            }
        }
    }
}
