//! Batches of people, each on its way to the store as a whole.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{Import, ImportReport, reason};
use crate::domain::subscription::SubscriberId;
use crate::store::Arrival;
use crate::task::{Publication, TaskError};

/// Where batches go.
pub(super) struct Writing<'a> {
    publication: &'a Publication,
    import: &'a Import<'a>,
    /// What came of them so far.
    pub(super) report: ImportReport,
    /// When the ids of the last batch began.
    now: DateTime<Utc>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(publication: &'a Publication, import: &'a Import<'a>, report: ImportReport) -> Self {
        Self { publication, import, report, now: publication.clock.now() }
    }

    /// Writes a batch, all or none of it.
    pub(super) async fn write(&mut self, batch: Vec<(usize, Arrival)>) -> Result<(), TaskError> {
        if batch.is_empty() {
            return Ok(());
        }
        let store = &self.publication.store;
        let hashes: Vec<String> = batch.iter().map(|(_, arrival)| arrival.address_hash.clone()).collect();
        let suppressed = store.suppressed(&hashes).await?;
        let mut arrivals = Vec::with_capacity(batch.len());
        for (line, arrival) in batch {
            if !suppressed.contains(&arrival.address_hash) {
                arrivals.push((line, arrival));
            } else if !arrival.subscriptions.is_empty() {
                self.report.suppressed += 1;
                let what = format!("{} is suppressed here: no mail goes there", arrival.subscriber.address);
                self.report.remark(line, reason::SUPPRESSED, what);
            }
        }
        if arrivals.is_empty() {
            return Ok(());
        }
        // In the order of one index, with ids in the same order for another: a page of either takes many at once.
        arrivals.sort_by_cached_key(|(_, arrival)| arrival.subscriber.address.key());
        self.now = self.publication.clock.now().max(self.now);
        let mut ids: Vec<SubscriberId> = arrivals.iter().map(|_| SubscriberId::new(self.now)).collect();
        ids.sort_unstable();
        for ((_, arrival), id) in arrivals.iter_mut().zip(ids) {
            arrival.subscriber.id = id;
        }
        if self.import.dry_run {
            return self.foretell(&arrivals).await;
        }
        let (_, arrivals): (Vec<usize>, Vec<Arrival>) = arrivals.into_iter().unzip();
        let taken = store.take_in(&arrivals, self.import.overwrite, self.now).await?;
        self.report.subscribers += taken.people;
        self.report.subscriptions += taken.subscriptions;
        self.report.changed += taken.changed;
        self.report.banned += taken.banned;
        if taken.overfull > 0 {
            *self.report.reasons.entry(reason::OVERFULL).or_default() += taken.overfull;
        }
        let people = arrivals.iter().filter(|arrival| !arrival.subscriptions.is_empty()).count() as u64;
        if people > taken.people {
            *self.report.reasons.entry(reason::KNOWN).or_default() += people - taken.people;
        }
        Ok(())
    }

    /// Says what writing would do.
    async fn foretell(&mut self, arrivals: &[(usize, Arrival)]) -> Result<(), TaskError> {
        let keys: Vec<String> = arrivals.iter().map(|(_, arrival)| arrival.subscriber.address.key()).collect();
        let mut choices: HashMap<String, HashMap<String, (String, String)>> = HashMap::new();
        for (key, feed, cadence, state) in self.publication.store.choices(&keys).await? {
            choices.entry(key).or_default().insert(feed, (cadence, state));
        }
        for ((line, arrival), key) in arrivals.iter().zip(&keys) {
            self.report.banned += u64::from(arrival.ban.is_some());
            if arrival.subscriptions.is_empty() {
                continue;
            }
            let Some(known) = choices.get(key) else {
                self.report.subscribers += 1;
                self.report.subscriptions += arrival.subscriptions.len() as u64;
                continue;
            };
            let mut said = vec![];
            for one in &arrival.subscriptions {
                match known.get(one.feed.as_str()) {
                    None => self.report.subscriptions += 1,
                    Some((cadence, state)) => {
                        let differs = cadence != one.cadence.as_str() || state != one.state.as_str();
                        if self.import.overwrite && differs && state != "ended" {
                            self.report.changed += 1;
                            said.push(format!(
                                "{} {cadence} ({state}) becomes {} ({})",
                                one.feed,
                                one.cadence,
                                one.state.as_str()
                            ));
                        } else {
                            said.push(format!("{} {cadence} ({state}) stays", one.feed));
                        }
                    }
                }
            }
            let what = format!("{} is known: {}", arrival.subscriber.address, said.join(", "));
            self.report.remark(*line, reason::KNOWN, what);
        }
        Ok(())
    }
}
