//! What OpenSSH, sudo, a login shell and a host's own programs say when kinstall cannot log in, and what to do about each.
//!
//! The words are those of the programs themselves: `sshconnect2.c`, `sshkey.c`, `packet.c` and `clientloop.c` of OpenSSH 8.0 to 9.9,
//! `sudo.c`, `check.c` and `auth/sudo_auth.c` of sudo 1.8 to 1.9, `pam_nologin(8)`, nologin(8), and `strerror` of the GNU C library.
//! `LC_ALL` is not set for them: a host that speaks another language gets no hint, and its words are shown as they are.

/// The program that said it. The same words mean different things from different programs: `Permission denied` from `ssh` is a key that the
/// host refuses; from the host's shell it is a mount without exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// OpenSSH on this machine.
    Ssh,
    /// `sudo` on the host.
    Sudo,
    /// The login shell or a program on the host.
    Host,
}

/// Words of a program, and what to do about them.
struct Advice {
    speaker: Speaker,
    words: &'static str,
    act: &'static str,
}

const fn ssh(words: &'static str, act: &'static str) -> Advice {
    Advice { speaker: Speaker::Ssh, words, act }
}

const fn sudo(words: &'static str, act: &'static str) -> Advice {
    Advice { speaker: Speaker::Sudo, words, act }
}

const fn host(words: &'static str, act: &'static str) -> Advice {
    Advice { speaker: Speaker::Host, words, act }
}

const UNREACHABLE: &str = "check that the host is on, that its address is right, and that firewalls let SSH through";
const CLOSED: &str = "sshd on the host takes no further connection: look for bans (fail2ban, /etc/hosts.deny, `AllowUsers` in sshd_config) and \
    `MaxStartups` there (`journalctl -u ssh -u sshd`)";
const ALGORITHMS: &str = "`ssh` here and sshd there have no algorithm in common, as with a FIPS or STIG crypto policy on one side: use a key of a \
    type that both take (`ssh -Q key`, `sshd -T`)";
const JUMP: &str = "the jump host does not pass the connection on: check `AllowTcpForwarding` in its sshd_config, and that it reaches the host";
const NO_TTY: &str =
    "sudo asks for a terminal (requiretty): add `Defaults:USER !requiretty` to a file in /etc/sudoers.d on the host";
const ANY_COMMAND: &str = "kinstall runs `sh` by sudo: let the user run any command as root (`USER ALL=(root) NOPASSWD: ALL` in a file in \
    /etc/sudoers.d on the host), or log in as root";
const NO_SUDO: &str = "the host has no sudo: log in as root, with `user: root` under `ssh` in cluster.yaml";
const PASSWORD: &str = "the password for sudo is wrong on this host";
const LOGIN_SHELL: &str = "give the user a login shell that runs commands, such as /bin/bash (`usermod --shell /bin/bash USER` on the host), or \
    name another user: `user` under `ssh` in cluster.yaml";
const EXPIRED: &str = "the user's password has expired on the host: log in once by hand and change it";

