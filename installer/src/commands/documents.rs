//! The JSON documents of all commands (`--output json`).

use kbundle_cli::Documents;
use kbundle_cli::documentation::ManDocument;
use kbundle_cli::output::TextDocument;
use kbundle_cli::schema::SchemaDocument;
use kbundle_commands::damage::DamageDetails;
use kbundle_commands::{composed, extract, inspect, repair, verify};

use super::{audit, backup, certs, config, images, kubeconfig, manual, preflight, status, support, token, user};
use crate::config::ClusterSpec;
use crate::report::EventLine;

/// The documents of every command, in the order of the help.
#[must_use]
pub fn documents() -> Vec<Documents> {
    vec![
        Documents::of("run").with::<EventLine<'_>>(),
        Documents::of("upgrade").with::<EventLine<'_>>(),
        Documents::of("rollback").with::<EventLine<'_>>(),
        Documents::of("verify").with::<verify::Report>().with_details::<DamageDetails<'_>>(),
        Documents::of("inspect").with::<inspect::Report<'_>>(),
        Documents::of("extract").with::<extract::Report>().with_details::<DamageDetails<'_>>(),
        Documents::of("join").with::<composed::Report>().with_details::<DamageDetails<'_>>(),
        Documents::of("repair").with::<repair::Report>(),
        Documents::of("preflight")
            .with::<preflight::Examination<'_>>()
            .with::<EventLine<'_>>()
            .with_details::<preflight::Examination<'_>>(),
        Documents::of("status").with::<crate::status::Status>().with::<status::ClusterStatus>(),
        Documents::of("audit").with::<audit::Audit>(),
        Documents::of("reset").with::<EventLine<'_>>(),
        Documents::of("remove").with::<EventLine<'_>>(),
        Documents::of("token create").with::<token::Made<'_>>(),
        Documents::of("certs list").with::<certs::CertificateList>(),
        Documents::of("certs renew").with::<certs::Renewed>(),
        Documents::of("certs add-san").with::<certs::AddedSans>(),
        Documents::of("certs approve").with::<certs::Answered>(),
        Documents::of("kubeconfig").with::<kubeconfig::Made>(),
        Documents::of("user list").with::<user::UserList>(),
        Documents::of("backup").with::<backup::Made>(),
        Documents::of("backup schedule").with::<backup::Scheduled>(),
        Documents::of("backup unschedule").with::<backup::Unscheduled>(),
        Documents::of("restore").with::<EventLine<'_>>(),
        Documents::of("recover").with::<EventLine<'_>>(),
        Documents::of("support").with::<support::Collected>(),
        Documents::of("config init").with::<TextDocument<'_>>(),
        Documents::of("config schema").with::<SchemaDocument>(),
        Documents::of("config validate").with::<config::Validation>().with_details::<config::Validation>(),
        Documents::of("config print").with::<ClusterSpec>(),
        Documents::of("config import").with::<ClusterSpec>(),
        Documents::of("config load-balancer").with::<TextDocument<'_>>(),
        // It answers the kinstall that leads, in the form of the protocol.
        Documents::of("agent"),
        Documents::of("images restore").with::<images::Report>().with_details::<images::Report>(),
        Documents::of("manual").with::<manual::Contents>().with::<manual::Page>().with::<manual::Unpacked>(),
        Documents::of("completion").with::<TextDocument<'_>>(),
        Documents::of("man").with::<ManDocument<'_>>(),
    ]
}
