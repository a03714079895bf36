//! Texts that many objects share, kept once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arcstr::ArcStr;

use super::seen::{Claim, Labels, Text};

/// Keeps one copy of each namespace, pool name, condition text and label set.
#[derive(Clone, Default)]
pub(super) struct Names {
    texts: BTreeSet<Text>,
    labels: BTreeSet<Labels>,
    /// How many were in use when it was last looked at.
    in_use: usize,
}

/// What is not in use is kept up to this number, beyond as many as are in use.
const SPARE: usize = 1024;

impl Names {
    /// Puts shared copies in place of a claim's own.
    pub fn share_claim(&mut self, claim: &mut Claim) {
        self.share(&mut claim.id.namespace);
        self.share(&mut claim.pool);
        if let Some(ready) = &mut claim.shown.ready {
            self.share(&mut ready.reason);
            self.share(&mut ready.message);
        }
        if let Some(error) = &mut claim.shown.error {
            self.share(error);
        }
        if let Some(known) = self.labels.get(&claim.labels) {
            claim.labels = known.clone();
        } else {
            self.labels.insert(claim.labels.clone());
        }
        // Lists are rare, and claims may each bring labels that no other has.
        if self.len() > 2 * self.in_use + SPARE {
            self.purge();
        }
    }

    /// Puts the shared copy in place of `text`.
    pub fn share(&mut self, text: &mut Text) {
        if let Some(known) = self.texts.get(text) {
            *text = known.clone();
        } else {
            self.texts.insert(text.clone());
        }
    }

    /// Forgets what nobody uses any more.
    pub fn purge(&mut self) {
        self.texts.retain(|text| ArcStr::strong_count(text).is_some_and(|count| count > 1));
        self.labels.retain(|labels: &Arc<BTreeMap<_, _>>| Arc::strong_count(labels) > 1);
        self.in_use = self.len();
    }

    /// Number of texts and label sets that are kept.
    pub fn len(&self) -> usize {
        self.texts.len() + self.labels.len()
    }
}
