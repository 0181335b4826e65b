//! `kbundle cat`

use std::fs::File;
use std::io::{self, Seek as _, Write};

use anyhow::Context as _;
use kbundle_cli::output;
use kbundle_commands::extract::not_in_bundle;
use kbundle_commands::input::{Asked, Bundle, Input};
use kbundle_format::stream::Carriage;
use kbundle_format::{BundleStream, Entry, ReadError};

use crate::cli::CatArgs;

pub fn run(arguments: &CatArgs) -> anyhow::Result<()> {
    let asked = Asked::of(&arguments.trust)?;
    let input = Input::find(&arguments.bundle)?;
    let bundle = input.open(asked.check(), &arguments.base)?;
    let path = &arguments.path;
    if let Some((_, content)) = bundle.head().files().find(|(name, _)| *name == path.as_str()) {
        return Ok(output::content(&mut &content[..])?);
    }
    let entry = bundle.head().list.entry(path.as_str()).ok_or_else(|| not_in_bundle(path))?.clone();
    // Nobody may use a byte before the digest of the whole content was compared.
    let mut file = tempfile::tempfile().context("while making a temporary file")?;
    copy(&input, bundle, &entry, &mut file)?;
    input.warn_of_mended()?;
    file.rewind()?;
    Ok(output::content(&mut file)?)
}

fn copy(input: &Input, bundle: Bundle, entry: &Entry, sink: &mut File) -> anyhow::Result<()> {
    let bundle = match bundle {
        Bundle::Indexed(bundle) => bundle,
        Bundle::Stream(stream) => return from_stream(stream, entry, sink).map_err(|error| input.refusal(error)),
    };
    let damage = bundle.each(&[entry], |entry| {
        let mut sink: &File = sink;
        // If a damaged volume was left out, the bytes that were written before are removed.
        let empty = sink.set_len(0).and_then(|()| sink.rewind());
        empty.map_err(|source| ReadError::Sink { path: entry.path.clone(), source })?;
        bundle.copy_entry(entry, &mut sink)
    });
    input.refuse_damage(&bundle, damage)
}

fn from_stream(stream: BundleStream, entry: &Entry, sink: &File) -> Result<(), ReadError> {
    let mut stream = stream.carriage(Carriage::Partial);
    let wanted = |next: &Entry| next.path == entry.path;
    loop {
        let next = stream.next_entry(|next| {
            let to: Box<dyn Write> = if wanted(next) { Box::new(sink.try_clone()?) } else { Box::new(io::sink()) };
            Ok(to)
        })?;
        match next {
            None => return Err(ReadError::Missing { path: entry.path.clone() }),
            Some(next) if wanted(&next) => return Ok(()),
            Some(_) => {}
        }
    }
}
