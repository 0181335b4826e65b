//! The tables of the page. They can be read without the script.

use std::collections::BTreeMap;

use indicatif::HumanBytes;
use kbundle::diff::{Change, Difference};
use kbundle_advisories::{Finding, Severity, place};
use kbundle_format::audit_record::{Looked, Outcome, Verdict};
use kbundle_format::{BundleList, Entry, EntryPath};
use kbundle_page::{Table, Tone, listed};
use kbundle_sbom::Bom;
use kbundle_sbom::cyclonedx::Kind;
use maud::{Markup, html};

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused => "refused",
        Outcome::Warned => "warned",
        Outcome::Waived => "waived",
        Outcome::Skipped => "skipped",
        Outcome::Passed => "passed",
    }
}

fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Refused => Tone::Bad,
        Outcome::Warned | Outcome::Waived => Tone::Caution,
        Outcome::Skipped => Tone::Plain,
        Outcome::Passed => Tone::Good,
    }
}

/// The number of verdicts by outcome.
pub fn counts(verdicts: &[Verdict]) -> String {
    let count = |outcome| verdicts.iter().filter(|verdict| verdict.outcome == outcome).count();
    let of = |outcome| format!("{} {}", count(outcome), word(outcome));
    let all = [Outcome::Refused, Outcome::Warned, Outcome::Waived, Outcome::Skipped, Outcome::Passed];
    format!("Verdicts: {}.", all.map(of).join(", "))
}

fn looked(looked: &Looked) -> Markup {
    html! { (looked.name) " " code { (looked.digest) } }
}

/// Every verdict with its evidence.
pub fn verdicts(verdicts: &[Verdict]) -> Markup {
    let row = |verdict: &Verdict| {
        html! {
            td class={ "word " (tone(verdict.outcome).class()) } data-order=(verdict.outcome as u8) { (word(verdict.outcome)) }
            td.word { (verdict.rule.as_str()) }
            td { (verdict.subject) }
            td { (verdict.expected) }
            td {
                (verdict.found)
                @if let Some(waiver) = &verdict.waiver {
                    p { "Waived by " (waiver.name) " until " (waiver.until) ": " (waiver.reason) }
                }
            }
            td { (listed(&verdict.evidence.iter().map(looked).collect::<Vec<_>>())) }
        }
    };
    let headings = ["Outcome", "Rule", "Subject", "Expected", "Found", "Looked at"];
    Table::new("verdicts", headings).with(verdicts.iter().map(row)).html()
}

fn severity(severity: Option<Severity>) -> Markup {
    // The worst outcome sorts first.
    let order = severity.map_or(9, |severity| 4 - severity as u8);
    html! { td.word data-order=(order) { (severity.map_or("unknown", Severity::as_str)) } }
}

/// Vulnerabilities of packages in the bundle.
pub fn advisories(findings: &[Finding]) -> Markup {
    let row = |finding: &Finding| {
        html! {
            td { (finding.id) }
            (severity(finding.severity))
            td { (finding.package) }
            td { (finding.version) }
            td { (if finding.fixed_in.is_empty() { "no fix is known".to_owned() } else { finding.fixed_in.join(", ") }) }
            td { (finding.summary) }
            td { (listed(&finding.places.iter().map(|place| html! { (place.name) }).collect::<Vec<_>>())) }
        }
    };
    let rows: Vec<_> = findings.iter().filter(|finding| !finding.places.is_empty()).map(row).collect();
    let headings = ["Advisory", "Severity", "Package", "Version", "Fixed in", "Summary", "Images and files"];
    Table::new("advisories", headings).with(rows).html()
}

/// Vulnerabilities that VEX documents exclude.
pub fn excluded(findings: &[Finding]) -> Markup {
    let rows = findings.iter().flat_map(|finding| {
        finding.excluded.iter().map(move |out| {
            html! {
                td { (finding.id) }
                (severity(finding.severity))
                td { (finding.package) " " (finding.version) }
                td { (out.place.name) }
                td { (out.status.as_str()) }
                td { (out.reason) }
            }
        })
    });
    let headings = ["Advisory", "Severity", "Package", "Image or file", "Status", "Reason"];
    Table::new("statements", headings).with(rows).html()
}

/// Differences from an older bundle.
pub fn differences(differences: &[Difference]) -> Markup {
    let row = |difference: &Difference| {
        let tone = if difference.change == Change::Downgraded { Tone::Caution } else { Tone::Plain };
        html! {
            td.word data-order=(difference.topic as u8) { (difference.topic.heading()) }
            td class={ "word " (tone.class()) } { (difference.change.as_str()) }
            td { (difference.within.as_deref().unwrap_or("-")) }
            td { (difference.name) }
            td { (difference.old.as_deref().unwrap_or("-")) }
            td { (difference.new.as_deref().unwrap_or("-")) }
        }
    };
    let headings = ["Subject", "Change", "Inside of", "What", "Old", "New"];
    Table::new("differences", headings).with(differences.iter().map(row)).html()
}

/// Where an entry came from and how it was pinned: two cells.
fn origin(entry: Option<&Entry>) -> Markup {
    let origin = entry.and_then(|entry| entry.origin.as_ref());
    html! {
        td { (origin.map_or("-", |origin| origin.url.as_str())) }
        td.word { (origin.map_or("-", |origin| origin.pin.as_str())) }
    }
}

/// Images by reference and platform.
pub fn images(list: &BundleList) -> Markup {
    let rows = list.images.iter().map(|image| {
        html! {
            td { (image.reference) }
            td { (image.platform) }
            (origin(list.entry(EntryPath::blob(&image.manifest).as_str())))
            td { code { (image.manifest) } }
        }
    });
    Table::new("images", ["Image", "Platform", "Origin", "Pinned by", "Manifest"]).with(rows).html()
}

/// Everything else.
pub fn files(list: &BundleList) -> Markup {
    let rows = list.entries.iter().filter(|entry| !entry.kind.is_of_images()).map(|entry| {
        html! {
            td { (entry.path) }
            td { (entry.component.as_ref().map_or("-", |component| component.version.as_str())) }
            td { (entry.licence.as_deref().unwrap_or("-")) }
            td data-order=(entry.size) { (HumanBytes(entry.size)) }
            (origin(Some(entry)))
            td { code { (entry.digest) } }
        }
    });
    let headings = ["File", "Version", "Licence", "Size", "Origin", "Pinned by", "Digest"];
    Table::new("files", headings).with(rows).html()
}

/// Packages, each once, with the images and files that have it.
pub fn packages(bom: &Bom) -> Markup {
    let mut packages: BTreeMap<_, Vec<Markup>> = BTreeMap::new();
    for subject in &bom.components {
        let name = place(subject).name;
        for package in subject.components.iter().filter(|component| component.kind == Kind::Library) {
            let key = (
                package.full_name(),
                package.version.as_deref().unwrap_or("-"),
                package.ecosystem().unwrap_or("unknown"),
                package.licence(),
            );
            packages.entry(key).or_default().push(html! { (name) });
        }
    }
    let rows = packages.iter().map(|((name, version, ecosystem, licence), places)| {
        html! {
            td { (name) }
            td { (version) }
            td { (ecosystem) }
            td { (licence.as_deref().unwrap_or("-")) }
            td { (listed(places)) }
        }
    });
    Table::new("packages", ["Package", "Version", "Kind", "Licence", "Images and files"]).with(rows).html()
}
