//! Arguments of `ssh` in an inventory, as far as `cluster.yaml` has a key for them.
//!
//! A jump host is written in many ways: `-J`, `-o ProxyJump=…`, and most often a `ProxyCommand` that runs `ssh -W %h:%p`,
//! with the options of that second `ssh`, or `nc %h %p` on the host between.

use super::words::{Comments, split};
use crate::import::{Remarks, SourceLine};

/// Options of `ssh` that take no value (`ssh(1)` of OpenSSH 9).
const SWITCHES: &str = "46AaCfGgKkMNnqsTtVvXxYy";
/// Options of `ssh` that take a value.
const WITH_VALUE: &str = "BbcDEeFIiJLlmOopPQRSWw";
/// Programs that carry a connection's bytes, as `nc %h %p` does.
const RELAYS: [&str; 4] = ["nc", "netcat", "ncat", "nc.openbsd"];

/// The settings in arguments of `ssh`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// The hosts to go through, as `ssh -J` takes them.
    pub jump: Option<String>,
    /// The key for the last of them.
    pub jump_key: Option<String>,
    pub key: Option<String>,
    pub user: Option<String>,
    pub port: Option<String>,
    pub known_hosts: Option<String>,
}

/// Reads the arguments of an inventory. An argument without a key in `cluster.yaml` gets a remark, or is refused if the host could
/// not be reached without it.
pub(super) fn read(arguments: &str, place: &SourceLine, remarks: &mut Remarks, problems: &mut Remarks) -> Arguments {
    let mut left = Vec::new();
    let read =
        split(arguments, Comments::Kept).map_err(str::to_owned).and_then(|words| command_line(&words, &mut left));
    if !left.is_empty() {
        left.sort();
        left.dedup();
        remarks.add(
            place,
            format!(
                "left out of the arguments of ssh: {}; OpenSSH's own configuration (~/.ssh/config) is the place for them",
                left.join(", ")
            ),
        );
    }
    match read {
        Ok(Line { found, destination: None, .. }) => found,
        Ok(Line { destination: Some(word), .. }) => {
            problems.add(place, format!("`{word}` in the arguments of ssh is not an option"));
            Arguments::default()
        }
        Err(problem) => {
            problems.add(place, problem);
            Arguments::default()
        }
    }
}

/// A command line of `ssh`, without the program's name.
#[derive(Debug, Default)]
struct Line {
    found: Arguments,
    /// Whether it forwards bytes to the host of the connection.
    forwards: bool,
    destination: Option<String>,
    command: Vec<String>,
}

/// Reads the words behind `ssh`. The first of several equal options counts, as in `ssh`. Options that are not taken over go into `left`.
fn command_line(words: &[String], left: &mut Vec<String>) -> Result<Line, String> {
    let mut line = Line::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) else {
            line.destination = Some(word.clone());
            line.command = words.cloned().collect();
            break;
        };
        if flags == "-" {
            continue;
        }
        for (place, flag) in flags.char_indices() {
            if SWITCHES.contains(flag) {
                left.push(format!("`-{flag}`"));
            } else if WITH_VALUE.contains(flag) {
                let rest = &flags[place + flag.len_utf8()..];
                let next = if rest.is_empty() { words.next().map(String::as_str) } else { Some(rest) };
                let value = next.ok_or_else(|| format!("`-{flag}` in the arguments of ssh has no value"))?;
                line.option(flag, value, left)?;
                break;
            } else {
                return Err(format!("`-{flag}` is not an option of ssh"));
            }
        }
    }
    Ok(line)
}

impl Line {
    fn option(&mut self, flag: char, value: &str, left: &mut Vec<String>) -> Result<(), String> {
        let found = &mut self.found;
        match flag {
            'J' => first(&mut found.jump, value),
            'i' => first(&mut found.key, value),
            'l' => first(&mut found.user, value),
            'p' => first(&mut found.port, value),
            'W' => self.forwards = true,
            'o' => return self.setting(value, left),
            'F' => {
                return Err(format!(
                    "the arguments of ssh name a configuration of their own, `-F {value}`, and without it the host may not be reached; \
                     put what it says into ~/.ssh/config and remove it here"
                ));
            }
            other => left.push(format!("`-{other}`")),
        }
        Ok(())
    }

