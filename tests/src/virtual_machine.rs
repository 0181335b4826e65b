//! A host with a kernel of its own: Debian in QEMU, whose processor is software. It has cgroup v2 and loads its kernel's modules,
//! which hosts in containers cannot show, and it is slow: everything takes 10 to 30 times as long.

use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use fs_err as fs;

use crate::command::{self, run};
use crate::launch::wait_until;
use crate::mirror::free_port;
use crate::paths::{cache, repository, virtual_machine};
use crate::remote::{Remote, Route};
use crate::topology::make_key;

/// From start to SSH login; takes 45 seconds on two idle processors.
const BOOT_LIMIT: Duration = Duration::from_mins(10);
/// A poweroff waits for containers that ignore SIGTERM, in software.
const POWEROFF_LIMIT: Duration = Duration::from_mins(10);
/// How many times as long as on an ordinary host its work may take.
const SLOWNESS: u32 = 5;
/// Given to the guest. A control plane uses a third of it.
const MEMORY_MIB: u32 = 5120;

/// A virtual machine, running or not. It reaches nothing outside of itself.
///
/// As with [`crate::Lab`], a test ends with [`VirtualMachine::down`]; one that fails before saves logs in
/// `target/lab-logs/NAME/`, and QEMU is ended all the same.
#[derive(Debug)]
pub struct VirtualMachine {
    label: String,
    template: PathBuf,
    directory: PathBuf,
    remote: Remote,
    qemu: Mutex<Option<Child>>,
    ended_in_order: bool,
}

/// All that is done on the machine goes over SSH.
impl Deref for VirtualMachine {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        &self.remote
    }
}

