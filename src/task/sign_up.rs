//! Sign-ups by the form: who asks for what, what they agreed to, and many of them in one transaction.
//!
//! A commit waits for the disk. Sign-ups that arrive while one is under way are the next one together; each is answered
//! when its own is on the disk.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, oneshot};

use super::confirm::wanted;
use super::{Publication, TaskError};
use crate::domain::consent::{Consent, Source};
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::subscription::{Subscriber, SubscriptionState};
use crate::store::NewSubscription;

/// Sign-ups in one transaction at most.
const MOST: usize = 200;

/// What somebody agreed to when they asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Agreed {
    /// Version of the text that they were shown (see [`super::consent`]).
    pub text_version: String,
    /// Where the form came from, where `form.keep_ip` says that this is kept.
    pub ip: Option<IpAddr>,
}

/// Somebody who asks for feeds. Nobody is subscribed by it: the address itself has to say yes.
#[derive(Debug, Clone)]
pub struct SignUp {
    /// The person; the id is used only if the address is new.
    pub subscriber: Subscriber,
    /// What they ask for.
    pub feeds: Vec<(FeedName, Cadence)>,
    /// What they agreed to.
    pub agreed: Agreed,
}

/// Stores sign-ups, those who agreed to the same in one transaction.
///
/// Whether an address is new, known, pending or suppressed makes no difference that a visitor could see or measure: the
/// same statements are run.
///
/// # Errors
/// When the store fails; then some may be stored: asking again is asking once.
pub async fn store(publication: &Publication, sign_ups: &[SignUp]) -> Result<(), TaskError> {
    // Who agreed to the same is one statement: nearly always everyone.
    let mut groups: HashMap<&Agreed, Vec<NewSubscription>> = HashMap::new();
    for SignUp { subscriber, feeds, agreed } in sign_ups {
        let new = wanted(publication, subscriber, feeds, SubscriptionState::Pending);
        groups.entry(agreed).or_default().extend(new);
    }
    let at = publication.clock.now();
    for (Agreed { text_version, ip }, new) in groups {
        let consent = Consent { text_version: Some(text_version.clone()), ip: *ip, ..Consent::new(Source::Form, at) };
        publication.store.subscribe(&new, true, consent).await?;
    }
    Ok(())
}

type Waiting = (SignUp, oneshot::Sender<Result<(), Arc<TaskError>>>);

/// The way in for sign-ups that arrive at the same time.
#[derive(Debug, Clone)]
pub struct SignUps(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    publication: Publication,
    waiting: Mutex<Vec<Waiting>>,
    turn: Turn<()>,
}

impl SignUps {
    /// A way into this publication's store.
    pub fn new(publication: Publication) -> Self {
        Self(Arc::new(Inner { publication, waiting: Mutex::default(), turn: Turn::new(()) }))
    }

    /// Stores one; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take(&self, sign_up: SignUp) -> Result<(), TaskError> {
        let (tell, told) = oneshot::channel();
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((sign_up, tell));
        // A task of its own: a visitor who goes away takes nobody else along.
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move { inner.store_what_waits().await });
        told.await.unwrap_or_else(|_| Err(Arc::new(TaskError::Interrupted))).map_err(TaskError::Shared)
    }
}

impl Inner {
    async fn store_what_waits(&self) {
        let _turn = self.turn.lock().await;
        let batch: Vec<Waiting> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let number = waiting.len().min(MOST);
            waiting.drain(..number).collect()
        };
        if batch.is_empty() {
            return;
        }
        let (sign_ups, tells): (Vec<SignUp>, Vec<_>) = batch.into_iter().unzip();
        let stored = store(&self.publication, &sign_ups).await.map_err(Arc::new);
        for tell in tells {
            // Whoever went away is not told.
            let _ = tell.send(stored.clone());
        }
    }
}
