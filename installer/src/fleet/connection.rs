//! The connection to one host: reaches it, and asks it one question after another.

use std::io::{self, BufReader, Read as _, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use kbundle_format::Platform;
use kbundle_format::shell::quoted;

use super::contact::{ContactError, gist};
use super::logs::HostLog;
use super::password::Password;
use super::program::{Program, Programs};
use super::transport::{Privilege, Transport};
use crate::agent::protocol::{GREETING, GreetingError, Message, next_line, skip_to_greeting};
use crate::agent::questions::{Ask, Request};
use crate::agent::{DIRECTORY, PROGRAM};
use crate::config::Sudo;
use crate::procfs;
use crate::report::Event;

/// The exit code that OpenSSH keeps for its own failures.
const SSH_FAILED: i32 = 255;
/// The exit code of a shell for a program that is there and cannot be run (POSIX, 2.8.2).
const NOT_RUN: i32 = 126;
/// The most that is kept of a program's standard error: its end.
const MAX_SAID_BYTES: u64 = 64 << 10;

/// A question as it goes over the wire; it can be sent again.
pub struct Encoded<Q> {
    line: Vec<u8>,
    question: PhantomData<fn() -> Q>,
}

impl<Q: Ask> Encoded<Q> {
    /// Encodes a question.
    pub fn of(question: Q) -> Self {
        let request: Request = question.into();
        let mut line = serde_json::to_vec(&request).expect("a question is plain data");
        line.push(b'\n');
        Self { line, question: PhantomData }
    }
}

/// A host on which kinstall is installed, with the way to become root there.
pub struct Connection {
    transport: Transport,
    privilege: Privilege,
    log: HostLog,
}

/// What came back after a question.
enum Received<A> {
    Answer(A),
    Error(ContactError),
    /// The output ended before an answer, and perhaps before the greeting.
    Nothing {
        greeted: bool,
    },
}

/// A program's output, and how it ended.
struct Ended {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Connection {
    /// Connects to a host, checks its platform, becomes root and installs kinstall. Sends nothing to a host whose platform has no kinstall,
    /// and nothing but the password before `sudo` has accepted it.
    pub fn connect(
        transport: Transport,
        sudo: Option<Sudo>,
        password: Option<&Password>,
        programs: &Programs,
        log: HostLog,
    ) -> Result<Self, ContactError> {
        let mut connection = Self { transport, privilege: Privilege::Root, log };
        let (program, is_root) = connection.probe(programs)?;
        connection.privilege = Privilege::choose(sudo, password, is_root);
        connection.check_privilege()?;
        if matches!(connection.transport, Transport::Ssh { .. }) {
            connection.install(program)?;
        }
        Ok(connection)
    }

    /// The kinstall for the host, and whether the user is root.
    ///
    /// # Errors
    /// When there is no kinstall for the host.
    fn probe<'a>(&self, programs: &'a Programs) -> Result<(&'a Program, bool), ContactError> {
        let said = self.run(self.transport.command("uname -sm; id -u", &Privilege::Root), |_| Ok(()))?;
        let said = self.successful("reading the platform", &said)?;
        let mut lines = said.lines().rev();
        let (Some(user), Some(found)) = (lines.next(), lines.next()) else {
            return Err(self.strange(said.as_bytes()));
        };
        let program = programs.for_machine(found).ok_or_else(|| ContactError::Platform {
            found: found.to_owned(),
            here: Platform::of_this_program().to_string(),
        })?;
        Ok((program, user == "0"))
    }

    fn check_privilege(&self) -> Result<(), ContactError> {
        let Some(proof) = self.transport.proof(&self.privilege) else { return Ok(()) };
        let ended = self.run(proof, |input| self.give_password(input))?;
        match ended.code {
            Some(0) => Ok(()),
            _ => Err(ContactError::Sudo { destination: self.destination(), said: gist(&ended.stderr) }),
        }
    }

    /// Installs kinstall on the host, unless the same one is there already.
    fn install(&self, program: &Program) -> Result<(), ContactError> {
        let wanted = format!("{}  -", program.digest.hex());
        let held = format!("sha256sum < {PROGRAM} 2>/dev/null || true");
        let held = self.run(self.transport.command(&held, &self.privilege), |input| self.give_password(input))?;
        // The output of a login comes before.
        if self.successful("checking for kinstall", &held)?.lines().last().map(str::trim_end) == Some(&wanted) {
            return Ok(());
        }
        let script = format!(
            "umask 022; while IFS= read -r line; do [ \"$line\" = {greeting} ] && break; done; \
             mkdir -p {DIRECTORY} && chmod 700 {DIRECTORY} && umask 077 && cat > {PROGRAM}.incoming && \
             [ \"$(sha256sum < {PROGRAM}.incoming)\" = {wanted} ] && chmod 700 {PROGRAM}.incoming && \
             mv -f {PROGRAM}.incoming {PROGRAM}",
            greeting = quoted(GREETING),
            wanted = quoted(&wanted),
        );
        let sent = self.run(self.transport.command(&script, &self.privilege), |input| {
            self.begin(input)?;
            io::copy(&mut program.open()?, input).map(drop)
        })?;
        self.successful("installing kinstall", &sent).map(drop)
    }

    /// Asks the host and returns its answer. `body` writes what follows the question; `observe` receives the host's events before the
    /// answer.
    pub fn ask<Q: Ask>(
        &self,
        question: &Encoded<Q>,
        body: impl FnOnce(&mut ChildStdin) -> io::Result<()> + Send,
        observe: &mut dyn FnMut(&Event),
    ) -> Result<Q::Answer, ContactError> {
        let program = match &self.transport {
            Transport::Ssh { .. } => PROGRAM.to_owned(),
            Transport::Local => std::env::current_exe().map_err(|source| self.exchange(source))?.display().to_string(),
        };
        // Not every login has the system's directories in its path.
        let script = format!(
            "PATH=\"$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"; export PATH; exec {} agent",
            quoted(&program)
        );
        let mut channel = Channel::open(self.transport.command(&script, &self.privilege))?;
        let (mut input, output) = channel.ends();
        let (sent, read) = thread::scope(|scope| {
            let sending = scope.spawn(move || {
                self.begin(&mut input)?;
                input.write_all(&question.line)?;
                body(&mut input)
            });
            let read = self.read_answer::<Q>(output, observe);
            (sending.join().expect("sending does not panic"), read)
        });
        let (code, stderr) = channel.end().map_err(|source| self.exchange(source))?;
        self.log.note(&stderr);
        match read {
            Received::Answer(answer) => Ok(answer),
            Received::Error(error) => Err(error),
            Received::Nothing { greeted } => Err(self.silence(code, &stderr, greeted, sent.err())),
        }
    }

    fn read_answer<Q: Ask>(&self, output: ChildStdout, observe: &mut dyn FnMut(&Event)) -> Received<Q::Answer> {
        let mut output = BufReader::new(output);
        match skip_to_greeting(&mut output) {
            Ok(()) => {}
            Err(GreetingError::OtherVersion { found }) => {
                return Received::Error(ContactError::Version { destination: self.destination(), found });
            }
            Err(_) => return Received::Nothing { greeted: false },
        }
        // If no answer came, the way in which the program ended explains that.
        while let Ok(Some(line)) = next_line(&mut output) {
            match serde_json::from_slice(&line) {
                Ok(Message::Event(event)) => {
                    self.log.note(&format!("{}\n", String::from_utf8_lossy(&line)));
                    observe(&event);
                }
                Ok(Message::Answer(answer)) => {
                    // The answer itself is not logged: it may be secret.
                    self.log.note(&format!("answered: {}\n", Q::NAME));
                    return Received::Answer(answer);
                }
                Ok(Message::Failed(report)) => {
                    self.log.note(&format!("failed: {}: {report:?}\n", Q::NAME));
                    return Received::Error(ContactError::Failed(report));
                }
                // A line of kinstall's may be secret.
                Err(_) if line.starts_with(b"{") => return Received::Error(self.strange(b"a message in another form")),
                Err(_) => return Received::Error(self.strange(&line)),
            }
        }
        Received::Nothing { greeted: true }
    }

    fn silence(&self, code: Option<i32>, stderr: &str, greeted: bool, sending: Option<io::Error>) -> ContactError {
        let destination = self.destination();
        if let Some(said) = self.lost(code, stderr) {
            return ContactError::Connection { destination, said, begun: true };
        }
        match (code, sending) {
            (_, Some(source)) if source.kind() != io::ErrorKind::BrokenPipe => self.exchange(source),
            (Some(NOT_RUN), _) if !greeted => self.not_run(stderr),
            (code, _) => {
                let ending = code.map_or("was killed".to_owned(), |code| format!("ended with code {code}"));
                let program = if greeted { "kinstall" } else { "the program that should be kinstall" };
                let said = format!("{program} {ending} without an answer; {}", gist(stderr));
                ContactError::Command { act: "the request", destination, said }
            }
        }
    }

    /// Why the host does not run kinstall, although it is there: mostly because of its mount.
    fn not_run(&self, stderr: &str) -> ContactError {
        let destination = self.destination();
        // If the host does not show its mounts, only the shell's words are left.
        let asked = self
            .run(self.transport.command("cat /proc/self/mounts", &self.privilege), |input| self.give_password(input));
        let lines = asked.map(|ended| procfs::mounts(&String::from_utf8_lossy(&ended.stdout))).unwrap_or_default();
        match procfs::mount_of(&lines, DIRECTORY) {
            Some(mount) if mount.has("noexec") => {
                let reason = format!("{DIRECTORY} lies on {}, which is mounted noexec ({})", mount.path, mount.device);
                ContactError::NotRun { destination, reason, mount: Some(mount.path.clone()) }
            }
            _ => ContactError::NotRun { destination, reason: gist(stderr), mount: None },
        }
    }

    /// Why there is no connection, if `ssh` ended for that reason; programs on the host end with other codes.
    fn lost(&self, code: Option<i32>, stderr: &str) -> Option<String> {
        match (&self.transport, code) {
            (Transport::Ssh { .. }, Some(SSH_FAILED)) => Some(gist(stderr)),
            (Transport::Ssh { .. }, None) => Some("`ssh` was killed on this machine".to_owned()),
            _ => None,
        }
    }

    fn run(
        &self,
        command: Command,
        feed: impl FnOnce(&mut ChildStdin) -> io::Result<()> + Send,
    ) -> Result<Ended, ContactError> {
        let mut channel = Channel::open(command)?;
        let (mut input, mut output) = channel.ends();
        let (sent, stdout) = thread::scope(|scope| {
            let sending = scope.spawn(move || feed(&mut input));
            let mut stdout = Vec::new();
            let read = output.by_ref().take(MAX_SAID_BYTES).read_to_end(&mut stdout);
            (sending.join().expect("sending does not panic"), read.map(|_| stdout))
        });
        let (code, stderr) = channel.end().map_err(|source| self.exchange(source))?;
        self.log.note(&stderr);
        if let Some(said) = self.lost(code, &stderr) {
            return Err(ContactError::Connection { destination: self.destination(), said, begun: false });
        }
        match sent {
            // If a program ends without reading all of its input, its exit code counts.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(self.exchange(error)),
            _ => Ok(Ended { code, stdout: stdout.map_err(|source| self.exchange(source))?, stderr }),
        }
    }

    fn successful(&self, act: &'static str, ended: &Ended) -> Result<String, ContactError> {
        if ended.code == Some(0) {
            return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
        }
        Err(ContactError::Command { act, destination: self.destination(), said: gist(&ended.stderr) })
    }

    /// Writes what `sudo` may read, and then the line that marks its end.
    fn begin(&self, input: &mut ChildStdin) -> io::Result<()> {
        self.give_password(input)?;
        writeln!(input, "{GREETING}")
    }

    fn give_password(&self, input: &mut ChildStdin) -> io::Result<()> {
        match &self.privilege {
            Privilege::Password(password) => input.write_all(&password.line()),
            Privilege::Root | Privilege::Passwordless => Ok(()),
        }
    }

    fn destination(&self) -> String {
        self.transport.destination().to_owned()
    }

    fn exchange(&self, source: io::Error) -> ContactError {
        ContactError::Exchange { destination: self.destination(), source }
    }

    fn strange(&self, said: &[u8]) -> ContactError {
        const SHOWN: usize = 120;
        let text = String::from_utf8_lossy(&said[..said.len().min(SHOWN)]).escape_debug().to_string();
        ContactError::Reply { destination: self.destination(), said: format!("`{text}`") }
    }
}

/// A running program. Its standard error goes to a file, since a shared connection in the background may keep a pipe open.
struct Channel {
    child: Child,
    stderr: std::fs::File,
}

impl Channel {
    fn open(mut command: Command) -> Result<Self, ContactError> {
        let failed = |source| ContactError::Start { program: "ssh".to_owned(), source };
        let stderr = tempfile::tempfile().map_err(failed)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr.try_clone().map_err(failed)?);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|source| ContactError::Start { program, source })?;
        Ok(Self { child, stderr })
    }

    fn ends(&mut self) -> (ChildStdin, ChildStdout) {
        let input = self.child.stdin.take().expect("was piped and not taken yet");
        (input, self.child.stdout.take().expect("was piped and not taken yet"))
    }

    fn end(mut self) -> io::Result<(Option<i32>, String)> {
        let status = self.child.wait()?;
        let mut said = Vec::new();
        let length = self.stderr.seek(SeekFrom::End(0))?;
        self.stderr.seek(SeekFrom::Start(length.saturating_sub(MAX_SAID_BYTES)))?;
        self.stderr.read_to_end(&mut said)?;
        Ok((status.code(), String::from_utf8_lossy(&said).into_owned()))
    }
}