    fn setting(&mut self, setting: &str, left: &mut Vec<String>) -> Result<(), String> {
        let (name, value) = setting.split_once(['=', ' ', '\t']).unwrap_or((setting, ""));
        let value = value.trim().trim_start_matches('=').trim();
        let found = &mut self.found;
        match name.trim().to_ascii_lowercase().as_str() {
            "proxyjump" | "proxycommand" if value.eq_ignore_ascii_case("none") => {}
            "proxyjump" if !value.is_empty() => first(&mut found.jump, value),
            "proxycommand" if found.jump.is_none() => {
                let (jump, key) = proxy_command(value, left)?;
                found.jump = Some(jump);
                found.jump_key = key;
            }
            "identityfile" => first(&mut found.key, value.trim_matches('"')),
            "user" => first(&mut found.user, value),
            "port" => first(&mut found.port, value),
            "userknownhostsfile" if !["/dev/null", "none"].contains(&value) && !value.contains(' ') => {
                first(&mut found.known_hosts, value.trim_matches('"'));
            }
            _ => left.push(format!("`{}`", name.trim())),
        }
        Ok(())
    }
}

fn first(found: &mut Option<String>, value: &str) {
    if found.is_none() && !value.is_empty() {
        *found = Some(value.to_owned());
    }
}

/// The host that a `ProxyCommand` goes through, as `ssh -J` takes it, and the key for it.
fn proxy_command(command: &str, left: &mut Vec<String>) -> Result<(String, Option<String>), String> {
    let refused = || {
        format!(
            "the ProxyCommand `{command}` is not taken over, because it is not `ssh -W %h:%p` to one host, and without it the host \
             cannot be reached; write `-o ProxyJump=user@host` instead, or put it into ~/.ssh/config and remove it here"
        )
    };
    let words = split(command, Comments::Kept).map_err(|_| refused())?;
    let words = if words.first().is_some_and(|word| word == "exec") { &words[1..] } else { &words[..] };
    let (program, rest) = words.split_first().ok_or_else(refused)?;
    if !["ssh", "/usr/bin/ssh"].contains(&program.as_str()) {
        return Err(refused());
    }
    let mut inside = Vec::new();
    let line = after_destination(command_line(rest, &mut inside)?, &mut inside)?;
    left.extend(inside.into_iter().map(|option| format!("{option} of the ProxyCommand")));
    let relays = line.command.first().is_some_and(|word| RELAYS.contains(&word.rsplit('/').next().unwrap_or_default()))
        && ["%h", "%p"].iter().all(|token| line.command.iter().any(|word| word == token));
    if relays {
        left.push(format!(
            "`{}` on the host between, where ssh forwards by itself (AllowTcpForwarding)",
            line.command[0]
        ));
    }
    let destination =
        line.destination.filter(|_| (line.forwards && line.command.is_empty()) || relays).ok_or_else(refused)?;
    let jump = jump_of(&destination, line.found.user.as_deref(), line.found.port.as_deref());
    // Without a key, `ssh -J` can go through several hosts as well.
    let jump = line.found.jump.map_or_else(|| jump.clone(), |before| format!("{before},{jump}"));
    if jump.contains(',') && line.found.key.is_some() {
        return Err(refused());
    }
    Ok((jump, line.found.key))
}

/// Reads options behind the destination, where `ssh` takes them too.
fn after_destination(mut line: Line, left: &mut Vec<String>) -> Result<Line, String> {
    if line.command.first().is_none_or(|word| !word.starts_with('-')) {
        return Ok(line);
    }
    let Line { found, forwards, destination, command } = command_line(&line.command, left)?;
    let own = &mut line.found;
    for (mine, theirs) in [
        (&mut own.jump, found.jump),
        (&mut own.key, found.key),
        (&mut own.user, found.user),
        (&mut own.port, found.port),
    ] {
        *mine = mine.take().or(theirs);
    }
    line.forwards |= forwards;
    line.command = destination.into_iter().chain(command).collect();
    Ok(line)
}

