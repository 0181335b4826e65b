//! The processes of the host, as `/proc` shows them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_format::{Digest, Hasher};
use nix::errno::Errno;

use super::{Host, HostError};

/// A process that existed when the host was asked. It may end at any time; then all its values are absent.
pub struct Process {
    /// Its id.
    pub id: i32,
    directory: PathBuf,
    root: PathBuf,
}

/// The identity of a file, whatever its name: device and inode.
pub type FileIdentity = (u64, u64);

impl Process {
    /// The program that it runs; the path of a program that is gone has ` (deleted)` behind it. `None` for a kernel thread.
    pub fn program(&self) -> Result<Option<PathBuf>, HostError> {
        let program = self.unless_ended(fs::read_link(self.directory.join("exe")))?;
        Ok(program.map(|path| path.strip_prefix(&self.root).map(|below| Path::new("/").join(below)).unwrap_or(path)))
    }

    /// The identity of the file that it runs, even if that has no name any more.
    pub fn program_identity(&self) -> Result<Option<FileIdentity>, HostError> {
        let found = self.unless_ended(fs::metadata(self.directory.join("exe")))?;
        Ok(found.map(|found| (found.dev(), found.ino())))
    }

    /// The digest of the file that it runs, even if that has no name any more.
    pub fn program_digest(&self) -> Result<Option<Digest>, HostError> {
        let Some(mut file) = self.unless_ended(fs::File::open(self.directory.join("exe")))? else { return Ok(None) };
        let mut hasher = Hasher::new(io::sink());
        let copied = self.unless_ended(io::copy(&mut file, &mut hasher))?;
        Ok(copied.map(|_| hasher.finish().0))
    }

    /// The value of a variable in the environment that it was started with.
    pub fn variable(&self, name: &str) -> Result<Option<String>, HostError> {
        let environment = self.unless_ended(fs::read(self.directory.join("environ")))?.unwrap_or_default();
        let mut variables = environment.split(|&byte| byte == 0).map(String::from_utf8_lossy);
        Ok(variables.find_map(|variable| Some(variable.strip_prefix(name)?.strip_prefix('=')?.to_owned())))
    }

    /// Its name, at most 15 bytes.
    pub fn name(&self) -> Result<Option<String>, HostError> {
        let name = self.unless_ended(fs::read_to_string(self.directory.join("comm")))?;
        Ok(name.map(|name| name.trim().to_owned()))
    }

    /// Its control groups, in the form of cgroups(7).
    pub fn control_groups(&self) -> Result<Option<String>, HostError> {
        self.unless_ended(fs::read_to_string(self.directory.join("cgroup")))
    }

    /// Whether its root directory is that of `host`, and not that of a host inside of a container.
    pub fn shares_root_with(&self, host: &Host) -> Result<bool, HostError> {
        let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
        let own = fs::metadata(host.path("/")).map_err(|source| failed("look at the root directory", source))?;
        let root = self.unless_ended(fs::metadata(self.directory.join("root")))?;
        Ok(root.map(identity) == Some(identity(own)))
    }

    /// The inodes of its sockets.
    pub fn sockets(&self) -> Result<Vec<u64>, HostError> {
        let Some(files) = self.unless_ended(fs::read_dir(self.directory.join("fd")))? else { return Ok(Vec::new()) };
        let mut sockets = Vec::new();
        for file in files {
            let Some(file) = self.unless_ended(file)? else { break };
            let target = self.unless_ended(fs::read_link(file.path()))?.unwrap_or_default();
            let inode: Option<u64> =
                target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            sockets.extend(inode);
        }
        Ok(sockets)
    }

    fn unless_ended<T>(&self, result: io::Result<T>) -> Result<Option<T>, HostError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(None),
            Err(source) => Err(failed(&format!("look at process {}", self.id), source)),
        }
    }
}

impl Host {
    /// All processes.
    ///
    /// # Errors
    /// When `/proc` cannot be read: which processes run is then unknown.
    pub fn processes(&self) -> Result<Vec<Process>, HostError> {
        let unknown = |source| failed("see which processes run", source);
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path("/proc")).map_err(unknown)? {
            let entry = entry.map_err(unknown)?;
            if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                found.push(Process { id, directory: entry.path(), root: self.root.clone() });
            }
        }
        Ok(found)
    }

    /// The id of a process that runs the program at the absolute path `program`; `None` if there is none.
    pub fn process_running(&self, program: &str) -> Result<Option<i32>, HostError> {
        for process in self.processes()? {
            if process.program()?.is_some_and(|found| found == Path::new(program)) {
                return Ok(Some(process.id));
            }
        }
        Ok(None)
    }
}