/// All advice. The more specific words come first: `Host key verification failed` follows most other words about host keys.
const ALL: &[Advice] = &[
    ssh(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host has another key than the known one; find out whether it was reinstalled, and only then remove the old key with \
         `ssh-keygen -R`",
    ),
    ssh("REVOKED HOST KEY", "the host's key was revoked: give the host a new one, and compare its fingerprint"),
    ssh(
        "Host key verification failed",
        "the host's key is not known yet: connect once with `ssh` and compare the fingerprint, or set `known-hosts` under `ssh` in \
         cluster.yaml",
    ),
    ssh("UNPROTECTED PRIVATE KEY FILE", "only its owner may read a private key: `chmod 600` on the key"),
    ssh("bad permissions", "only its owner may read a private key: `chmod 600` on the key"),
    ssh("Bad owner or permissions", "`ssh` takes its configuration only from its owner: `chmod 600 ~/.ssh/config`"),
    ssh(
        "agent refused operation",
        "the agent does not sign with the key: load it again (`ssh-add -D; ssh-add KEY`), or confirm it where the agent asks",
    ),
    ssh(
        "Too many authentication failures",
        "the agent offers too many keys: add `IdentitiesOnly yes` for the host to ~/.ssh/config",
    ),
    ssh("no such identity", "there is no key file of that name: check `key` under `ssh` in cluster.yaml"),
    ssh("not accessible: No such file", "there is no key file of that name: check `key` under `ssh` in cluster.yaml"),
    ssh(
        "error in libcrypto",
        "the key file is not a private key that `ssh` reads: check `key` under `ssh` in cluster.yaml",
    ),
    ssh(
        "invalid format",
        "the key file is not a private key that `ssh` reads: check `key` under `ssh` in cluster.yaml",
    ),
    ssh("password has expired", EXPIRED),
    ssh("Password change required", EXPIRED),
    ssh(
        "account has expired",
        "the user's account has expired on the host: have it renewed there (`chage --expiredate DATE USER`)",
    ),
    ssh("not permitted to log in yet", "the host is still booting: run the same command again when it has started"),
    ssh("nologin", "the host lets nobody but root log in while /run/nologin or /etc/nologin is there"),
    ssh("administratively prohibited", JUMP),
    ssh("stdio forwarding failed", JUMP),
    ssh(
        "Permission denied (",
        "the host accepts none of the keys that `ssh` has: check `user` and `key` under `ssh` in cluster.yaml, or load the key with `ssh-add`",
    ),
    ssh("no mutual signature", ALGORITHMS),
    ssh("Unable to negotiate", ALGORITHMS),
    ssh("no matching", ALGORITHMS),
    ssh(
        "during banner exchange",
        "the host took the connection and then said nothing in 15 s: it is overloaded, sshd waits for a name server (`UseDNS no`), or the link is slow",
    ),
    ssh("Connection refused", "check that sshd runs on the host, and `port` under `ssh` in cluster.yaml"),
    ssh("timed out", UNREACHABLE),
    ssh("No route to host", UNREACHABLE),
    ssh(
        "Network is unreachable",
        "this machine has no route to the host: check its own address and routes, and `address` in cluster.yaml",
    ),
    ssh("Could not resolve", "this machine cannot resolve the name; set `address` under `ssh` in cluster.yaml"),
    ssh("kex_exchange_identification", CLOSED),
    ssh("Connection reset by", CLOSED),
    sudo(
        "Permission denied",
        "sudo runs programs with NOEXEC for this user, so that they start no others: put `EXEC:` before the command in its rule",
    ),
    sudo("you must have a tty", NO_TTY),
    sudo("no tty present", "set `sudo: password` under `ssh` in cluster.yaml, or let the user use sudo without one"),
    sudo(
        "a password is required",
        "set `sudo: password` under `ssh` in cluster.yaml, or let the user use sudo without one",
    ),
    sudo("no password was provided", PASSWORD),
    sudo("incorrect password", PASSWORD),
    sudo("not in the sudoers", "let the user use sudo on the host, or log in as root"),
    sudo("may not run sudo", "let the user use sudo on the host, or log in as root"),
    sudo("is not allowed to execute", ANY_COMMAND),
    sudo("account validation failure", EXPIRED),
    sudo(
        "must be owned by uid 0",
        "sudo on the host lost its setuid bit or lies on a file system that is mounted nosuid; log in as root, or mount it suid",
    ),
    sudo(
        "effective uid is not 0",
        "sudo lies on a file system that is mounted nosuid on the host; log in as root, or mount it suid",
    ),
    sudo("not found", NO_SUDO),
    host("No space left", "make room on the host in /var/lib/kinstall"),
    host("Disk quota exceeded", "make room on the host in /var/lib/kinstall: root has a quota there"),
    host(
        "Read-only file system",
        "/var/lib/kinstall cannot be written on the host: mount it rw; after errors of the disk the kernel mounts it read-only (`dmesg`)",
    ),
    host("Input/output error", "the host's disk fails: look at `dmesg` there"),
    host(
        "Operation not permitted",
        "something on the host forbids it, such as fapolicyd or SELinux: look at `ausearch -m AVC,FANOTIFY -ts recent` there",
    ),
    host("currently not available", LOGIN_SHELL),
    host("restricted", LOGIN_SHELL),
    host(
        "allows sftp connections only",
        "sshd lets this user transfer files only (ForceCommand internal-sftp): name another user, `user` under `ssh` in cluster.yaml",
    ),
    host(
        "Exec format error",
        "the file on the host is damaged or for another machine: remove /var/lib/kinstall/kinstall there and run the same command again",
    ),
    host("password has expired", EXPIRED),
    host("Password change required", EXPIRED),
];

