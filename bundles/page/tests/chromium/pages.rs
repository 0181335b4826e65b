//! The pages to test.

use std::path::PathBuf;

use kbundle_page::{Page, Section, Table, Tone};
use maud::html;

/// Rows of the largest table.
pub const PACKAGES: usize = 5_000;

/// The folder with the pages.
fn folder() -> PathBuf {
    let folder = std::env::var_os("KBUNDLE_PAGES").expect("$KBUNDLE_PAGES: ./ci/report-page sets it");
    fs_err::canonicalize(folder).unwrap()
}

/// A page made by this crate.
pub fn own() -> PathBuf {
    folder().join("own.html")
}

/// All pages: this crate's, and at least one from kbundle and one from kinstall.
pub fn pages() -> Vec<PathBuf> {
    let files = fs_err::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let mut pages: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "html")).collect();
    pages.sort();
    for program in ["kbundle", "kinstall", "own"] {
        let of_program = |page: &PathBuf| page.file_stem().unwrap().to_string_lossy().starts_with(program);
        assert!(pages.iter().any(of_program), "no page of {program} in {}", folder().display());
    }
    pages
}

#[test]
#[ignore = "makes a page for the others: ./ci/report-page"]
fn make() {
    let rows = (0..PACKAGES).map(|number| {
        html! {
            td { "example.org/some/longer/module" (number) }
            td data-order=(PACKAGES - number) { "v1.2." (number) }
            td class=(Tone::Caution.class()) { "unknown" }
        }
    });
    let packages = Table::new("packages", ["Package", "Version", "Licence"]).with(rows).html();
    let page = Page {
        title: "Audit of a bundle".to_owned(),
        answer: (Tone::Bad, "The policy refuses this bundle".to_owned()),
        summary: html! { dl { dt { "Kubernetes" } dd { "1.36.3" } } },
        sections: vec![
            Section::new("packages", "Packages", packages),
            Section::new("images", "Images", Table::new("images", ["Image"]).html()),
        ],
    };
    fs_err::write(own(), page.html()).unwrap();
}
