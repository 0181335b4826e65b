//! `kbundle cat`

use std::io::{self, Seek as _, Write};

use anyhow::Context as _;
use kbundle_cli::{Explained as _, output};
use kbundle_format::stream::Carriage;
use kbundle_format::{Entry, ReadError};

use super::extract::not_in_bundle;
use super::input::{Asked, Bundle, Input};
use crate::cli::CatArgs;

pub fn run(arguments: &CatArgs) -> anyhow::Result<()> {
    let asked = Asked::of(&arguments.trust)?;
    let input = Input::find(&arguments.bundle)?;
    let bundle = input.open(asked.check())?;
    let path = &arguments.path;
    if let Some((_, content)) = bundle.head().files().find(|(name, _)| *name == path.as_str()) {
        return Ok(output::content(&mut &content[..])?);
    }
    let entry = bundle.head().list.entry(path.as_str()).ok_or_else(|| not_in_bundle(path))?.clone();
    // Nobody may act on a byte before the digest of all of them was compared.
    let mut file = tempfile::tempfile().context("while making a temporary file")?;
    copy(bundle, &entry, &mut file).explained().with_context(|| input.refused())?;
    file.rewind()?;
    Ok(output::content(&mut file)?)
}

fn copy(bundle: Bundle, entry: &Entry, sink: &mut std::fs::File) -> Result<(), ReadError> {
    let stream = match bundle {
        Bundle::Indexed(bundle) => return bundle.copy_entry(entry, sink),
        Bundle::Stream(stream) => stream,
    };
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
