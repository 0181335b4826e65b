//! Names of hosts with ranges: `node[1:3]`, `node[01:20]`, `rack[a:c]-[1:9:2]`, and a port after `:`.

/// One part of a pattern: its choices.
type Choices = Vec<String>;

/// A limit on the length of a name with its ranges.
const LONGEST: usize = 300;

/// The names that a pattern expands to, `most` at most, and the port.
pub(super) fn expand(pattern: &str, most: usize) -> Result<(Vec<String>, Option<i64>), String> {
    if pattern.len() > LONGEST {
        return Err(format!("a host's name has more than {LONGEST} characters"));
    }
    if pattern.ends_with(':') {
        return Err(format!("`{pattern}` ends in `:`, and no port follows"));
    }
    let (pattern, port) = split_port(pattern);
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while !rest.is_empty() {
        let (choices, after) = next_part(rest, most)?;
        if names.len() * choices.len() > most {
            return Err(too_many(most));
        }
        let longer = |name: &String| choices.iter().map(|choice| format!("{name}{choice}")).collect::<Vec<_>>();
        names = names.iter().flat_map(longer).collect();
        rest = after;
    }
    Ok((names, port))
}

fn too_many(most: usize) -> String {
    format!("a range stands for more than {most} hosts")
}

/// The port: the number after the only `:` outside of brackets. An IPv6 address has several `:`.
fn split_port(pattern: &str) -> (&str, Option<i64>) {
    let outside = pattern.split(['[', ']']).step_by(2).map(|part| part.matches(':').count()).sum::<usize>();
    match pattern.rsplit_once(':') {
        Some((name, port)) if outside == 1 && !name.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().map_or((pattern, None), |port| (name, Some(port)))
        }
        _ => (pattern, None),
    }
}

/// The choices of the pattern's first part, and the parts after it.
fn next_part(pattern: &str, most: usize) -> Result<(Choices, &str), String> {
    match pattern.split_once('[') {
        None => Ok((vec![pattern.to_owned()], "")),
        Some(("", rest)) => {
            let (range, after) = rest.split_once(']').ok_or("a range is written `[1:3]`")?;
            Ok((choices(range, most)?, after))
        }
        Some((text, _)) => Ok((vec![text.to_owned()], &pattern[text.len()..])),
    }
}

fn choices(range: &str, most: usize) -> Result<Choices, String> {
    let bounds: Vec<_> = range.split(':').collect();
    let (begin, end, step) = match bounds[..] {
        [begin, end] => (begin, end, "1"),
        [begin, end, step] => (begin, end, step),
        _ => return Err(format!("a range is written `[1:3]`, `[01:20]`, `[a:f]` or `[1:9:2]`, not `[{range}]`")),
    };
    let step: usize =
        step.parse().ok().filter(|&step| step > 0).ok_or_else(|| format!("`{step}` is not a step of a range"))?;
    // Python's order of letters: lowercase first.
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').collect();
    let place = |bound: &str| letters.iter().position(|letter| bound == letter.to_string());
    let found: Choices = if let (Some(begin), Some(end)) = (place(begin), place(end)) {
        letters.get(begin..=end).unwrap_or_default().iter().step_by(step).map(char::to_string).collect()
    } else {
        numbers(begin, end, step, most)?
    };
    if found.is_empty() { Err(format!("the range `[{range}]` is empty")) } else { Ok(found) }
}

/// Numbers from `begin` to `end`, both included, padded to the width of `begin` if that has a leading zero.
fn numbers(begin: &str, end: &str, step: usize, most: usize) -> Result<Choices, String> {
    let begin = if begin.is_empty() { "0" } else { begin };
    let number = |bound: &str| {
        let digits = bound.bytes().all(|byte| byte.is_ascii_digit());
        bound
            .parse::<u32>()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| format!("`{bound}` is neither a number nor a single letter"))
    };
    let width = if begin.len() > 1 && begin.starts_with('0') { begin.len() } else { 0 };
    if width > 0 && width != end.len() {
        return Err(format!("`{begin}` and `{end}` need the same number of digits, because `{begin}` begins with 0"));
    }
    let range = number(begin)?..=number(end)?;
    let numbers = range.step_by(step).take(most + 1);
    let found: Choices = numbers.map(|number| format!("{number:0width$}")).collect();
    if found.len() > most { Err(too_many(most)) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(pattern: &str) -> String {
        expand(pattern, 30).map_or_else(
            |reason| reason,
            |(names, port)| {
                format!("{}{}", names.join(" "), port.map(|port| format!(" port {port}")).unwrap_or_default())
            },
        )
    }

    #[test]
    fn ranges_are_ansibles() {
        assert_eq!(names("node"), "node");
        assert_eq!(names("node:2222"), "node port 2222");
        assert_eq!(names("node[1:3]"), "node1 node2 node3");
        assert_eq!(
            names("node[08:11].example.com"),
            "node08.example.com node09.example.com node10.example.com node11.example.com"
        );
        assert_eq!(names("r[a:b]-n[1:5:2]:22"), "ra-n1 ra-n3 ra-n5 rb-n1 rb-n3 rb-n5 port 22");
        assert_eq!(names("n[:2]"), "n0 n1 n2");
        assert_eq!(names("n[y:B:2]"), "ny nA");
        assert_eq!(names("192.0.2.[11:13]:2222"), "192.0.2.11 192.0.2.12 192.0.2.13 port 2222");
        assert_eq!(names("fd00::1"), "fd00::1");
    }

    #[test]
    fn what_is_no_range_is_told() {
        insta::assert_snapshot!(names("n[1]"), @"a range is written `[1:3]`, `[01:20]`, `[a:f]` or `[1:9:2]`, not `[1]`");
        insta::assert_snapshot!(names("n[1:2"), @"a range is written `[1:3]`");
        insta::assert_snapshot!(names("n[3:1]"), @"the range `[3:1]` is empty");
        insta::assert_snapshot!(names("n[1:]"), @"`` is neither a number nor a single letter");
        insta::assert_snapshot!(names("n[01:100]"), @"`01` and `100` need the same number of digits, because `01` begins with 0");
        insta::assert_snapshot!(names("n[1:9:0]"), @"`0` is not a step of a range");
        insta::assert_snapshot!(names("n[a:10]"), @"`a` is neither a number nor a single letter");
        insta::assert_snapshot!(names("n[1:4000000000]"), @"a range stands for more than 30 hosts");
        insta::assert_snapshot!(names("n[1:9][1:9]"), @"a range stands for more than 30 hosts");
    }

    proptest! {
        #[test]
        fn a_range_has_as_many_names_as_it_says(begin in 0_u32..50, more in 0_u32..50, step in 1_usize..7, width in 2_usize..5) {
            let end = begin + more;
            let (found, _) = expand(&format!("n[{begin:0width$}:{end:0width$}:{step}]"), 1_000).unwrap();
            let expected: Vec<_> = (begin..=end).step_by(step).map(|number| format!("n{number:0width$}")).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_pattern_is_too_much(pattern in "[a-z0-9:\\[\\]-]{0,40}|\\PC{0,20}") {
            if let Ok((names, _)) = expand(&pattern, 30) {
                prop_assert!(names.len() <= 30);
            }
        }
    }
}
