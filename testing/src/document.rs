// SPDX-License-Identifier: Apache-2.0

//! Commands in documents, as their readers paste them.

/// The command lines of a program in the `sh` blocks of a document: its name and its arguments, without variables before
/// them and without what is for the shell behind them.
pub fn commands(document: &str, program: &str) -> Vec<Vec<String>> {
    let blocks = document.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    let text = blocks.collect::<String>().replace("\\\n", " ");
    let commands = text.lines().filter_map(|line| {
        let command = &line[line.find(&format!("{program} "))?..];
        let words = command.split(['&', ')', '#']).next()?.split_whitespace();
        Some(words.map(str::to_owned).collect())
    });
    commands.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_in_blocks_without_what_is_for_the_shell() {
        let document = "run it\n```sh\nX=$(it add y)\nA=b it --c \\\n  d &\nanother it\n```\nit no\n```toml\nit no\n```\n";
        assert_eq!(
            commands(document, "it"),
            [vec!["it", "add", "y"], vec!["it", "--c", "d"]]
        );
    }
}
