//! Backups in a folder: their names, and which of them to delete.

use crate::join_file::Moment;

const ENDING: &str = ".backup";

/// The name of a backup of `cluster` that was begun at `moment`, such as `plant-7-2026-11-27T120000Z.backup`.
#[must_use]
pub fn name(cluster: &str, moment: Moment) -> String {
    format!("{cluster}-{}{ENDING}", moment.in_file_names())
}

/// Of `names`, the backups of `cluster` that are not among the `keep` newest by the moment in the name. Other files are left out.
#[must_use]
pub fn surplus(names: &[String], cluster: &str, keep: usize) -> Vec<String> {
    let mut ours: Vec<_> = names.iter().filter(|name| is_of(name, cluster)).cloned().collect();
    ours.sort();
    ours.truncate(ours.len().saturating_sub(keep));
    ours
}

fn is_of(name: &str, cluster: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T000000Z";
    let moment = name.strip_prefix(cluster).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(ENDING));
    moment.is_some_and(|moment| {
        moment.len() == FORM.len()
            && moment
                .bytes()
                .zip(FORM)
                .all(|(found, form)| if *form == b'0' { found.is_ascii_digit() } else { found == *form })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_cluster_go_and_nothing_else() {
        let moment = |day: &str| format!("2026-11-{day}T120000Z");
        let of = |cluster: &str, day: &str| format!("{cluster}-{}.backup", moment(day));
        let mut names: Vec<_> = ["27", "25", "26"].map(|day| of("plant-7", day)).to_vec();
        names.extend([of("plant", "01"), "plant-7-by-hand.backup".to_owned(), "plant-7-2026-11-01.backup".to_owned()]);
        assert_eq!(surplus(&names, "plant-7", 2), [of("plant-7", "25")]);
        assert_eq!(surplus(&names, "plant-7", 1), ["25", "26"].map(|day| of("plant-7", day)));
        assert_eq!(surplus(&names, "plant-7", 3), Vec::<String>::new());
        assert_eq!(surplus(&names, "plant", 1), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_is_made_is_known_again() {
        let made = name("plant-7", "2026-11-27T12:00:00Z".parse().unwrap());
        assert_eq!(made, "plant-7-2026-11-27T120000Z.backup");
        assert_eq!(surplus(std::slice::from_ref(&made), "plant-7", 0), [made]);
    }
}
