//! Rows about etcd.

use super::{Release, Rule};

/// How to request the check for corruption at the start.
pub const FEATURE_GATES: Rule<Release> = Rule {
    what: "the check for corruption at the start is the feature gate InitialCorruptCheck; before, it is a flag of its own",
    since: Some(Release::new(3, 6, 0)),
    until: None,
    source: "etcd-io/etcd server/features/etcd_features.go",
};

/// Whether a restored snapshot can continue with higher revisions.
pub const REVISION_BUMP: Rule<Release> = Rule {
    what: "etcdutl snapshot restore has the flags --bump-revision and --mark-compacted",
    since: Some(Release::new(3, 5, 10)),
    until: None,
    source: "etcd-io/etcd etcdutl/etcdutl/snapshot_command.go",
};

/// Every row.
pub const RULES: [Rule<Release>; 2] = [FEATURE_GATES, REVISION_BUMP];
