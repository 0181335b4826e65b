//! Starts programs on a host: by the user's own OpenSSH, or as a child process if the host is this one.
//!
//! Connections are shared: the first to a host stays open for those after it (`ControlMaster`), until [`Masters`] ends it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use fs_err as fs;
use kbundle_format::shell::quoted;
use tempfile::TempDir;

use super::index::HostIndex;
use super::password::Password;
use super::pool;
use crate::config::{Connection, HostSpec, Ssh, Sudo};

/// The longest path of a socket: `sun_path` has 108 bytes, of which one is the final zero, and ssh appends 17 while it creates one.
const MAX_SOCKET_PATH_BYTES: usize = 108 - 1 - 17;

/// Connections that are ended at the same time.
const CLOSED_AT_ONCE: usize = 32;

/// How a host is reached.
#[derive(Clone, Debug)]
pub enum Transport {
    /// OpenSSH with these arguments, the destination last.
    Ssh {
        /// Options.
        options: Vec<String>,
        /// The destination, as `ssh` takes it.
        destination: String,
    },
    /// A child of this process.
    Local,
}

/// How the user becomes root on a host.
#[derive(Clone, Debug)]
pub enum Privilege {
    /// The user is root.
    Root,
    /// `sudo` without a password.
    Passwordless,
    /// `sudo` with this password.
    Password(Password),
}

impl Transport {
    /// The transport to a host that `ssh` describes, with its shared connection at `socket`.
    #[must_use]
    pub fn new(host: &HostSpec, ssh: &Ssh, socket: &Path) -> Self {
        if ssh.connection == Some(Connection::Local) {
            return Self::Local;
        }
        let settings = [
            "BatchMode=yes".to_owned(),
            "ConnectTimeout=15".to_owned(),
            "ServerAliveInterval=10".to_owned(),
            "ServerAliveCountMax=3".to_owned(),
            "ControlMaster=auto".to_owned(),
            // If kinstall is killed before it ends the connection, the connection ends by itself.
            "ControlPersist=600".to_owned(),
            format!("ControlPath={}", escaped(&socket.display().to_string())),
        ];
        let known = ssh.known_hosts.as_ref();
        let known = known.map(|file| format!("UserKnownHostsFile=\"{}\"", escaped(&file.display().to_string())));
        let mut options: Vec<_> =
            settings.into_iter().chain(known).flat_map(|setting| ["-o".to_owned(), setting]).collect();
        options.push("-T".to_owned());
        let flags = [
            ("-p", ssh.port.map(|port| port.to_string())),
            ("-l", ssh.user.clone()),
            ("-i", ssh.key.as_ref().map(|key| key.display().to_string())),
        ];
        for (flag, value) in flags {
            options.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
        }
        options.extend(ssh.jump.iter().flat_map(|jump| way_through(jump, ssh.jump_key.as_deref())));
        let destination = ssh.address.clone().unwrap_or_else(|| host.address.to_string());
        Self::Ssh { options, destination }
    }

    /// A process that runs the shell script `script` there.
    #[must_use]
    pub fn command(&self, script: &str, privilege: &Privilege) -> Command {
        let sudo: &[&str] = match privilege {
            Privilege::Root => &[],
            Privilege::Passwordless => &["sudo", "-n", "--"],
            Privilege::Password(_) => &["sudo", "-S", "-p", "", "--"],
        };
        self.spelled(&[sudo, &["sh", "-c", script]].concat())
    }

    /// A process that checks whether `sudo` works, with nothing but the password as its input; `None` if the user is root. It runs `env`,
    /// which starts another program: with NOEXEC in a rule of sudo, no program can start another.
    #[must_use]
    pub fn proof(&self, privilege: &Privilege) -> Option<Command> {
        match privilege {
            Privilege::Root => None,
            Privilege::Passwordless => Some(self.spelled(&["sudo", "-n", "--", "env", "true"])),
            // Without `-k`, sudo would accept an earlier password that it still remembers.
            Privilege::Password(_) => Some(self.spelled(&["sudo", "-S", "-k", "-p", "", "--", "env", "true"])),
        }
    }

