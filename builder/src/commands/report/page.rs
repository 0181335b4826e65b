//! The page: one file that asks for nothing from elsewhere.
//!
//! Names in a bundle are whatever its builder wrote. The templates escape all of them, and the page's policy lets no script run but its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use indicatif::HumanBytes;
use kbundle_format::audit_record::AuditResult;
use kbundle_format::{BundleList, Digest};
use kbundle_sbom::Bom;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::audit::Report;
use super::tables;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the page shows.
pub struct Contents<'a> {
    /// The bundle's list.
    pub list: &'a BundleList,
    /// What is inside.
    pub bom: &'a Bom,
    /// What the audit found.
    pub report: &'a Report,
    /// What the provenance is worth, in words.
    pub provenance: &'a str,
}

/// The page as HTML.
pub fn page(contents: &Contents<'_>) -> String {
    let sections = sections(contents);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Audit of " (contents.report.bundle) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Audit of " (contents.report.bundle) }
                    (summary(contents))
                    nav aria-label="Sections" {
                        ul { @for (id, title, _) in &sections { li { a href={ "#" (id) } { (title) } } } }
                    }
                }
                main {
                    @for (id, title, table) in &sections {
                        section id=(id) { h2 { (title) } (table) }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn sections(contents: &Contents<'_>) -> Vec<(&'static str, &'static str, Markup)> {
    let Contents { list, bom, report, .. } = contents;
    let mut sections = vec![("verdicts", "Verdicts", tables::verdicts(&report.verdicts))];
    if let Some(advisories) = &report.advisories {
        sections.push(("advisories", "Advisories", tables::advisories(&advisories.findings)));
        sections.push(("vex", "Advisories that VEX takes out", tables::excluded(&advisories.findings)));
    }
    sections.extend([
        ("origins", "Where the content came from", tables::origins(list)),
        ("images", "Images", tables::images(list)),
        ("files", "Files", tables::files(list)),
        ("packages", "Packages", tables::packages(bom)),
    ]);
    sections
}

/// What a browser lets the page do: its own style and script, and nothing else.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(Digest::of(text.as_bytes()).as_bytes()));
    format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

fn summary(contents: &Contents<'_>) -> Markup {
    let Contents { list, report, .. } = contents;
    let (class, answer) = match AuditResult::of(&report.verdicts) {
        AuditResult::Passed => ("answer passed", "The policy allows this bundle"),
        AuditResult::Refused => ("answer refused", "The policy refuses this bundle"),
    };
    let platforms: Vec<_> = list.platforms.iter().map(ToString::to_string).collect();
    let signers: Vec<_> = report.signers.iter().map(ToString::to_string).collect();
    html! {
        p class=(class) { (answer) }
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
