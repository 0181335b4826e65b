//! Marked edits of files that belong to others (`/etc/hosts`, `/etc/fstab`): a block at the top, or lines commented out.
//!
//! Both can be removed with nothing but the text, so that a reset months later keeps what others have written since. The block is at the
//! top because then the rest stays as it was, byte for byte.

const BEGIN: &str = "# BEGIN kinstall: kept by `kinstall run`, removed by `kinstall reset`\n";
const END: &str = "# END kinstall\n";
const COMMENT: &str = "#kinstall# ";

/// `text` with a block of `lines` as kinstall's only block.
#[must_use]
pub fn with_block(text: &str, lines: &[String]) -> String {
    format!("{BEGIN}{}\n{END}{}", lines.join("\n"), without_block(text))
}

/// `text` with the lines that `matches` commented out.
#[must_use]
pub fn with_lines_commented_out(text: &str, matches: impl Fn(&str) -> bool) -> String {
    let lines = text.split_inclusive('\n');
    lines.map(|line| if matches(line) { format!("{COMMENT}{line}") } else { line.to_owned() }).collect()
}

/// `text` without kinstall's block.
#[must_use]
pub fn without_block(text: &str) -> String {
    let mut inside = false;
    let others = |line: &&str| {
        let block_starts = line.starts_with("# BEGIN kinstall");
        let in_block = inside || block_starts;
        inside = in_block && !line.starts_with("# END kinstall");
        !in_block
    };
    text.split_inclusive('\n').filter(others).collect()
}

/// `text` as others wrote it: without kinstall's block, and with the lines restored that kinstall commented out.
#[must_use]
pub fn clean(text: &str) -> String {
    without_block(text).split_inclusive('\n').map(|line| line.strip_prefix(COMMENT).unwrap_or(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_block_replaces_the_one_before() {
        let once = with_block("127.0.0.1 localhost", &["10.0.0.1 a".into()]);
        let twice = with_block(&once, &["10.0.0.2 b".into()]);
        insta::assert_snapshot!(twice, @r"
        # BEGIN kinstall: kept by `kinstall run`, removed by `kinstall reset`
        10.0.0.2 b
        # END kinstall
        127.0.0.1 localhost
        ");
    }

    #[test]
    fn what_others_wrote_meanwhile_stays() {
        let edited = with_block("a\n", &["ours".into()]) + "written later\n";
        assert_eq!(clean(&edited), "a\nwritten later\n");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_byte_for_byte(text in "([a-z #/]{0,12}\n){0,6}[a-z]{0,5}") {
            let edited = with_block(&with_lines_commented_out(&text, |line| line.contains('a')), &["x".into(), "y".into()]);
            prop_assert_eq!(clean(&edited), text);
        }
    }
}
