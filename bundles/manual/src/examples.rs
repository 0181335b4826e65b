//! The commands and the YAML in the pages and the README.

use std::env;

use clap::Command;
use fs_err as fs;

/// The README is not a page of the manual, but its commands have to be right as well.
const README: &str = include_str!("../../../README.md");

/// Compares the file `name` of the manual with its wanted content. With `UPDATE_SCHEMA` in the environment, writes the file.
///
/// # Panics
/// When they differ, or the file cannot be read or written.
pub fn assert_current(name: &str, made: &str) {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, made).unwrap_or_else(|error| panic!("{error}"));
    }
    let found = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found, made, "{path} is not current; run the test with UPDATE_SCHEMA=1");
}

/// A fenced block of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The page's topic, and the line that the block's text begins at.
    pub place: String,
    /// The language behind the fence, such as `yaml`.
    pub language: String,
    /// Its lines.
    pub text: String,
}

/// Every fenced block of the manual and of the README.
#[must_use]
pub fn blocks() -> Vec<Block> {
    texts().flat_map(|(place, text)| blocks_of(place, text)).collect()
}

fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
    crate::pages().map(|page| (page.topic, page.text)).chain([("README", README)])
}

fn blocks_of(place: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(language), None) => {
                let place = format!("{place}:{}", number + 2);
                open = Some(Block { place, language: language.to_owned(), text: String::new() });
            }
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Errors in the commands of `program` in the manual. Complete command lines in blocks are parsed. Commands in the text may be shortened,
/// so only their subcommand and options have to exist.
pub fn wrong_commands(program: &Command) -> Vec<String> {
    let name = program.get_name().to_owned();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for block in blocks() {
        for line in command_lines(&block) {
            for words in commands_in(&line, &name) {
                seen += 1;
                let result = if line.contains('…') { known_options(program, &words) } else { parse(program, &words) };
                wrong.extend(result.err().map(|why| format!("{}: {}: {why}", block.place, words.join(" "))));
            }
        }
    }
    for (place, text) in texts() {
        for words in spans(text).filter_map(shlex::split) {
            if words.first() == Some(&name) && words.len() > 1 {
                seen += 1;
                let result = known_options(program, &words);
                wrong.extend(result.err().map(|why| format!("{place}: {}: {why}", words.join(" "))));
            }
        }
    }
    assert!(seen > 20, "only {seen} commands of {name} were found");
    wrong
}

/// The lines that a reader types: all of a plain block, those behind a prompt of a session. Continued lines are joined.
fn command_lines(block: &Block) -> Vec<String> {
    let joined = block.text.replace("\\\n", " ");
    match block.language.as_str() {
        "" | "sh" | "bash" => joined.lines().map(str::to_owned).collect(),
        "console" => joined
            .lines()
            .filter_map(|line| line.strip_prefix("$ ").or(line.strip_prefix("# ")))
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// The commands of `name` in a line: at its beginning, behind a pipe, by sudo or on another host by ssh.
fn commands_in(line: &str, name: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_default();
    let ends = |word: &String| ["|", "&&", ";"].contains(&word.as_str());
    let is_name = |word: &String| word == name || word.strip_prefix("./") == Some(name);
    let mut found = Vec::new();
    for command in words.split(ends) {
        let skip = match command.first().map(String::as_str) {
            Some("sudo") => 1,
            Some("ssh") => 2,
            _ => 0,
        };
        let command = command.get(skip..).unwrap_or_default();
        if command.first().is_some_and(is_name) {
            // The text after a redirection belongs to the shell.
            let ends = |word: &&String| !word.starts_with('>') && !word.starts_with("2>");
            found.push(command.iter().take_while(ends).cloned().collect());
        }
    }
    found
}

fn parse(program: &Command, words: &[String]) -> Result<(), String> {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    match program.clone().try_get_matches_from(words) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), DisplayHelp | DisplayVersion) => Ok(()),
        Err(error) => Err(error.render().to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// Whether the subcommand and each option of `words` exist.
fn known_options(program: &Command, words: &[String]) -> Result<(), String> {
    let mut program = program.clone();
    program.build();
    let mut command = &program;
    // Text may continue inside of the span: `kbundle verify, from a pipe`.
    for word in words[1..].iter().map(|word| word.trim_end_matches(',')) {
        let Some(option) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            match command.find_subcommand(word) {
                Some(subcommand) => command = subcommand,
                None if command.has_subcommands() => return Err(format!("no command `{word}`")),
                None => {}
            }
            continue;
        };
        let option = option.split('=').next().unwrap_or(option);
        let known = command.get_arguments().any(|argument| match option.strip_prefix('-') {
            Some(long) => argument.get_long() == Some(long),
            None => argument.get_short().is_some_and(|short| option.starts_with(short)),
        });
        if !known {
            return Err(format!("no option `{word}`"));
        }
    }
    Ok(())
}

/// Code spans of the text outside of blocks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    let outside = text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !in_block && !fence
    });
    outside.flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The YAML examples whose first line is a comment that begins with `# FILE`, such as `# cluster.yaml`.
#[must_use]
pub fn yaml_of(file: &str) -> Vec<Block> {
    let named = |block: &Block| block.language == "yaml" && block.text.starts_with(&format!("# {file}"));
    blocks().into_iter().filter(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn program() -> Command {
        let run =
            Command::new("run").arg(Arg::new("bundle").required(true)).arg(Arg::new("key").long("key").short('k'));
        Command::new("tool").subcommand_required(true).subcommand(run)
    }

    fn words(line: &str) -> Vec<String> {
        shlex::split(line).unwrap()
    }

    #[test]
    fn commands_are_found_where_a_reader_types_them() {
        let found = |line: &str| commands_in(line, "tool").into_iter().map(|words| words.join(" ")).collect::<Vec<_>>();
        assert_eq!(found("tool run a > b"), ["tool run a"]);
        assert_eq!(found("./tool run a # why"), ["./tool run a"]);
        assert_eq!(found("ssh root@h tool x | sudo tool y"), ["tool x", "tool y"]);
        assert!(found("cargo test -p tool").is_empty() && found("toolbox run").is_empty());
    }

    #[test]
    fn wrong_commands_are_named() {
        assert_eq!(parse(&program(), &words("tool run a --key k")), Ok(()));
        assert!(parse(&program(), &words("tool run a --kee k")).unwrap_err().contains("--kee"));
        assert!(parse(&program(), &words("tool run")).is_err());
        assert_eq!(known_options(&program(), &words("tool run --key")), Ok(()));
        assert_eq!(known_options(&program(), &words("tool walk")), Err("no command `walk`".to_owned()));
        assert_eq!(known_options(&program(), &words("tool run --kee=1")), Err("no option `--kee=1`".to_owned()));
    }

    #[test]
    fn blocks_have_their_language_and_place() {
        let blocks = blocks_of("page", "a\n```yaml\n# x\ny: 1\n```\n`z`\n");
        assert_eq!(blocks, [Block { place: "page:3".into(), language: "yaml".into(), text: "# x\ny: 1\n".into() }]);
        assert_eq!(spans("`a b` and `c`\n```\n`d`\n```\n").collect::<Vec<_>>(), ["a b", "c"]);
    }
}
