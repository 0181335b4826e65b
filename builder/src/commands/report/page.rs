//! The content of the page, and its order.

use indicatif::HumanBytes;
use kbundle::diff::Difference;
use kbundle_format::BundleList;
use kbundle_format::audit_record::AuditResult;
use kbundle_page::{Page, Section, Tone};
use kbundle_sbom::Bom;
use maud::{Markup, html};

use super::super::audit::Report;
use super::super::comparing::Compared;
use super::{origins, tables};

/// The content of the page.
pub struct Contents<'a> {
    /// The bundle's list.
    pub list: &'a BundleList,
    /// Its packages.
    pub bom: &'a Bom,
    /// What the audit found.
    pub report: &'a Report,
    /// How far the provenance can be trusted, in words.
    pub provenance: &'a str,
    /// The older bundle to compare it with.
    pub since: Option<&'a Predecessor>,
}

/// An older bundle, and the differences from it.
pub struct Predecessor {
    pub old: Compared,
    pub differences: Vec<Difference>,
}

/// The page as HTML.
pub fn page(contents: &Contents<'_>) -> String {
    let answer = match AuditResult::of(&contents.report.verdicts) {
        AuditResult::Passed => (Tone::Good, "The policy allows this bundle"),
        AuditResult::Refused => (Tone::Bad, "The policy refuses this bundle"),
    };
    let page = Page {
        title: format!("Audit of {}", contents.report.bundle),
        answer: (answer.0, answer.1.to_owned()),
        summary: summary(contents),
        sections: sections(contents),
    };
    page.html()
}

fn sections(contents: &Contents<'_>) -> Vec<Section> {
    let Contents { list, bom, report, since, .. } = contents;
    let mut sections = vec![Section::new("verdicts", "Verdicts", tables::verdicts(&report.verdicts))];
    if let Some(advisories) = &report.advisories {
        sections.push(Section::new("advisories", "Advisories", tables::advisories(&advisories.findings)));
        let excluded = tables::excluded(&advisories.findings);
        sections.push(Section::new("vex", "Advisories that VEX takes out", excluded));
    }
    if let Some(Predecessor { old, differences }) = since {
        let title = format!("What differs from {}", old.bundle);
        sections.push(Section::new("since", title, tables::differences(differences)));
    }
    sections.extend([
        Section::new("origins", "Where the content came from", origins::of(list)),
        Section::new("images", "Images", tables::images(list)),
        Section::new("files", "Files", tables::files(list)),
        Section::new("packages", "Packages", tables::packages(bom)),
    ]);
    sections
}

fn summary(contents: &Contents<'_>) -> Markup {
    let Contents { list, report, .. } = contents;
    let platforms: Vec<_> = list.platforms.iter().map(ToString::to_string).collect();
    let signers: Vec<_> = report.signers.iter().map(ToString::to_string).collect();
    html! {
        p { (tables::counts(&report.verdicts)) }
        dl {
            dt { "Kubernetes" } dd { (list.kubernetes_version) " for " (platforms.join(", ")) }
            dt { "Content" } dd {
                (list.images.len()) " images, " (list.entries.len()) " entries, " (HumanBytes(list.size_bytes()))
            }
            dt { "List" } dd { code { (report.list_digest) } }
            dt { "Signed by" } dd {
                @if signers.is_empty() { "nobody asked who signed it" } @else { code { (signers.join(", ")) } }
            }
            dt { "Provenance" } dd { (contents.provenance) }
            dt { "Policy" } dd {
                (report.policy.name) ", " code { (report.policy.digest) }
                @for rego in &report.policy.rego { "; " (rego.name) ", " code { (rego.digest) } }
            }
            dt { "Advisories" } dd { (advisories(report)) }
            @if let Some(Predecessor { old, differences }) = contents.since {
                dt { "Compared with" } dd {
                    (old.bundle) " (Kubernetes " (old.kubernetes_version) "), list " code { (old.list_digest) } ": "
                    @match differences.len() { 0 => "nothing differs", 1 => "1 difference", count => { (count) " differences" } }
                }
            }
            dt { "Time" } dd { (report.time) ", by the clock of the machine that made this page" }
            dt { "Made by" } dd { "kbundle " (env!("CARGO_PKG_VERSION")) }
        }
        @for waiver in &report.unused_waivers { p { "The waiver of " (waiver) " allows nothing here." } }
    }
}

fn advisories(report: &Report) -> Markup {
    let Some(advisories) = &report.advisories else { return html! { "none were given" } };
    let compared: usize = advisories.compared.values().sum();
    let left: usize = advisories.uncompared.iter().map(|left| left.packages).sum();
    html! {
        (advisories.file) ", " code { (advisories.digest) } ", "
        @match (advisories.day, advisories.age_days) {
            (Some(day), Some(age)) => { "data of " (day) ", " (age) " days old" }
            _ => { "data of a day that is not known" }
        }
        "; " (compared) " packages compared, " (left) " not"
        @for left in &advisories.uncompared { "; " (left.packages) " of " (left.ecosystem) ": " (left.reason) }
    }
}

#[cfg(test)]
mod tests;
