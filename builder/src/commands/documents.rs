//! The JSON documents of all commands (`--output json`).

use kbundle_cli::Documents;
use kbundle_cli::documentation::ManDocument;
use kbundle_cli::output::TextDocument;
use kbundle_cli::schema::SchemaDocument;
use kbundle_commands::damage::DamageDetails;
use kbundle_commands::{composed, extract, inspect, repair, verify};

use super::{
    advisories, audit, build, catalog, check, config, diff, dry_run, export, images, keygen, licences, lock, report,
    reproduce, revocations, sbom, seal, sign, timestamp,
};

/// The documents of every command.
pub fn documents() -> Vec<Documents> {
    let mut documents = vec![
        Documents::of("build")
            .with::<build::Report>()
            .with::<dry_run::Report>()
            .with::<reproduce::Report>()
            .with_details::<check::Findings>(),
        Documents::of("lock").with::<lock::Report>(),
        Documents::of("images find").with::<images::Report>(),
        Documents::of("config init").with::<TextDocument>(),
        Documents::of("config schema").with::<SchemaDocument>(),
        Documents::of("config validate").with::<config::Validation>(),
        Documents::of("keygen").with::<keygen::Report>(),
        Documents::of("sign").with::<sign::Report>().with::<sign::DigestReport>(),
        Documents::of("verify").with::<verify::Report>().with_details::<DamageDetails>(),
        Documents::of("inspect").with::<inspect::Report>(),
        Documents::of("extract").with::<extract::Report>(),
        // The result of `cat` is the content.
        Documents::of("cat"),
        // In its other forms, the result is the document of CycloneDX or SPDX.
        Documents::of("sbom").with::<sbom::Report>().with::<sbom::Verification>(),
        Documents::of("licences").with::<licences::Report>(),
        Documents::of("diff").with::<diff::Report>(),
        Documents::of("check").with::<check::Report>().with_details::<check::Findings>(),
        Documents::of("audit").with::<audit::Report>().with_details::<audit::Report>().with_details::<DamageDetails>(),
        Documents::of("report").with::<report::Report>().with_details::<DamageDetails>(),
        Documents::of("advisories pack").with::<advisories::Report<'_>>(),
        Documents::of("revocations add").with::<revocations::Report>(),
        Documents::of("revocations show").with::<revocations::Report>(),
        Documents::of("timestamp request").with::<timestamp::Requested>(),
        Documents::of("timestamp add").with::<timestamp::Added>(),
        Documents::of("export").with::<export::Report>(),
        Documents::of("join").with::<composed::Report>(),
        Documents::of("subset").with::<composed::Report>(),
        Documents::of("split").with::<composed::Report>(),
        Documents::of("repair").with::<repair::Report>(),
        Documents::of("seal").with::<seal::Report>(),
        Documents::of("push").with::<kbundle::push::Outcome>(),
        Documents::of("completion").with::<TextDocument>(),
        Documents::of("man").with::<ManDocument>(),
    ];
    documents.extend(catalog::documents());
    documents
}