/// A jump host, as `ssh -J` takes it. An option wins over the destination.
pub(super) fn jump_of(destination: &str, user: Option<&str>, port: Option<&str>) -> String {
    let destination = destination.strip_prefix("ssh://").unwrap_or(destination).trim_end_matches('/');
    let (own_user, host) = destination.rsplit_once('@').map_or((None, destination), |(user, host)| (Some(user), host));
    let user = user.or(own_user).map(|user| format!("{user}@")).unwrap_or_default();
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{user}{host}{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(arguments: &str) -> (Arguments, String, String) {
        let (mut remarks, mut problems) = (Remarks::default(), Remarks::default());
        let place = SourceLine { file: "".into(), line: 7 };
        let found = read(arguments, &place, &mut remarks, &mut problems);
        let told = |remarks: Remarks| remarks.sorted().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        (found, told(remarks), told(problems))
    }

    fn jump(arguments: &str) -> String {
        let (found, _, problems) = read_all(arguments);
        let key = found.jump_key.map(|key| format!(" with {key}")).unwrap_or_default();
        format!("{}{key}{problems}", found.jump.unwrap_or_default())
    }

    #[test]
    fn jump_hosts_are_taken_over() {
        for arguments in [
            "-o ProxyJump=a@b:22",
            "-oProxyJump=a@b:22",
            "-J a@b:22",
            "-Ja@b:22",
            "-o 'proxyjump a@b:22'",
            "-o ProxyJump=a@b:22 -J c",
            r#"-o ProxyCommand="ssh -W %h:%p -p 22 a@b""#,
            r#"-o ProxyCommand="ssh -p 22 -W %h:%p a@b""#,
            r"-o ProxyCommand='ssh a@b -p 22 -W %h:%p'",
            r"-oProxyCommand='exec /usr/bin/ssh -qW %h:%p -l a -p22 b'",
            r"-o 'ProxyCommand ssh -W [%h]:%p -o User=a -o Port=22 b'",
            r#"-o ProxyCommand="ssh -W %h:%p -q -o StrictHostKeyChecking=no -o \"Port 22\" a@b""#,
            r"-C -o ProxyCommand='ssh -q -p 22 a@b nc -w 10 %h %p'",
        ] {
            assert_eq!(jump(arguments), "a@b:22", "{arguments}");
        }
        assert_eq!(jump(r"-o ProxyCommand='ssh -i keys/gate -W %h:%p b'"), "b with keys/gate");
        assert_eq!(jump(r"-o ProxyCommand='ssh -W %h:%p -o IdentityFile=~/.ssh/k b'"), "b with ~/.ssh/k");
        assert_eq!(jump(r"-o ProxyCommand='ssh -J a@x:23 -W %h:%p b'"), "a@x:23,b");
        assert_eq!(jump("-o ProxyJump=none -o ProxyCommand=none"), "");
        assert_eq!(jump(""), "");
    }

    #[test]
    fn other_arguments_that_have_a_place_are_taken_over() {
        let (found, remarks, problems) =
            read_all("-i k -l ops -p 2222 -o UserKnownHostsFile=/etc/known -o IdentityFile=second -o User=third");
        assert_eq!((remarks.as_str(), problems.as_str()), ("", ""));
        let taken = [found.key, found.user, found.port, found.known_hosts];
        assert_eq!(taken, ["k", "ops", "2222", "/etc/known"].map(|text| Some(text.to_owned())));
    }

    #[test]
    fn nothing_else_is_dropped_in_silence() {
        let (found, remarks, problems) =
            read_all("-Cv -o StrictHostKeyChecking=no -o ProxyCommand='ssh -A -W %h:%p b'");
        assert_eq!((found.jump.as_deref(), problems.as_str()), (Some("b"), ""));
        insta::assert_snapshot!(remarks, @"line 7: left out of the arguments of ssh: `-A` of the ProxyCommand, `-C`, `-v`, `StrictHostKeyChecking`; OpenSSH's own configuration (~/.ssh/config) is the place for them");
        let refused = |arguments: &str| read_all(arguments).2;
        insta::assert_snapshot!(refused("-o ProxyCommand='corkscrew proxy 80 %h %p'"), @"line 7: the ProxyCommand `corkscrew proxy 80 %h %p` is not taken over, because it is not `ssh -W %h:%p` to one host, and without it the host cannot be reached; write `-o ProxyJump=user@host` instead, or put it into ~/.ssh/config and remove it here");
        for command in [
            "ssh b",
            "ssh -W %h:%p",
            "ssh -i k -J a -W %h:%p b",
            "ssh b nc",
            "sshpass -p x ssh -W %h:%p b",
            "ssh -W %h:%p b ls",
        ] {
            assert!(refused(&format!("-o ProxyCommand='{command}'")).contains("not taken over"), "{command}");
        }
        insta::assert_snapshot!(refused("-F my.cfg"), @"line 7: the arguments of ssh name a configuration of their own, `-F my.cfg`, and without it the host may not be reached; put what it says into ~/.ssh/config and remove it here");
        insta::assert_snapshot!(refused("-J"), @"line 7: `-J` in the arguments of ssh has no value");
        insta::assert_snapshot!(refused("-!"), @"line 7: `-!` is not an option of ssh");
        insta::assert_snapshot!(refused("host"), @"line 7: `host` in the arguments of ssh is not an option");
        insta::assert_snapshot!(refused("-o 'ProxyJump"), @"line 7: a quotation mark is not closed");
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}|(-[oJiWp]|ProxyCommand=|ssh|%h:%p|'| |\"|=|a@b){0,12}") {
            read_all(&text);
        }
    }
}
