//! Relays that are away, noted in the store: an editor is told of one that stays away.

use super::{Round, lock};
use crate::store::StoreError;

impl Round {
    /// Learns which relays are known to be away.
    pub(super) async fn learn_absences(&self) -> Result<(), StoreError> {
        let absences = self.publication.store.absences().await?;
        *lock(&self.absent) = absences.into_iter().map(|absence| absence.relay).collect();
        Ok(())
    }

    /// Notes which went away or came back since.
    pub(super) async fn note_absences(&self) -> Result<(), StoreError> {
        for way in &self.ways {
            let is_known = lock(&self.absent).contains(&way.name);
            if way.is_away() && !is_known {
                let why = lock(&self.given_up).clone().unwrap_or_default();
                self.publication.store.relay_is_away(&way.name, &why, self.now()).await?;
                lock(&self.absent).insert(way.name.clone());
            } else if way.is_open() && is_known {
                self.publication.store.relay_is_back(&way.name).await?;
                lock(&self.absent).remove(&way.name);
            }
        }
        Ok(())
    }
}
