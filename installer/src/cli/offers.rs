//! The values that completion offers for kinstall's arguments.

use kbundle_cli::definition::Offer;

use crate::preflight::CheckId;

/// By the argument's id.
pub(crate) const OFFERS: &[Offer] = &[("ignored", checks), ("topic", topics)];

fn checks() -> Vec<String> {
    CheckId::every().map(|check| check.to_string()).collect()
}

fn topics() -> Vec<String> {
    kbundle_manual::pages().map(|page| page.topic.to_owned()).collect()
}