    fn spelled(&self, words: &[&str]) -> Command {
        match self {
            Self::Local => {
                let mut command = Command::new(words[0]);
                command.args(&words[1..]);
                command
            }
            Self::Ssh { options, destination } => {
                let remote: Vec<_> = words.iter().map(|word| quoted(word)).collect();
                let mut command = Command::new("ssh");
                command.args(options).arg("--").arg(destination).arg(remote.join(" "));
                command
            }
        }
    }

    /// The destination, for messages.
    #[must_use]
    pub fn destination(&self) -> &str {
        match self {
            Self::Ssh { destination, .. } => destination,
            Self::Local => "this host",
        }
    }
}

impl Privilege {
    /// The way of the setting. Without a setting, a user other than root uses `sudo` without a password.
    #[must_use]
    pub fn choose(setting: Option<Sudo>, password: Option<&Password>, is_root: bool) -> Self {
        match (setting, password) {
            (Some(Sudo::Never), _) => Self::Root,
            (Some(Sudo::Password), Some(password)) => Self::Password(password.clone()),
            (None, _) if is_root => Self::Root,
            _ => Self::Passwordless,
        }
    }
}

/// The options to connect through another host. `ssh -J` takes no key for that host; with a key, a `ProxyCommand` runs what `ssh -J` would
/// run.
fn way_through(jump: &str, key: Option<&Path>) -> [String; 2] {
    let Some(key) = key else { return ["-J".to_owned(), jump.to_owned()] };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match jump.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (!host.contains(':') || host.ends_with(']')) => (host, Some(port)),
        _ => (jump, None),
    };
    let port = port.map(|port| format!(" -p {port}")).unwrap_or_default();
    let key = escaped(&key.display().to_string());
    let key = quoted(&key);
    let host = escaped(&host.replace(['[', ']'], ""));
    let host = quoted(&host);
    let command = format!("ssh -o BatchMode=yes -o ConnectTimeout=15 -i {key}{port} -W '[%h]:%p' -- {host}");
    ["-o".to_owned(), format!("ProxyCommand={command}")]
}

/// A path in an option where `ssh` replaces `%` and what follows.
fn escaped(path: &str) -> String {
    path.replace('%', "%%")
}

/// The shared connections: creates their sockets, and ends them.
pub struct Masters {
    directory: TempDir,
}

impl Masters {
    /// Creates a private directory for the sockets.
    pub fn new() -> anyhow::Result<Self> {
        let places = [std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some("/tmp".into())];
        for place in places.into_iter().flatten() {
            let mut builder = tempfile::Builder::new();
            builder.prefix("kinstall-").permissions(Permissions::from_mode(0o700));
            let Ok(directory) = builder.tempdir_in(&place) else { continue };
            if socket_in(directory.path(), HostIndex(99_999)).as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
                return Ok(Self { directory });
            }
        }
        bail!("neither $XDG_RUNTIME_DIR nor /tmp takes a directory for connections")
    }

    /// The path of a host's socket.
    #[must_use]
    pub fn socket(&self, index: HostIndex) -> PathBuf {
        socket_in(self.directory.path(), index)
    }

    /// Ends every connection, and removes the directory. An interrupted program has to call it, since nothing is dropped then.
    pub fn close(&self) -> anyhow::Result<()> {
        let sockets = fs::read_dir(self.directory.path())?.map(|entry| Ok(entry?.path()));
        let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
        let results = pool::each(&sockets, CLOSED_AT_ONCE, |socket| {
            let path = escaped(&socket.display().to_string());
            let mut exit = Command::new("ssh");
            exit.args(["-O", "exit", "-o", &format!("ControlPath={path}"), "--", "host"]);
            // A connection that ended by itself is not a failure.
            exit.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().context("cannot run ssh")
        });
        results.into_iter().try_for_each(|ended| ended.map(drop))?;
        fs::remove_dir_all(self.directory.path()).map_err(Into::into)
    }
}

impl Drop for Masters {
    fn drop(&mut self) {
        // A connection that cannot be closed now ends by itself.
        drop(self.close());
    }
}