impl Host {
    /// Whether a process of this host still runs the former file at the absolute path `program`, after that was replaced.
    pub fn runs_replaced(&self, program: &str) -> Result<bool, HostError> {
        let replaced = PathBuf::from(format!("{program} (deleted)"));
        for process in self.processes()? {
            if process.program()?.as_ref() == Some(&replaced) && process.shares_root_with(self)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Host {
    /// Whether a process here may lower its `oom_score_adj`. Lowers this process's own by one and restores it.
    pub fn can_lower_oom_score(&self) -> Result<bool, HostError> {
        const SCORE: &str = "/proc/self/oom_score_adj";
        const LOWEST: i32 = -1000;
        let text = self.read_text(SCORE)?.unwrap_or_default();
        let Ok(score) = text.trim().parse::<i32>() else { return Ok(false) };
        if score == LOWEST {
            return Ok(true);
        }
        // The kernel refuses at the write. It always allows the former, higher score.
        let path = self.path(SCORE);
        let lowered = fs::write(&path, (score - 1).to_string()).is_ok();
        if lowered {
            fs::write(&path, score.to_string()).map_err(|source| failed(&format!("restore {SCORE}"), source))?;
        }
        Ok(lowered)
    }
}

fn failed(act: &str, source: io::Error) -> HostError {
    HostError::File { act: act.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    #[test]
    fn a_process_is_found_by_its_program() {
        let bench = Bench::new();
        bench.file("proc/12/comm", "kubeadm\n");
        bench.file("proc/uptime", "");
        fs::os::unix::fs::symlink("/usr/local/bin/kubeadm", bench.path("proc/12/exe")).unwrap();
        let host = bench.host();
        assert_eq!(host.process_running("/usr/local/bin/kubeadm").unwrap(), Some(12));
        assert_eq!(host.process_running("/usr/bin/kubeadm").unwrap(), None);
        assert_eq!(host.processes().unwrap()[0].name().unwrap().as_deref(), Some("kubeadm"));
        assert_eq!(host.processes().unwrap()[0].control_groups().unwrap(), None, "as of one that ended");
    }

    #[test]
    fn a_program_that_was_replaced_is_told_from_one_in_a_container() {
        let bench = Bench::new();
        let link = |target: &str, path: &str| fs::os::unix::fs::symlink(target, bench.path(path)).unwrap();
        bench.file("proc/12/comm", "etcd\n");
        link("/usr/local/bin/etcd (deleted)", "proc/12/exe");
        bench.file("container/etc/passwd", "");
        link(&bench.path("container").to_string_lossy(), "proc/12/root");
        let is_replaced = || bench.host().runs_replaced("/usr/local/bin/etcd").unwrap();
        assert!(!is_replaced(), "that one's root is another");
        bench.file("proc/13/comm", "etcd\n");
        link("/usr/local/bin/etcd", "proc/13/exe");
        link(&bench.path("").to_string_lossy(), "proc/13/root");
        assert!(!is_replaced());
        fs::remove_file(bench.path("proc/13/exe")).unwrap();
        link("/usr/local/bin/etcd (deleted)", "proc/13/exe");
        assert!(is_replaced());
        assert!(!bench.host().runs_replaced("/usr/local/bin/kubelet").unwrap());
    }

    #[test]
    fn what_a_process_runs_is_read_although_its_file_is_gone() {
        let bench = Bench::new();
        bench.file("usr/local/bin/etcd (deleted)", "other content");
        bench.file("proc/12/environ", "HOME=/root\0LD_PRELOAD=/tmp/x.so\0");
        let target = bench.path("usr/local/bin/etcd (deleted)");
        fs::os::unix::fs::symlink(target, bench.path("proc/12/exe")).unwrap();
        let process = &bench.host().processes().unwrap()[0];
        assert_eq!(process.program().unwrap().unwrap(), Path::new("/usr/local/bin/etcd (deleted)"));
        assert_eq!(process.program_digest().unwrap(), Some(Digest::of(b"other content")));
        assert!(process.program_identity().unwrap().is_some());
        assert_eq!(process.variable("LD_PRELOAD").unwrap().as_deref(), Some("/tmp/x.so"));
        assert_eq!(process.variable("LD").unwrap(), None);
    }

    #[test]
    fn without_proc_it_is_unknown_which_processes_run() {
        let error = Bench::new().host().processes().err().unwrap();
        assert_eq!(error.to_string(), "cannot see which processes run");
    }

    #[test]
    fn what_a_process_does_not_let_be_read_is_no_answer() {
        let bench = Bench::new();
        // A directory where the file should be gives another error than a process that has ended.
        bench.file("proc/12/cgroup/x", "");
        let error = bench.host().processes().unwrap()[0].control_groups().unwrap_err();
        assert_eq!(error.to_string(), "cannot look at process 12");
    }
}
