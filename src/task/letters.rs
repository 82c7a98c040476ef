//! Letters about a change of address: one asks the new address whether mail may come there, one tells the old that it does.

use chrono::{DateTime, TimeDelta, Utc};

use super::confirm::{Envelope, hand_over};
use super::dispatch::{Stop, describe, single_mailer};
use super::present::Presenter;
use super::{Publication, TaskError};
use crate::domain::address::Mailbox;
use crate::domain::delivery::{Fault, Outcome, fault};
use crate::domain::subscription::ONE_CONFIRMATION_PER;
use crate::mail::message::{self, Kind};
use crate::store::Letter;
use crate::template::view::{LetterFacts, LetterView};
use crate::template::words::Value;

/// How long the link holds by which an address lets mail in.
pub const MOVE_WITHIN: TimeDelta = TimeDelta::days(2);
/// Letters sent in one go.
const BATCH: i64 = 100;

/// Sends the letters that wait. Returns how many were handed over.
///
/// # Errors
/// When the store fails or a template cannot be rendered. A relay that is away, or refuses us for a fault of our own,
/// is logged and tried again later.
pub async fn send_letters(publication: &Publication, stop: &Stop) -> Result<u64, TaskError> {
    let now = publication.clock.now();
    let mut waiting = publication.store.letters(now - ONE_CONFIRMATION_PER, BATCH).await?;
    waiting.retain(|letter| letter.asked_at + MOVE_WITHIN > now);
    if waiting.is_empty() {
        return Ok(0);
    }
    let mut mailer = single_mailer(publication);
    let mut sent = 0;
    for letter in waiting {
        let bytes = written(publication, &letter, now)?;
        let file_stem = format!("letter-{}", letter.address_hash);
        let to = (letter.subscriber, &letter.address);
        let envelope = Envelope { to, from: &publication.config.mail.from.address, file_stem: &file_stem };
        let Some(outcome) = hand_over(publication, &mut mailer, stop, &envelope, &bytes).await else { break };
        match outcome {
            Outcome::Accepted { .. } | Outcome::Unknown { .. } => {
                publication.store.letter_sent(&letter, now).await?;
                sent += 1;
            }
            // The refusal of an address is remembered as sent: trying again would not change it.
            Outcome::Refused { .. } if fault(&outcome) != Some(Fault::Sender) => {
                publication.store.letter_sent(&letter, now).await?;
            }
            outcome => {
                tracing::warn!(outcome = describe(&outcome), "a letter about a change of address waits");
                break;
            }
        }
    }
    mailer.close().await;
    Ok(sent)
}

fn written(publication: &Publication, letter: &Letter, now: DateTime<Utc>) -> Result<Vec<u8>, TaskError> {
    let config = &publication.config;
    let languages = &publication.languages;
    let language = languages.at(languages.of_reader(letter.language.as_deref()));
    let presenter = Presenter::new(publication, config.live_urls()).speaking(language);
    let speech = presenter.speech();
    let title = [("publication", Value::Text(&config.publication.title))];
    let url = if letter.is_old {
        presenter.urls.at(&publication.preferences(letter.subscriber))
    } else {
        let until = letter.asked_at + MOVE_WITHIN;
        let token = publication.keyring.sign_address(letter.subscriber, &letter.address_hash, until);
        presenter.urls.at(&format!("/address/{token}"))
    };
    let key = |asking: &'static str, telling: &'static str| if letter.is_old { telling } else { asking };
    let facts = LetterFacts {
        heading: speech.word(key("move_title", "moved_title"), &[]),
        text: speech.word(key("letter_move_text", "letter_moved_text"), &title),
        url,
        button: speech.word(key("move_button", "letter_moved_button"), &[]),
        note: if letter.is_old {
            speech.word("letter_moved_not_you", &[])
        } else {
            format!("{} {}", speech.word("letter_move_time", &[]), speech.word("confirm_not_you", &[]))
        },
    };
    let subject = speech.word(key("letter_move_subject", "letter_moved_subject"), &title);
    let (language, dir) = presenter.language();
    let view = LetterView { language, dir, publication: presenter.publication(), letter: facts };
    let bodies = publication.templates.mail("letter", &view)?;
    let to = Mailbox::new(None, letter.address.clone());
    let letter_bytes = message::bytes(&message::Letter {
        from: &config.mail.from,
        reply_to: config.mail.reply_to.as_ref(),
        to: &to,
        subject: &subject,
        text: &bodies.text,
        html: &bodies.html,
        // One a day at most: whatever is tried again has the same.
        message_id: &format!("letter-{}-{}@{}", letter.address_hash, now.format("%Y%m%d"), config.host()),
        date: now,
        kind: Kind::Notice,
    })?;
    publication.sign(&config.mail.from.address, Some((letter.subscriber, None)), letter_bytes)
}