impl VirtualMachine {
    /// Makes the machine, boots it and waits until it answers over SSH.
    ///
    /// # Errors
    /// When the cache has none and it cannot be made, when one of that name is running, or when it does not come up.
    pub fn boot(label: &str) -> Result<Self> {
        let template = virtual_machine()?;
        let directory = cache().join("machines").join(label);
        if directory.exists() {
            // QEMU ends with the test that started it, so that this was left by one that was killed.
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        let remote = Remote {
            name: "host-1".to_owned(),
            address: "10.0.2.15".to_owned(),
            route: Route::ForwardedPort(free_port()?),
            key: directory.join("ssh-key"),
            known_hosts: directory.join("known-hosts"),
            slowness: SLOWNESS,
        };
        let label = label.to_owned();
        let machine = Self { label, template, directory, remote, qemu: Mutex::new(None), ended_in_order: false };
        machine.make_disk()?;
        machine.start()?;
        machine.wait_ssh()?;
        Ok(machine)
    }

    /// Copies the disk and puts the key of root into it.
    fn make_disk(&self) -> Result<()> {
        make_key(&self.remote.key)?;
        let (from, disk) = (self.template.join("disk"), self.disk());
        run(&format!("cp --sparse=always {} {}", from.display(), disk.display()))?;
        let authorized = "/root/.ssh/authorized_keys";
        let public_key = self.remote.key.with_extension("pub");
        for request in
            [format!("write {} {authorized}", public_key.display()), format!("sif {authorized} mode 0100600")]
        {
            let mut debugfs = Command::new("debugfs");
            command::output(debugfs.args(["-w", "-R", &request]).arg(&disk))?.success()?;
        }
        Ok(())
    }

    fn start(&self) -> Result<()> {
        let Route::ForwardedPort(port) = self.remote.route else {
            bail!("a virtual machine is reached over the loopback")
        };
        let log = fs::File::create(self.directory.join("qemu.log"))?.into_file();
        // The kernel ends QEMU with this process, however that ends.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", &MEMORY_MIB.to_string()])
            .args(["-nodefaults", "-display", "none", "-no-reboot"])
            .arg("-chardev")
            .arg(format!("file,id=console,append=on,path={}", self.console().display()))
            .args(["-serial", "chardev:console"])
            .arg("-kernel")
            .arg(self.template.join("vmlinuz"))
            .arg("-initrd")
            .arg(self.template.join("initramfs"))
            // The kernel takes a processor that had to wait for its turn for a timer that does not work.
            .args(["-append", "console=ttyS0 mitigations=off net.ifnames=0 no_timer_check"])
            .arg("-drive")
            .arg(format!("file={},if=virtio,format=raw,cache=unsafe", self.disk().display()))
            // No way out, and a way in to SSH alone.
            .arg("-netdev")
            .arg(format!("user,id=network,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{port}-:22"))
            .args(["-device", "virtio-net-pci,netdev=network"]);
        let child = qemu
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start qemu-system-x86_64; tests/lab/mirror/fill --virtual-machine installs it")?;
        *self.qemu() = Some(child);
        Ok(())
    }

    fn wait_ssh(&self) -> Result<()> {
        let deadline = Instant::now() + BOOT_LIMIT;
        loop {
            let answer = self.exec(&["true"])?;
            if answer.status.success() {
                return Ok(());
            }
            if !self.is_running()? || Instant::now() > deadline {
                bail!("the virtual machine `{}` does not answer over SSH: {}", self.label, answer.stderr.trim());
            }
            sleep(Duration::from_secs(1));
        }
    }

    fn is_running(&self) -> Result<bool> {
        match self.qemu().as_mut() {
            Some(qemu) => Ok(qemu.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    /// Powers the machine off in order, and on again, and waits until it answers over SSH.
    pub fn reboot(&self) -> Result<()> {
        // The connection may end before the answer; what counts is that QEMU ends.
        self.exec(&["systemctl", "poweroff"])?;
        wait_until(POWEROFF_LIMIT, || self.is_running().is_ok_and(|running| !running))
            .with_context(|| format!("the virtual machine `{}` does not power off", self.label))?;
        self.start()?;
        self.wait_ssh()
    }

    /// Saves the console, and the journal and logs while it answers, in `target/lab-logs/NAME/`; returns that directory.
    pub fn save_logs(&self) -> Result<PathBuf> {
        let saved = repository().join("target/lab-logs").join(&self.label);
        if saved.exists() {
            fs::remove_dir_all(&saved)?;
        }
        fs::create_dir_all(&saved)?;
        for file in ["console", "qemu.log"] {
            if self.directory.join(file).exists() {
                fs::copy(self.directory.join(file), saved.join(file))?;
            }
        }
        if self.is_running()? {
            self.copy_out("/var/log", &saved)?;
            let mut journalctl = Command::new("journalctl");
            journalctl.arg("-D").arg(saved.join("log/journal")).args(["--no-pager", "-o", "short-precise"]);
            fs::write(saved.join("journal.log"), command::output(&mut journalctl)?.stdout)?;
        }
        Ok(saved)
    }

    /// Ends the machine at once and removes its disk. Dropping does the same, but can only print what went wrong.
    pub fn down(mut self) -> Result<()> {
        self.ended_in_order = true;
        self.remove()
    }

    fn remove(&self) -> Result<()> {
        if let Some(mut qemu) = self.qemu().take() {
            qemu.kill()?;
            qemu.wait()?;
        }
        Ok(fs::remove_dir_all(&self.directory)?)
    }

    fn qemu(&self) -> MutexGuard<'_, Option<Child>> {
        self.qemu.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> PathBuf {
        self.directory.join("disk")
    }

    fn console(&self) -> PathBuf {
        self.directory.join("console")
    }
}

impl Drop for VirtualMachine {
    #[expect(clippy::print_stderr, reason = "the only way left to tell")]
    fn drop(&mut self) {
        if self.ended_in_order {
            return;
        }
        match self.save_logs() {
            Ok(saved) => eprintln!("the virtual machine `{}` failed; its logs are in {}", self.label, saved.display()),
            Err(error) => eprintln!("the logs of the virtual machine `{}` could not be saved: {error:#}", self.label),
        }
        if let Err(error) = self.remove() {
            eprintln!("the virtual machine `{}` was not taken down: {error:#}", self.label);
        }
    }
}
