//! What comes back after a relay accepted a message.

use super::Publication;
use crate::config::reports::with_token;
use crate::domain::digest::DigestId;
use crate::domain::subscription::SubscriberId;

impl Publication {
    /// The envelope sender of one message, with a token that says whom a bounce is about; `None` where no address for
    /// bounces is configured.
    pub fn bounces_to(&self, subscriber: SubscriberId, digest: Option<DigestId>) -> Option<String> {
        let bounces = self.config.mail.bounces.as_ref()?;
        Some(with_token(bounces, &self.keyring.bounce_token(subscriber, digest)))
    }
}
