//! A host that is spoken to: getting there, and one request after the other.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use fs_err::File;
use kbundle_format::{Digest, Hasher, Platform};
use serde_json::Value;

use super::contact::{ContactError, gist};
use super::logs::HostLog;
use super::password::Password;
use super::transport::{Privilege, Transport, quote};
use crate::agent::protocol::{GREETING, Reply, Request, next_line, skip_to_greeting};
use crate::agent::{DIRECTORY, PROGRAM};
use crate::config::Sudo;
use crate::report::Event;

/// The exit code that OpenSSH keeps for its own failures.
const SSH_FAILED: i32 = 255;
/// Of what a program says on standard error, what is kept.
const MAX_SAID_BYTES: u64 = 64 << 10;

/// kinstall itself, to be sent to hosts.
pub struct Program {
    digest: Digest,
}

impl Program {
    /// The program that runs.
    pub fn this() -> io::Result<Self> {
        let mut hasher = Hasher::new(io::sink());
        // As it runs, also when it was replaced since.
        io::copy(&mut File::open("/proc/self/exe")?, &mut hasher)?;
        Ok(Self { digest: hasher.finish().0 })
    }
}

/// See the module.
pub struct Connection {
    transport: Transport,
    privilege: Privilege,
    log: HostLog,
}

/// What a program said and how it ended.
struct Ended {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Connection {
    /// Goes to a host: finds out what it is, becomes root and brings kinstall along. Nothing is sent to a host of another kind,
    /// and nothing but the password to `sudo` before that took it.
    pub fn arrive(
        transport: Transport,
        sudo: Option<Sudo>,
        password: Option<&Password>,
        program: &Program,
        log: HostLog,
    ) -> Result<Self, ContactError> {
        let mut connection = Self { transport, privilege: Privilege::Root, log };
        let is_root = connection.look()?;
        connection.privilege = Privilege::wanted(sudo, password, is_root);
        connection.prove()?;
        if matches!(connection.transport, Transport::Ssh { .. }) {
            connection.install(program)?;
        }
        Ok(connection)
    }

    /// Whether the user is root; an error where this program cannot run.
    fn look(&self) -> Result<bool, ContactError> {
        let said = self.run(self.transport.command("uname -sm; id -u", &Privilege::Root), |_| Ok(()))?;
        let said = self.successful("looking at the host", &said)?;
        let mut lines = said.lines().rev();
        let (Some(user), Some(found)) = (lines.next(), lines.next()) else {
            return Err(self.strange(said.as_bytes()));
        };
        let here = Platform::of_this_program();
        let machine = match here.architecture() {
            "amd64" => "x86_64",
            "arm64" => "aarch64",
            other => other,
        };
        if found != format!("Linux {machine}") {
            return Err(ContactError::Platform { found: found.to_owned(), here: here.to_string() });
        }
        Ok(user == "0")
    }

    fn prove(&self) -> Result<(), ContactError> {
        let Some(proof) = self.transport.proof(&self.privilege) else { return Ok(()) };
        let ended = self.run(proof, |input| self.give_password(input))?;
        match ended.code {
            Some(0) => Ok(()),
            _ => Err(ContactError::Sudo {
                destination: self.destination(),
                said: gist(&ended.stderr),
                password: matches!(self.privilege, Privilege::Password(_)),
            }),
        }
    }

    /// Puts kinstall on the host, unless the same lies there already.
    fn install(&self, program: &Program) -> Result<(), ContactError> {
        let wanted = format!("{}  -", program.digest.hex());
        let held = format!("sha256sum < {PROGRAM} 2>/dev/null || true");
        let held = self.run(self.transport.command(&held, &self.privilege), |input| self.give_password(input))?;
        if self.successful("looking for kinstall", &held)?.trim_end() == wanted {
            return Ok(());
        }
        let script = format!(
            "umask 022; while IFS= read -r line; do [ \"$line\" = {greeting} ] && break; done; \
             mkdir -p {DIRECTORY} && chmod 700 {DIRECTORY} && umask 077 && cat > {PROGRAM}.incoming && \
             [ \"$(sha256sum < {PROGRAM}.incoming)\" = {wanted} ] && chmod 700 {PROGRAM}.incoming && \
             mv -f {PROGRAM}.incoming {PROGRAM}",
            greeting = quote(GREETING),
            wanted = quote(&wanted),
        );
        let sent = self.run(self.transport.command(&script, &self.privilege), |input| {
            self.begin(input)?;
            io::copy(&mut File::open("/proc/self/exe")?, input).map(drop)
        })?;
        self.successful("bringing kinstall there", &sent).map(drop)
    }

