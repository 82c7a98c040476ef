//! A look at the folder: at all of it, or around what was touched.

use std::collections::BTreeSet;

use super::SOURCE;
use super::manifest::{Manifest, Stretch, is_within};
use crate::source::{self, Finds};
use crate::task::{Publication, TaskError};

/// What the folder is like.
pub(super) struct Look {
    pub(super) finds: Finds,
    pub(super) manifest: Manifest,
    /// The stretches of keys that were looked at; none where all were.
    pub(super) stretches: Option<Vec<Stretch>>,
}

impl Look {
    /// Around the files that were touched, where what is known of the others holds: else everywhere.
    pub(super) async fn at(
        publication: &Publication,
        touched: Option<&BTreeSet<String>>,
        before: Option<&Manifest>,
        rules: String,
    ) -> Result<Self, TaskError> {
        let folder = publication.config.articles.clone();
        if let Some((touched, before)) = touched.zip(before.filter(|before| before.is_settled(&rules)))
            && let complaints = publication.store.complaints(SOURCE).await?
            && let complained = complaints.iter().map(|complaint| complaint.key.as_str())
            && let Some(stretches) = before.around(touched.iter().map(String::as_str).chain(complained))
        {
            let (folder, wanted) = (folder.clone(), stretches.clone());
            let look = move || source::walk_for(&folder, &|key| is_within(&wanted, key));
            let finds = tokio::task::spawn_blocking(look).await?;
            if !finds.has_links
                && finds.unseen.is_empty()
                && let Some(manifest) = before.with(&stretches, &finds.files)
            {
                return Ok(Self { finds, manifest, stretches: Some(stretches) });
            }
        }
        let finds = tokio::task::spawn_blocking(move || source::walk(&folder)).await?;
        let manifest = Manifest::new(&finds.files, rules);
        Ok(Self { finds, manifest, stretches: None })
    }

    /// Whether a file of this key would have been seen.
    pub(super) fn would_show(&self, key: &str) -> bool {
        self.stretches.as_ref().is_none_or(|stretches| is_within(stretches, key)) && !self.finds.may_hide(key)
    }
}
