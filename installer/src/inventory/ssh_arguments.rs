//! `ansible_ssh_common_args`: what of it has a place in `cluster.yaml`.

use super::Remarks;

/// The hosts to go through that arguments of `ssh` name. Others are remarked upon, or refused where a host could not be reached
/// without them.
pub(super) fn jump(arguments: &str, line: usize, remarks: &mut Remarks, problems: &mut Remarks) -> Option<String> {
    let Some(words) = shlex::split(arguments) else {
        problems.add(line, "a quotation mark in the arguments of ssh is not closed");
        return None;
    };
    let mut jump = None;
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (option, value) = match word.split_at_checked(2) {
            Some((option @ ("-o" | "-J"), "")) => (option, words.next().unwrap_or_default()),
            Some((option @ ("-o" | "-J"), value)) => (option, value),
            _ => (word, ""),
        };
        let (name, value) = match option {
            "-J" => ("ProxyJump", value),
            "-o" => value.split_once(['=', ' ']).map_or((value, ""), |(name, value)| (name.trim(), value.trim())),
            other => (other, ""),
        };
        if name.eq_ignore_ascii_case("ProxyJump") && !value.is_empty() {
            jump = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("ProxyCommand") {
            problems.add(
                line,
                "a ProxyCommand is not taken over, and without it the host cannot be reached; write `-o ProxyJump=user@host` \
                 instead, or put it into OpenSSH's own configuration (~/.ssh/config) and remove it here",
            );
        } else {
            let message = format!(
                "argument `{name}` of ssh is left out; OpenSSH's own configuration (~/.ssh/config) is the place for it"
            );
            remarks.add(line, message);
        }
    }
    jump
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> (Option<String>, String, String) {
        let (mut remarks, mut problems) = (Remarks::default(), Remarks::default());
        let jump = jump(arguments, 7, &mut remarks, &mut problems);
        let told = |remarks: Remarks| remarks.sorted().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        (jump, told(remarks), told(problems))
    }

    #[test]
    fn jump_hosts_are_taken_over() {
        for arguments in ["-o ProxyJump=a@b:22", "-oProxyJump=a@b:22", "-J a@b:22", "-Ja@b:22", "-o 'proxyjump a@b:22'"]
        {
            assert_eq!(read(arguments), (Some("a@b:22".to_owned()), String::new(), String::new()), "{arguments}");
        }
        assert_eq!(read("").0, None);
    }

    #[test]
    fn nothing_else_is_dropped_in_silence() {
        let (jump, remarks, problems) = read("-C -o StrictHostKeyChecking=no -J b -o");
        assert_eq!((jump.as_deref(), problems.as_str()), (Some("b"), ""));
        insta::assert_snapshot!(remarks, @"
        line 7: argument `-C` of ssh is left out; OpenSSH's own configuration (~/.ssh/config) is the place for it
        line 7: argument `StrictHostKeyChecking` of ssh is left out; OpenSSH's own configuration (~/.ssh/config) is the place for it
        line 7: argument `` of ssh is left out; OpenSSH's own configuration (~/.ssh/config) is the place for it
        ");
        insta::assert_snapshot!(read("-o ProxyCommand=\"ssh -W %h:%p -q b\"").2, @"line 7: a ProxyCommand is not taken over, and without it the host cannot be reached; write `-o ProxyJump=user@host` instead, or put it into OpenSSH's own configuration (~/.ssh/config) and remove it here");
        insta::assert_snapshot!(read("-o 'ProxyJump").2, @"line 7: a quotation mark in the arguments of ssh is not closed");
    }
}
