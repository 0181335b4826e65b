//! Texts about kinstall in help, manual pages and completion, besides its commands.

use kbundle_cli::definition::Offer;
use kbundle_cli::{CommonArguments, Documents, Guide, Program};

use crate::cli::{Cli, offers};
use crate::commands;

impl Program for Cli {
    const GUIDE: Guide = Guide {
        name: "kinstall",
        log_variable: "KINSTALL_LOG",
        groups: &[
            ("Before an installation", &["verify", "inspect", "preflight", "config"]),
            ("Install", &["run", "token"]),
            (
                "Look after a cluster",
                &[
                    "status",
                    "audit",
                    "certs",
                    "kubeconfig",
                    "user",
                    "upgrade",
                    "rollback",
                    "backup",
                    "restore",
                    "recover",
                    "support",
                    "remove",
                    "reset",
                ],
            ),
            ("Files of a bundle", &["extract", "join", "repair"]),
            ("Manual and shell", &["manual", "completion", "man"]),
        ],
        environment: &[
            ("KINSTALL_SUDO_PASSWORD", "Password for sudo on hosts with sudo: password."),
            ("KINSTALL_LOG", "Filter of the log, such as info or kinstall=debug,warn. -v wins over it."),
            ("NO_COLOR", "Turns colors off."),
        ],
        files: &[
            ("cluster.yaml", "What the cluster should be, with --config. kinstall config init prints one."),
            ("/etc/kubernetes", "Kubernetes' settings and certificates on this host."),
            ("/var/lib/kinstall", "What kinstall changed on this host, so that reset can undo it."),
        ],
        see_also: &["kbundle(1)", "kubectl(1)", "kubeadm(1)"],
    };

    const OFFERS: &'static [Offer] = offers::OFFERS;

    fn common(&self) -> &CommonArguments {
        &self.common
    }

    fn documents() -> Vec<Documents> {
        commands::documents()
    }
}
