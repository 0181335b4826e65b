//! `kbundle export`

use anyhow::Context as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{Explained as _, failure};
use kbundle_commands::destination::{Existing, check_new_folder};
use kbundle_commands::input::{Asked, Input};
use kbundle_commands::interrupt::{Interrupt, interrupted, nothing_written};
use kbundle_commands::target::Target;
use kbundle_commands::unpack::unpack;
use kbundle_format::atomic_file::IncompleteFolder;
use kbundle_format::stream::Carriage;
use schemars::JsonSchema;
use serde::Serialize;

use super::layout::keep_whole_images;
use super::new_folder::give_name;
use crate::cli::ExportArgs;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Exported")]
pub struct Report {
    schema: u32,
    bundle: String,
    /// The folder with the OCI image layout.
    directory: String,
    /// How many images it has.
    images: usize,
    /// How many images the bundle's list has.
    listed_images: usize,
    files: usize,
}

pub fn run(arguments: &ExportArgs, output: OutputFormat) -> anyhow::Result<()> {
    let asked = Asked::of(&arguments.trust)?;
    let directory = &arguments.oci;
    check_new_folder(directory).explained()?;
    let input = Input::find(&arguments.bundle)?;
    let bundle = input.open(asked.check(), &arguments.base)?;
    let listed_images = bundle.head().list.images.len();
    if listed_images == 0 {
        return Err(failure::usage(format!("{} holds no images", input.name), "`kbundle inspect` shows what it holds"));
    }
    let interrupt = Interrupt::watch()?;
    // Removed again unless it gets its name below.
    let aside = IncompleteFolder::create(directory)?;
    let target = Target::open(aside.path(), Existing::Replaced, &interrupt)?;
    let unpacked = unpack(&input, bundle, &target, Carriage::Partial, |entry| entry.kind.is_of_images());
    let files = interrupted(&interrupt, unpacked, nothing_written)?;
    let images = keep_whole_images(aside.path(), &target).with_context(|| input.refused())?;
    give_name(aside, directory)?;
    let directory = directory.display().to_string();
    let part = if images < listed_images { format!(" of the {listed_images} in the list") } else { String::new() };
    let text = format!("{directory}: OCI image layout with {images} images{part} in {files} files");
    let report = Report { schema: SCHEMA, bundle: input.name, directory, images, listed_images, files };
    output::done(output, &text, &report)?;
    Ok(())
}