/// What to do about what was said; `None` if it contains no known words.
#[must_use]
pub fn about(speaker: Speaker, said: &str) -> Option<&'static str> {
    let known = ALL.iter().find(|advice| advice.speaker == speaker && said.contains(advice.words));
    known.map(|advice| advice.act)
}

/// The place in the table of the first words that `line` contains. A smaller number is more specific.
pub(super) fn rank(line: &str) -> Option<usize> {
    ALL.iter().position(|advice| line.contains(advice.words))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the programs say, word for word, and the beginning of the advice.
    const TABLE: &[(Speaker, &str, &str)] = &[
        (
            Speaker::Ssh,
            "admin@192.0.2.11: Permission denied (publickey,gssapi-keyex,gssapi-with-mic).",
            "the host accepts none",
        ),
        (
            Speaker::Ssh,
            "sign_and_send_pubkey: signing failed for ED25519 \"a\" from agent: agent refused operation; admin@192.0.2.11: Permission denied (publickey).",
            "the agent does not sign",
        ),
        (
            Speaker::Ssh,
            "Warning: Identity file /keys/a not accessible: No such file or directory.; a@192.0.2.11: Permission denied (publickey).",
            "there is no key file",
        ),
        (
            Speaker::Ssh,
            "Load key \"/keys/a\": error in libcrypto; a@192.0.2.11: Permission denied (publickey).",
            "the key file is not a private key",
        ),
        (
            Speaker::Ssh,
            "Load key \"/keys/a\": invalid format; a@192.0.2.11: Permission denied (publickey).",
            "the key file is not a private key",
        ),
        (
            Speaker::Ssh,
            "Load key \"/keys/a\": bad permissions; a@192.0.2.11: Permission denied (publickey).",
            "only its owner may read",
        ),
        (
            Speaker::Ssh,
            "Received disconnect from 192.0.2.11 port 22:2: Too many authentication failures",
            "the agent offers too many",
        ),
        (Speaker::Ssh, "Bad owner or permissions on /root/.ssh/config", "`ssh` takes its configuration"),
        (
            Speaker::Ssh,
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!; Host key verification failed.",
            "the host has another key",
        ),
        (
            Speaker::Ssh,
            "No ED25519 host key is known for 192.0.2.11 and you have requested strict checking.; Host key verification failed.",
            "the host's key is not known yet",
        ),
        (Speaker::Ssh, "ssh: connect to host 192.0.2.11 port 22: Connection refused", "check that sshd runs"),
        (Speaker::Ssh, "ssh: connect to host 192.0.2.11 port 22: Connection timed out", "check that the host is on"),
        (Speaker::Ssh, "ssh: connect to host 192.0.2.11 port 22: No route to host", "check that the host is on"),
        (Speaker::Ssh, "ssh: connect to host 192.0.2.11 port 22: Network is unreachable", "this machine has no route"),
        (Speaker::Ssh, "ssh: Could not resolve hostname cp1: Name or service not known", "this machine cannot resolve"),
        (
            Speaker::Ssh,
            "Connection timed out during banner exchange; Connection to 192.0.2.11 port 22 timed out",
            "the host took the connection",
        ),
        (
            Speaker::Ssh,
            "kex_exchange_identification: Connection closed by remote host; Connection closed by 192.0.2.11 port 22",
            "sshd on the host takes no further",
        ),
        (
            Speaker::Ssh,
            "kex_exchange_identification: read: Connection reset by peer; Connection reset by 192.0.2.11 port 22",
            "sshd on the host takes no further",
        ),
        (
            Speaker::Ssh,
            "Unable to negotiate with 192.0.2.11 port 22: no matching host key type found. Their offer: ssh-rsa",
            "`ssh` here and sshd there",
        ),
        (
            Speaker::Ssh,
            "channel 0: open failed: administratively prohibited: open failed; stdio forwarding failed",
            "the jump host does not",
        ),
        (
            Speaker::Ssh,
            "\"System is booting up. Unprivileged users are not permitted to log in yet. See pam_nologin(8).\"",
            "the host is still booting",
        ),
        (Speaker::Sudo, "sudo: a password is required", "set `sudo: password`"),
        (Speaker::Sudo, "sudo: no tty present and no askpass program specified", "set `sudo: password`"),
        (Speaker::Sudo, "sudo: sorry, you must have a tty to run sudo", "sudo asks for a terminal"),
        (
            Speaker::Sudo,
            "Sorry, try again.; sudo: no password was provided; sudo: 1 incorrect password attempt",
            "the password for sudo",
        ),
        (Speaker::Sudo, "admin is not in the sudoers file.  This incident will be reported.", "let the user use sudo"),
        (Speaker::Sudo, "Sorry, user admin may not run sudo on cp1.", "let the user use sudo"),
        (
            Speaker::Sudo,
            "Sorry, user admin is not allowed to execute '/usr/bin/env true' as root on cp1.",
            "kinstall runs `sh` by sudo",
        ),
        (Speaker::Sudo, "sudo: account validation failure, is your account locked?", "the user's password has expired"),
        (
            Speaker::Sudo,
            "sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set",
            "sudo on the host lost",
        ),
        (
            Speaker::Sudo,
            "sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option set or an NFS file system without root privileges?",
            "sudo lies on a file system",
        ),
        (Speaker::Sudo, "env: 'true': Permission denied", "sudo runs programs with NOEXEC"),
        (Speaker::Sudo, "bash: line 1: sudo: command not found", "the host has no sudo"),
        (Speaker::Sudo, "sh: 1: sudo: not found", "the host has no sudo"),
        (Speaker::Host, "This account is currently not available.", "give the user a login shell"),
        (
            Speaker::Host,
            "rbash: line 1: /bin/sh: restricted: cannot specify `/' in command names",
            "give the user a login shell",
        ),
        (Speaker::Host, "This service allows sftp connections only.", "sshd lets this user transfer"),
        (
            Speaker::Host,
            "WARNING: Your password has expired.; Password change required but no TTY available.",
            "the user's password has expired",
        ),
        (Speaker::Host, "cat: write error: No space left on device", "make room on the host"),
        (
            Speaker::Host,
            "mkdir: cannot create directory '/var/lib/kinstall': Read-only file system",
            "/var/lib/kinstall cannot be written",
        ),
        (
            Speaker::Host,
            "sh: 1: exec: /var/lib/kinstall/kinstall: Operation not permitted",
            "something on the host forbids it",
        ),
        (
            Speaker::Host,
            "sh: 1: exec: /var/lib/kinstall/kinstall: Exec format error",
            "the file on the host is damaged",
        ),
    ];

    #[test]
    fn each_cause_has_its_own_advice() {
        for &(speaker, said, advice) in TABLE {
            let told = about(speaker, said).unwrap_or_default();
            assert!(told.starts_with(advice), "{speaker:?} said `{said}`: {told}");
        }
    }

    #[test]
    fn the_words_of_one_speaker_are_not_advice_about_another() {
        assert_eq!(about(Speaker::Host, "sh: 1: exec: /var/lib/kinstall/kinstall: Permission denied"), None);
        assert_eq!(about(Speaker::Ssh, "sudo: a password is required"), None);
    }

    #[test]
    fn no_advice_is_hidden_behind_another() {
        for (place, advice) in ALL.iter().enumerate() {
            let first =
                ALL.iter().position(|other| other.speaker == advice.speaker && advice.words.contains(other.words));
            assert_eq!(first, Some(place), "{}", advice.words);
        }
    }
}
