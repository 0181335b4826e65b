//! Reads what `iptables-save` prints: the table `filter`, by iptables(8) and iptables-extensions(8).

use std::collections::BTreeMap;

use super::{Condition, Family, FilterChain, FilterProgram, FilterVerdict, Hook, Protocol, ReadRule, Target, flatten};

const HOOKS: [(&str, Hook); 3] = [("INPUT", Hook::Input), ("FORWARD", Hook::Forward), ("OUTPUT", Hook::Output)];

/// The chains at hooks in the table `filter`.
pub fn chains(saved: &str, program: FilterProgram, family: Family) -> Vec<FilterChain> {
    let table = saved.lines().skip_while(|line| *line != "*filter").take_while(|line| *line != "COMMIT");
    let mut policies = BTreeMap::new();
    let mut rules: BTreeMap<&str, Vec<ReadRule>> = BTreeMap::new();
    for line in table {
        if let Some((name, rest)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
            policies.insert(name, if rest.starts_with("DROP") { FilterVerdict::Drop } else { FilterVerdict::Accept });
        } else if let Some((name, words)) =
            line.strip_prefix("-A ").map(|rule| rule.split_once(' ').unwrap_or((rule, "")))
        {
            rules.entry(name).or_default().push(rule(words));
        }
    }
    let chain = |&(name, hook): &(&str, Hook)| {
        let policy = *policies.get(name)?;
        let mut found = Vec::new();
        let own = |name: &str| rules.get(name).map(Vec::as_slice);
        flatten(name, &own, &Condition::default(), 0, &mut found);
        Some(FilterChain {
            program,
            family,
            table: "filter".to_owned(),
            chain: name.to_owned(),
            hook,
            rules: found,
            policy,
        })
    };
    HOOKS.iter().filter_map(chain).collect()
}

/// A rule without its chain: `-p tcp -m tcp --dport 22 -j ACCEPT`.
fn rule(text: &str) -> ReadRule {
    let mut condition = Condition::default();
    let mut target = Target::Next;
    let words = words(text);
    let mut words = words.iter().map(String::as_str).peekable();
    let mut is_negated = false;
    while let Some(word) = words.next() {
        match word {
            "!" => {
                is_negated = true;
                continue;
            }
            "-j" => target = target_of(words.next().unwrap_or_default()),
            "-g" => target = Target::Goto(words.next().unwrap_or_default().to_owned()),
            // The rest of a rule belongs to its target.
            "--reject-with" | "--log-prefix" | "--log-level" => break,
            "-m" => {
                words.next();
            }
            "--comment" | "--tcp-flags" if word == "--comment" => {
                words.next();
            }
            "--tcp-flags" => {
                words.next();
                words.next();
            }
            "--syn" => {}
            "-p" if !is_negated => match words.next().unwrap_or_default() {
                "tcp" => condition.protocols = [Protocol::Tcp].into(),
                "udp" => condition.protocols = [Protocol::Udp].into(),
                "all" => {}
                _ => condition.is_never = true,
            },
            "--dport" | "--dports" if !is_negated => match ports(words.next().unwrap_or_default()) {
                Some(ports) => condition.ports = ports,
                None => condition.is_narrow = true,
            },
            "--ctstate" | "--state" => {
                let is_for_new = words.next().unwrap_or_default().split(',').any(|state| state == "NEW");
                condition.is_never |= is_for_new == is_negated;
            }
            "-i" => {
                let is_loopback = words.next() == Some("lo");
                condition.is_never |= is_loopback && !is_negated;
                condition.is_narrow |= !is_loopback;
            }
            "-o" => {
                // An incoming packet does not leave by an interface yet, and the host can always reach itself.
                condition.is_never |= words.next() == Some("lo") && !is_negated;
                condition.is_narrow |= !condition.is_never;
            }
            "--dst-type" if words.peek() == Some(&"LOCAL") => {
                words.next();
            }
            _ => condition.is_narrow = true,
        }
        is_negated = false;
    }
    ReadRule { condition, target }
}

fn target_of(name: &str) -> Target {
    match name {
        "ACCEPT" => Target::Verdict(FilterVerdict::Accept),
        "DROP" | "REJECT" | "TARPIT" => Target::Verdict(FilterVerdict::Drop),
        "RETURN" => Target::Return,
        "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "AUDIT" | "TRACE" | "CT" | "SECMARK" | "CONNSECMARK"
        | "NFQUEUE" => Target::Next,
        chain => Target::Jump(chain.to_owned()),
    }
}

/// The ports in `22`, `80,443` and `30000:32767`.
fn ports(text: &str) -> Option<Vec<(u16, u16)>> {
    let range = |text: &str| {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    text.split(',').map(range).collect()
}

/// Splits text into words; text in double quotes is one word.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut word, mut is_quoted, mut letters) = (String::new(), false, text.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if is_quoted => word.extend(letters.next()),
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => found.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    found.push(word);
    found.retain(|word| !word.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Access, FilterChain};
    use super::*;

    fn access(saved: &str) -> Vec<(String, Vec<Access>)> {
        let ports = |chain: &FilterChain| {
            let tcp = [22, 6443, 10250].map(|port| chain.access(Some((Protocol::Tcp, port))));
            tcp.into_iter().chain([chain.access(None)]).collect()
        };
        let chains = chains(saved, FilterProgram::Iptables, Family::Ip);
        chains.iter().map(|chain| (chain.chain.clone(), ports(chain))).collect()
    }

    /// What RHEL's package iptables-services loads: /etc/sysconfig/iptables.
    #[test]
    fn a_reject_at_the_end_closes_what_was_not_accepted() {
        let saved = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
-A INPUT -s 192.0.2.0/24 -p tcp -m multiport --dports 6443,10000:10249 -m comment --comment \"the \\\"API\\\" -j DROP\" -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A FORWARD -j REJECT --reject-with icmp-host-prohibited
COMMIT
";
        insta::assert_debug_snapshot!(access(saved), @r#"
        [
            (
                "INPUT",
                [
                    Open,
                    Narrow,
                    Closed,
                    Narrow,
                ],
            ),
            (
                "FORWARD",
                [
                    Closed,
                    Closed,
                    Closed,
                    Closed,
                ],
            ),
            (
                "OUTPUT",
                [
                    Open,
                    Open,
                    Open,
                    Open,
                ],
            ),
        ]
        "#);
    }

    /// ufw's chains, shortened: the reader follows a jump, and a return leaves a chain.
    #[test]
    fn jumps_are_followed() {
        let saved = "\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-user-input - [0:0]
:ufw-not-local - [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -j ufw-before-input
-A FORWARD -i docker0 -j ACCEPT
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -j DROP
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-input -s 192.0.2.7/32 -p tcp -m tcp --dport 10250 -j ACCEPT
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP
COMMIT
";
        insta::assert_debug_snapshot!(access(saved), @r#"
        [
            (
                "INPUT",
                [
                    Open,
                    Closed,
                    Narrow,
                    Narrow,
                ],
            ),
            (
                "FORWARD",
                [
                    Narrow,
                    Narrow,
                    Narrow,
                    Narrow,
                ],
            ),
            (
                "OUTPUT",
                [
                    Open,
                    Open,
                    Open,
                    Open,
                ],
            ),
        ]
        "#);
    }

    #[test]
    fn what_is_no_table_of_rules_has_no_chains() {
        for saved in ["", "*nat\n:INPUT ACCEPT [0:0]\nCOMMIT\n", "# table `filter' is incompatible, use 'nft' tool.\n"]
        {
            assert!(access(saved).is_empty(), "{saved}");
        }
    }
}
