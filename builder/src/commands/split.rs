//! `kbundle split`

use std::io;

use anyhow::Context as _;
use kbundle_cli::{Explained as _, progress};
use kbundle_format::SignatureCheck;
use kbundle_format::stream::Carriage;
use kbundle_format::volume::{Split, VolumeWriter};

use super::composed::name_files;
use super::input::{Bundle, Input};
use super::verify::read_all;
use crate::cli::SplitCommandArgs;

pub fn run(arguments: &SplitCommandArgs) -> anyhow::Result<()> {
    let input = Input::find(&arguments.bundle)?;
    let source = input.source()?.clone();
    let bundle = Bundle::Indexed(input.open_indexed(SignatureCheck::Skipped)?);
    read_all(&input, bundle, Carriage::Partial)?;
    let out = arguments.out.as_ref().unwrap_or(&arguments.bundle.bundle);
    let mut writer =
        VolumeWriter::new(out, Split { file_bytes: arguments.size, parity: arguments.parity }).explained()?;
    let bar = progress::bar("splitting", source.size_bytes());
    io::copy(&mut bar.wrap_read(source.reader()), &mut writer)
        .with_context(|| format!("while splitting {}", input.name))?;
    let files = writer.finish().explained()?;
    bar.finish_and_clear();
    name_files(&files)?;
    Ok(())
}
