//! The guard over images: a timer that restores the names of removed images; see [`super::images`].
//!
//! The kubelet deletes unused images when its disk is full, whatever its thresholds are; containerd before 1.7 cannot tell it that they are
//! pinned. Such a deletion frees no room, since the content is kept.

use kbundle_format::Hasher;
use std::io;

use fs_err as fs;

use super::{Check, Context, Step, needed};
use crate::host::{Host, HostError};
use crate::inputs::Inputs;

const TIMER: &str = "kinstall-images.timer";
const SERVICE: &str = "kinstall-images.service";
const FILES: [(&str, &str); 2] = [
    (
        "/etc/systemd/system/kinstall-images.service",
        include_str!("../../../manifests/templates/kinstall-images.service"),
    ),
    ("/etc/systemd/system/kinstall-images.timer", include_str!("../../../manifests/templates/kinstall-images.timer")),
];
/// The path of the timer's program, which is kinstall itself.
const PROGRAM_PATH: &str = "/usr/local/bin/kinstall";
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Protects images against removal.
pub struct ImageKeeper;

impl Step for ImageKeeper {
    fn id(&self) -> &'static str {
        "image-keeper"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "keep images from being deleted".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let host = &context.host;
        for (path, content) in FILES {
            if !host.has_file(path, content.as_bytes(), 0o644)? {
                return needed(format!("{path} differs from what kinstall writes"));
            }
        }
        if !is_this_program(host)? {
            return needed(format!("{PROGRAM_PATH} is not this program"));
        }
        if !host.unit_is_up(TIMER)? {
            return needed("its timer does not run");
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let host = &mut context.host;
        if !is_this_program(host)? {
            host.write_file_with::<HostError>(PROGRAM_PATH, 0o755, |file| {
                let copied = fs::File::open(THIS_PROGRAM).and_then(|mut program| io::copy(&mut program, file));
                copied.map(drop).map_err(|source| HostError::File { act: format!("copy {THIS_PROGRAM}"), source })
            })?;
        }
        for (path, content) in FILES {
            host.write_file(path, content.as_bytes(), 0o644)?;
        }
        host.restart_unit(TIMER)?;
        Ok(())
    }

    fn undo(&self, host: &mut Host) -> anyhow::Result<()> {
        host.stop_unit(TIMER)?;
        Ok(host.stop_unit(SERVICE)?)
    }
}

/// Whether the installed program is the one that runs now.
fn is_this_program(host: &Host) -> anyhow::Result<bool> {
    let Some((installed, _)) = host.digest(PROGRAM_PATH)? else { return Ok(false) };
    let mut hasher = Hasher::new(io::sink());
    io::copy(&mut fs::File::open(THIS_PROGRAM)?, &mut hasher)?;
    Ok(installed == hasher.finish().0)
}
