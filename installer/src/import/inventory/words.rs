//! Splits a line into words as Python's `shlex.split` does, which differs a little from a shell.

/// The text after `#` in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comments {
    /// It is skipped, even directly behind a word.
    Skipped,
    /// It is text like any other.
    Kept,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Word,
    Quoted(char),
}

/// The words, or what is wrong.
pub(super) fn split(line: &str, comments: Comments) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut state = State::Between;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (state, character) {
            (State::Quoted(quote), _) if character == quote => state = State::Word,
            (State::Quoted('"'), '\\') => {
                let next = characters.next().ok_or("nothing follows the backslash")?;
                if !['"', '\\'].contains(&next) {
                    word.push('\\');
                }
                word.push(next);
            }
            (State::Quoted(_), _) => word.push(character),
            (State::Between, ' ' | '\t' | '\r' | '\n') => {}
            (State::Word, ' ' | '\t' | '\r' | '\n') => {
                words.push(std::mem::take(&mut word));
                state = State::Between;
            }
            (_, '#') if comments == Comments::Skipped => break,
            (_, '\'' | '"') => state = State::Quoted(character),
            (_, '\\') => {
                word.push(characters.next().ok_or("nothing follows the backslash")?);
                state = State::Word;
            }
            (State::Between | State::Word, _) => {
                word.push(character);
                state = State::Word;
            }
        }
    }
    match state {
        State::Quoted(_) => return Err("a quotation mark is not closed"),
        State::Word => words.push(word),
        State::Between => {}
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> String {
        split(line, Comments::Skipped).map_or_else(str::to_owned, |words| words.join("|"))
    }

    // Each right side is what Python 3.11 prints for `"|".join(shlex.split(line, comments=True))`.
    #[test]
    fn words_are_pythons() {
        assert_eq!(words(r#"a b="c d" e='f g'h"#), "a|b=c d|e=f gh");
        assert_eq!(words(r"a b#c d"), "a|b");
        assert_eq!(words(r#"a 'b # c' "" # d"#), "a|b # c|");
        assert_eq!(words(r#"a "b\"c\\d\e" f\ g '\'"#), r#"a|b"c\d\e|f g|\"#);
        assert_eq!(words("# a"), "");
        assert_eq!(words("a 'b"), "a quotation mark is not closed");
        assert_eq!(words("a \\"), "nothing follows the backslash");
        assert_eq!(split("a b#c", Comments::Kept).unwrap(), ["a", "b#c"]);
    }
}