    /// Has the host do what `request` says. `body` writes what follows the request; `told` gets what the host says meanwhile.
    pub fn converse(
        &self,
        request: &Request,
        body: impl FnOnce(&mut ChildStdin) -> io::Result<()> + Send,
        told: &mut dyn FnMut(&Event),
    ) -> Result<Reply, ContactError> {
        let mut line = serde_json::to_vec(request).expect("a request is plain data");
        line.push(b'\n');
        let program = match &self.transport {
            Transport::Ssh { .. } => PROGRAM.to_owned(),
            Transport::Local => std::env::current_exe().map_err(|source| self.talk(source))?.display().to_string(),
        };
        // Not every way of logging in has the system's own directories in the path.
        let script = format!(
            "PATH=\"$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"; export PATH; exec {} agent",
            quote(&program)
        );
        let mut channel = Channel::open(self.transport.command(&script, &self.privilege))?;
        let (mut input, output) = channel.ends();
        let (sent, read) = thread::scope(|scope| {
            let sending = scope.spawn(move || {
                self.begin(&mut input)?;
                input.write_all(&line)?;
                body(&mut input)
            });
            let read = self.listen(output, told);
            (sending.join().expect("sending does not panic"), read)
        });
        let (code, stderr) = channel.end().map_err(|source| self.talk(source))?;
        self.log.note(&stderr);
        match read {
            Ok((Some(reply), _)) => {
                self.log.note(&format!("reply: {}\n", reply.kind()));
                Ok(reply)
            }
            Err(error) => Err(error),
            Ok((None, begun)) => Err(self.silence(code, &stderr, begun, sent.err())),
        }
    }

    /// Reads to the reply. Says also whether anything of kinstall's came at all.
    fn listen(&self, output: ChildStdout, told: &mut dyn FnMut(&Event)) -> Result<(Option<Reply>, bool), ContactError> {
        let mut output = BufReader::new(output);
        if skip_to_greeting(&mut output).is_err() {
            return Ok((None, false));
        }
        // An end without a reply is judged by how the program ended.
        while let Ok(Some(line)) = next_line(&mut output) {
            let Ok(value) = serde_json::from_slice::<Value>(&line) else { return Err(self.strange(&line)) };
            if value.get("reply").is_some() {
                let reply = serde_json::from_value(value).map_err(|_| self.strange(b"a reply of another version"))?;
                return Ok((Some(reply), true));
            }
            self.log.note(&format!("{value}\n"));
            let Ok(event) = serde_json::from_value(value) else { return Err(self.strange(&line)) };
            told(&event);
        }
        Ok((None, true))
    }

    fn silence(&self, code: Option<i32>, stderr: &str, begun: bool, sending: Option<io::Error>) -> ContactError {
        let destination = self.destination();
        if let Some(said) = self.lost(code, stderr) {
            return ContactError::Connection { destination, said, begun: true };
        }
        match (code, sending) {
            (_, Some(source)) if source.kind() != io::ErrorKind::BrokenPipe => self.talk(source),
            (code, _) => {
                let ending = code.map_or("was ended".to_owned(), |code| format!("ended with code {code}"));
                let what = if begun { "kinstall" } else { "what should be kinstall" };
                let said = format!("{what} {ending} there without a reply; {}", gist(stderr));
                ContactError::Command { act: "the request", destination, said }
            }
        }
    }

    /// Why there is no connection, where it is that by which `ssh` ended: what runs there ends with codes of its own.
    fn lost(&self, code: Option<i32>, stderr: &str) -> Option<String> {
        match (&self.transport, code) {
            (Transport::Ssh { .. }, Some(SSH_FAILED)) => Some(gist(stderr)),
            (Transport::Ssh { .. }, None) => Some("`ssh` was ended here by a signal".to_owned()),
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
        let (code, stderr) = channel.end().map_err(|source| self.talk(source))?;
        self.log.note(&stderr);
        if let Some(said) = self.lost(code, &stderr) {
            return Err(ContactError::Connection { destination: self.destination(), said, begun: false });
        }
        match sent {
            // A program that ends without reading all of its input is judged by its exit code.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(self.talk(error)),
            _ => Ok(Ended { code, stdout: stdout.map_err(|source| self.talk(source))?, stderr }),
        }
    }

    fn successful(&self, act: &'static str, ended: &Ended) -> Result<String, ContactError> {
        if ended.code == Some(0) {
            return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
        }
        Err(ContactError::Command { act, destination: self.destination(), said: gist(&ended.stderr) })
    }

    /// Writes what `sudo` may read, and then what ends it in any case.
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

    fn talk(&self, source: io::Error) -> ContactError {
        ContactError::Talk { destination: self.destination(), source }
    }

    fn strange(&self, said: &[u8]) -> ContactError {
        const SHOWN: usize = 120;
        let text = String::from_utf8_lossy(&said[..said.len().min(SHOWN)]).escape_debug().to_string();
        ContactError::Reply { destination: self.destination(), said: format!("`{text}`") }
    }
}

/// A running program. Its standard error goes to a file, since a shared connection in the background may keep it open.
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
