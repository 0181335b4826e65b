//! kinstall itself, as a file to send to hosts: the running program, and for hosts of another architecture the one beside it.

use std::io;
use std::path::{Path, PathBuf};

use fs_err::File;
use kbundle_format::{Digest, Hasher, Platform};

/// The architectures that kinstall is built for, each with its name in `uname -m`.
const MACHINES: [(&str, &str); 2] = [("amd64", "x86_64"), ("arm64", "aarch64")];

/// An executable file of kinstall.
#[derive(Debug)]
pub struct Program {
    machine: &'static str,
    path: PathBuf,
    /// The digest of its content.
    pub digest: Digest,
}

/// The executable files that can be sent.
#[derive(Debug)]
pub struct Programs(Vec<Program>);

impl Programs {
    /// Reads the running program, and the ones for other architectures in its folder: `kinstall-arm64`, `kinstall-amd64`.
    pub fn find() -> io::Result<Self> {
        let own = Platform::of_this_program();
        let folder = std::env::current_exe()?;
        // The file that runs, even if another file has replaced it.
        Self::of(own.architecture(), Path::new("/proc/self/exe"), folder.parent().unwrap_or(Path::new("/")))
    }

    fn of(own: &str, running: &Path, folder: &Path) -> io::Result<Self> {
        let mut found = Vec::new();
        for (architecture, machine) in MACHINES {
            let path = if architecture == own { running.to_owned() } else { folder.join(name_of(architecture)) };
            if path.exists() {
                found.push(Program { machine, digest: digest(&path)?, path });
            }
        }
        Ok(Self(found))
    }

    /// The one for a host whose `uname -sm` is `Linux aarch64`.
    #[must_use]
    pub fn for_machine(&self, uname: &str) -> Option<&Program> {
        let machine = uname.strip_prefix("Linux ")?;
        self.0.iter().find(|program| program.machine == machine)
    }
}

impl Program {
    /// Opens it.
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

/// The file name of the kinstall for a host whose `uname -sm` is `Linux aarch64`, if there is one for it.
#[must_use]
pub fn missing_for(uname: &str) -> Option<String> {
    let found = MACHINES.iter().find(|(_, machine)| uname.strip_prefix("Linux ") == Some(*machine));
    found.map(|(architecture, _)| name_of(architecture))
}

fn name_of(architecture: &str) -> String {
    format!("kinstall-{architecture}")
}

fn digest(path: &Path) -> io::Result<Digest> {
    let mut hasher = Hasher::new(io::sink());
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finish().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_architecture_gets_its_own_program() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("kinstall");
        fs_err::write(&own, "for amd64").unwrap();
        let sent = |uname: &str| {
            let programs = Programs::of("amd64", &own, folder.path()).unwrap();
            programs.for_machine(uname).map(|program| io::read_to_string(program.open().unwrap()).unwrap())
        };
        assert_eq!(sent("Linux x86_64").as_deref(), Some("for amd64"));
        assert_eq!((sent("Linux aarch64"), sent("Darwin x86_64")), (None, None));
        fs_err::write(folder.path().join("kinstall-arm64"), "for arm64").unwrap();
        assert_eq!(sent("Linux aarch64").as_deref(), Some("for arm64"));
        assert_eq!(missing_for("Linux aarch64").as_deref(), Some("kinstall-arm64"));
        assert_eq!(missing_for("Linux riscv64"), None);
    }
}
