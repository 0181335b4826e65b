//! Texts in a special form: times and quantities.

/// Whether it is a time in Go's form: `300ms`, `1h30m`, `0`.
#[must_use]
pub fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 7] = ["ns", "us", "µs", "ms", "s", "m", "h"];
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let Some(after) = after_number(rest) else { return false };
        let end = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        if !UNITS.contains(&&after[..end]) {
            return false;
        }
        rest = &after[end..];
    }
    true
}

/// Whether it is a quantity of Kubernetes: `500m`, `1Gi`, `2.5`, `1e3`.
#[must_use]
pub fn is_quantity(text: &str) -> bool {
    const SUFFIXES: [&str; 16] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let Some(suffix) = after_number(text) else { return false };
    let exponent = suffix.strip_prefix(['e', 'E']).map(|power| power.strip_prefix(['+', '-']).unwrap_or(power));
    let is_power = |power: &str| !power.is_empty() && power.bytes().all(|byte| byte.is_ascii_digit());
    SUFFIXES.contains(&suffix) || exponent.is_some_and(is_power)
}

/// The text after the leading decimal number; `None` if there is none.
fn after_number(text: &str) -> Option<&str> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    (digits > 0 && number.len() - digits <= 1).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_go() {
        for good in ["0", "0s", "300ms", "1h30m", "1.5h", "-2m", "10us", "10µs"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "5", "s", "1d", "1 h", "h1", "1..5s", "1hm"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for good in ["0", "1", "500m", "1Gi", "2.5", ".5", "1e3", "1E-3", "3E", "100Ki", "-1"] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", "Gi", "1GB", "1K", "1 Gi", "1.2.3", "1e", "10%", "1gi"] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }
}
