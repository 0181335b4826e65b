//! Rows about containerd's configuration.

use super::{Release, Rule};

/// The form that 2.0 introduced: plugins have other names than in form 2.
pub const FORM_3: Rule<Release> = Rule {
    what: "the configuration's own form is version 3; before, it is version 2",
    since: Some(Release::new(2, 0, 0)),
    until: Some(Release::new(2, 3, 0)),
    source: "containerd/containerd RELEASES.md, \"Daemon Configuration\"",
};

/// The form that 2.3 introduced: the sockets became plugins; everything that kinstall writes is as in form 3.
pub const FORM_4: Rule<Release> = Rule {
    what: "the configuration's own form is version 4; older ones are migrated at every start",
    since: Some(Release::new(2, 3, 0)),
    until: None,
    source: "containerd/containerd RELEASES.md, \"Daemon Configuration\"; cmd/containerd/server/config/config.go, serviceMigrate",
};

/// The key for the directories of CNI plugins.
pub const CNI_BIN_DIRS: Rule<Release> = Rule {
    what: "the CNI's bin_dirs, a list, stands for bin_dir, which goes with 2.4",
    since: Some(Release::new(2, 1, 0)),
    until: None,
    source: "containerd/containerd RELEASES.md, \"Deprecated config properties\"",
};

/// Every row.
pub const RULES: [Rule<Release>; 3] = [FORM_3, FORM_4, CNI_BIN_DIRS];
