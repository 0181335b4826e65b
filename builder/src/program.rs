//! Texts about kbundle in help, manual pages and completion, besides its commands.

use kbundle_cli::definition::Offer;
use kbundle_cli::{CommonArguments, Documents, Guide, Program};

use crate::cli::{Arguments, offers};
use crate::commands;

impl Program for Arguments {
    const GUIDE: Guide = Guide {
        name: "kbundle",
        log_variable: "KBUNDLE_LOG",
        groups: &[
            ("Build", &["build", "lock", "catalog", "images", "config"]),
            ("Sign", &["keygen", "sign", "revocations", "timestamp"]),
            ("Look and check", &["verify", "inspect", "extract", "cat", "export", "sbom", "licences", "diff", "check"]),
            ("Audit", &["audit", "report", "advisories"]),
            ("Cut and complete", &["join", "subset", "split", "repair", "seal"]),
            ("Registries", &["push"]),
            ("Shell", &["completion", "man"]),
        ],
        environment: &[
            ("KBUNDLE_CACHE", "Folder for downloads, as with --cache."),
            ("KBUNDLE_PASSPHRASE", "Passphrase of an encrypted private key."),
            ("KBUNDLE_LOG", "Filter of the log, such as info or kbundle=debug,warn. -v wins over it."),
            (
                "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
                "Proxies, http:// or socks5://, and hosts that are reached without one.",
            ),
            ("REGISTRY_AUTH_FILE", "File with credentials for registries, as with --registry-config."),
            ("XDG_RUNTIME_DIR", "Its containers/auth.json holds credentials for registries, as Podman writes them."),
            ("DOCKER_CONFIG", "Folder of Docker's config.json, which holds credentials for registries."),
            ("XDG_CACHE_HOME", "Folder of caches; downloads are kept in its folder kbundle."),
            ("NO_COLOR", "Turns colors off."),
        ],
        files: &[
            ("~/.cache/kbundle", "Downloads, by digest. It can be deleted at any time."),
            ("~/.config/containers/auth.json", "Credentials for registries."),
            ("~/.docker/config.json", "Credentials for registries, after those."),
            ("/etc/containers/certs.d, /etc/docker/certs.d", "Authorities and client certificates by registry."),
            ("bundle.yaml", "What goes into a bundle, with --file."),
            ("kbundle.lock", "Every file and blob by digest, as kbundle lock writes it."),
        ],
        see_also: &["kinstall(1)"],
    };

    const OFFERS: &'static [Offer] = offers::OFFERS;

    fn common(&self) -> &CommonArguments {
        &self.common
    }

    fn documents() -> Vec<Documents> {
        commands::documents()
    }
}
