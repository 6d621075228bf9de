// SPDX-License-Identifier: Apache-2.0

//! Commands in documents, as their readers paste them.

/// What stands between fences in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// What the document says before it, from the block before on.
    pub before: &'a str,
    /// What stands behind its first fence, such as `sh`.
    pub language: &'a str,
    /// Its lines.
    pub text: &'a str,
}

/// The blocks of a document, in their order.
pub fn blocks(document: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = document;
    while let Some((block, after)) = next_block(rest) {
        blocks.push(block);
        rest = after;
    }
    blocks
}

fn next_block(text: &str) -> Option<(Block<'_>, &str)> {
    let (before, fenced) = text.split_once("```")?;
    let (language, lines) = fenced.split_once('\n')?;
    let (text, after) = lines.split_once("```")?;
    let block = Block {
        before,
        language,
        text,
    };
    Some((block, after))
}

/// The command lines of a program in the `sh` blocks of a document: its name and its arguments, without variables before
/// them and without what is for the shell behind them.
pub fn commands(document: &str, program: &str) -> Vec<Vec<String>> {
    let blocks = blocks(document).into_iter();
    let blocks = blocks.filter(|block| block.language == "sh");
    let text = blocks.map(|block| block.text).collect::<String>();
    let text = text.replace("\\\n", " ");
    let start = format!("{program} ");
    let commands = text.match_indices(&start).map(|(at, _)| {
        let line = text[at..].lines().next();
        words(line.unwrap_or_default())
    });
    commands.collect()
}

/// The words of a command, as a shell splits them, up to what is for the shell.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quotation: Option<char> = None;
    for sign in command.chars() {
        match quotation {
            Some(mark) if sign == mark => quotation = None,
            Some(_) => word.get_or_insert_default().push(sign),
            None if "&)#|;>".contains(sign) => break,
            None if sign == '"' || sign == '\'' => {
                quotation = Some(sign);
                word.get_or_insert_default();
            }
            None if sign.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(sign),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_in_their_order_with_what_is_said_before_them() {
        let document = "Build it:\n\n```sh\nbuild\n```\nIt says:\n```text\ndone\n```\n```sh\n";
        let found = blocks(document);
        let parts = found.iter().map(|it| (it.before, it.language, it.text));
        assert_eq!(
            parts.collect::<Vec<_>>(),
            [
                ("Build it:\n\n", "sh", "build\n"),
                ("\nIt says:\n", "text", "done\n")
            ]
        );
    }

    #[test]
    fn commands_are_found_in_blocks_without_what_is_for_the_shell() {
        let document = "run it\n```sh\nX=$(it add y)\nA=b it --c \\\n  d &\nanother it\n```\nit no\n```toml\nit no\n```\n";
        assert_eq!(
            commands(document, "it"),
            [vec!["it", "add", "y"], vec!["it", "--c", "d"]]
        );
        let document = "```sh\nit --name \"Eva's; phone\" '' | grep x\nuntil it ask && [ $(it more) ]; do sleep 1; done\nit log >file\n```\n";
        assert_eq!(
            commands(document, "it"),
            [
                vec!["it", "--name", "Eva's; phone", ""],
                vec!["it", "ask"],
                vec!["it", "more"],
                vec!["it", "log"]
            ]
        );
    }
}
