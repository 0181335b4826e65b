//! A folder with the licence texts that a bundle carries, and a NOTICE about them.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use kbundle_cli::progress;
use kbundle_commands::destination::Existing;
use kbundle_commands::input::Input;
use kbundle_commands::interrupt::{Interrupt, interrupted, nothing_written};
use kbundle_commands::target::Target;
use kbundle_format::atomic_file::IncompleteFolder;
use kbundle_format::{Digest, IndexedBundle};
use kbundle_sbom::licence_text::{self, LicenceTexts};

use super::super::new_folder::give_name;
use super::super::sbom::looked_into;
use super::{Report, Texts, text};

/// Writes the folder.
pub fn write(folder: &Path, input: &Input, bundle: &IndexedBundle, report: &Report) -> anyhow::Result<Texts> {
    let interrupt = Interrupt::watch()?;
    // Removed again unless it gets its name below.
    let aside = IncompleteFolder::create(folder)?;
    let target = Target::open(aside.path(), Existing::Replaced, &interrupt)?;
    let (found, size_bytes) = interrupted(&interrupt, fill(&target, input, bundle, report), nothing_written)?;
    give_name(aside, folder)?;
    let directory = folder.display().to_string();
    Ok(Texts { directory, files: found.places.len(), size_bytes, not_read: found.not_read })
}

fn fill(
    target: &Target,
    input: &Input,
    bundle: &IndexedBundle,
    report: &Report,
) -> anyhow::Result<(LicenceTexts, u64)> {
    let mut size_bytes = 0;
    let mut save = |digest: &Digest, bytes: &[u8]| {
        size_bytes += bytes.len() as u64;
        save(target, &path_of(digest), bytes)
    };
    let bar = progress::bar("looking inside", bundle.list().size_bytes());
    let found = licence_text::find(bundle.list(), bundle, &|bytes| bar.inc(bytes), &mut save);
    bar.finish_and_clear();
    let found = looked_into(input, found)?;
    save_notice(target, report, &found)?;
    Ok((found, size_bytes))
}

fn save_notice(target: &Target, report: &Report, found: &LicenceTexts) -> io::Result<()> {
    let mut notice = format!("Licences of what {} holds\nlist {}\n\n", report.bundle, report.list_digest);
    notice.push_str(&text::inventory(report, usize::MAX));
    notice.push_str("\nTEXTS\n");
    for (digest, places) in &found.places {
        // Writing to a string cannot fail.
        let _ = writeln!(notice, "{}", path_of(digest));
        for place in places {
            let _ = writeln!(notice, "  {}: {}", place.subject, place.path);
        }
    }
    for reason in &found.not_read {
        let _ = writeln!(notice, "NOT READ {reason}");
    }
    save(target, "NOTICE", notice.as_bytes())
}

fn path_of(digest: &Digest) -> String {
    format!("texts/{}.txt", digest.hex())
}

fn save(target: &Target, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = target.file(&path.parse().map_err(io::Error::other)?, 0o644)?;
    file.write_all(bytes)?;
    file.commit()
}