fn socket_in(directory: &Path, index: HostIndex) -> PathBuf {
    directory.join(index.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ClusterSpec;

    fn transport(ssh: &str) -> Transport {
        let text = format!("hosts: [{{name: a, address: 192.0.2.1, roles: [control-plane, etcd], ssh: {{{ssh}}}}}]");
        let spec = ClusterSpec::parse(&text).unwrap();
        let host = &spec.hosts[0];
        Transport::new(host, &host.ssh.or(&spec.ssh), Path::new("/run/sockets/0"))
    }

    fn words(command: &Command) -> String {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| format!("[{}]", word.to_str().unwrap())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ssh_gets_the_settings_of_cluster_yaml() {
        let way = transport("user: admin, port: 2222, key: /keys/a, jump: 'b@gate', known-hosts: '/etc/known hosts'");
        insta::assert_snapshot!(words(&way.command("it's \"$x\"", &Privilege::Passwordless)), @r#"[ssh] [-o] [BatchMode=yes] [-o] [ConnectTimeout=15] [-o] [ServerAliveInterval=10] [-o] [ServerAliveCountMax=3] [-o] [ControlMaster=auto] [-o] [ControlPersist=600] [-o] [ControlPath=/run/sockets/0] [-o] [UserKnownHostsFile="/etc/known hosts"] [-T] [-p] [2222] [-l] [admin] [-i] [/keys/a] [-J] [b@gate] [--] [192.0.2.1] [sudo -n -- sh -c "it's \""'$x"']"#);
        let through = transport("jump: 'b@gate:2222', jump-key: 'it''s 5%'");
        insta::assert_snapshot!(words(&through.command("true", &Privilege::Root)).split("[-T]").nth(1).unwrap(), @r#" [-o] [ProxyCommand=ssh -o BatchMode=yes -o ConnectTimeout=15 -i "it's 5%%" -p 2222 -W '[%h]:%p' -- b@gate] [--] [192.0.2.1] [sh -c true]"#);
        let local = transport("connection: local");
        insta::assert_snapshot!(words(&local.command("true", &Privilege::Root)), @"[sh] [-c] [true]");
    }

    #[test]
    fn a_shell_reads_the_way_through_a_host_as_it_was_written() {
        let [_, option] = way_through("b@gate:2222", Some(Path::new("it's 5%")));
        let command = option.strip_prefix("ProxyCommand=ssh ").unwrap();
        let said = Command::new("sh").args(["-c", &format!("printf '[%s]' {command}")]).output().unwrap();
        // `ssh` turns `%%` into `%`, and inserts host and port.
        insta::assert_snapshot!(String::from_utf8(said.stdout).unwrap(), @"[-o][BatchMode=yes][-o][ConnectTimeout=15][-i][it's 5%%][-p][2222][-W][[%h]:%p][--][b@gate]");
    }

    #[test]
    fn a_password_is_on_no_command_line() {
        let privilege = Privilege::Password(Password::new("secret").unwrap());
        let way = transport("user: admin");
        for command in [way.command("true", &privilege), way.proof(&privilege).unwrap()] {
            assert!(!format!("{command:?}").contains("secret"));
        }
        assert!(words(&way.proof(&privilege).unwrap()).ends_with("[sudo -S -k -p '' -- env true]"));
    }

    #[test]
    fn the_setting_decides_how_the_user_becomes_root() {
        let password = Password::new("x").unwrap();
        let chosen = |setting, is_root| format!("{:?}", Privilege::choose(setting, Some(&password), is_root));
        assert_eq!(chosen(None, true), "Root");
        assert_eq!(chosen(None, false), "Passwordless");
        assert_eq!(chosen(Some(Sudo::Passwordless), true), "Passwordless");
        assert_eq!(chosen(Some(Sudo::Password), false), "Password(hidden)");
        assert_eq!(chosen(Some(Sudo::Never), false), "Root");
    }

    #[test]
    fn sockets_are_in_a_private_directory_with_a_short_path() {
        let masters = Masters::new().unwrap();
        let directory = masters.directory.path();
        assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(masters.socket(HostIndex(500)).as_os_str().len() <= MAX_SOCKET_PATH_BYTES);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// A shell returns every word unchanged.
        #[test]
        fn quoted_words_are_one_word_each(words in proptest::collection::vec("[^\0]{0,20}", 1..4)) {
            let line: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            let script = format!("printf '%s\\0' {}", line.join(" "));
            let said = Command::new("sh").args(["-c", &script]).output().unwrap();
            let expected: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
            prop_assert_eq!(said.stdout, expected);
        }
    }
}
