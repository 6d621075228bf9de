// SPDX-License-Identifier: Apache-2.0

//! A newcomer who has nothing but a document, and does what it says.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};

use crate::document::Block;

/// Follows the blocks of a document in a folder, up to the first `text`, and gives what was printed at last.
///
/// `sh` is pasted into a shell. `text` is what the commands before it print, to the letter. Everything else is a program, which is
/// saved under the name that stands in `code` at the end of what the document says before it. `own` is what stands in the document
/// for something that every reader has of their own, with what this one has.
///
/// Fails when a command does, when something else is printed, or when it takes longer than `patience`.
pub fn follow(
    blocks: &[Block<'_>],
    folder: &Path,
    own: &[(&str, &str)],
    patience: Duration,
) -> Result<String> {
    let deadline = Instant::now() + patience;
    let mut printed = String::new();
    for block in blocks {
        let filled = |text: String, (mark, mine): &(&str, &str)| text.replace(mark, mine);
        let text = own.iter().fold(block.text.to_owned(), filled);
        match block.language {
            "sh" => printed = run(&text, folder, deadline)?,
            "text" => {
                ensure!(printed == text, "it prints {printed:?} and not {text:?}");
                return Ok(printed);
            }
            _ => std::fs::write(folder.join(file_name(block)?), text)?,
        }
    }
    bail!("the document does not say what is printed")
}

/// Runs commands as somebody who stops at the first that fails. Gives what the last ones print.
fn run(commands: &str, folder: &Path, deadline: Instant) -> Result<String> {
    // Whatever the commands start ends with them.
    let left = deadline.saturating_duration_since(Instant::now());
    let output = Command::new("timeout")
        .arg(left.as_secs().max(1).to_string())
        .args(["bash", "-e", "-c", commands])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("timeout and bash are needed")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(printed),
        Some(124) => bail!("time is up:\n{commands}{printed}{complained}"),
        _ => bail!("{}:\n{commands}{printed}{complained}", output.status),
    }
}

/// Under which name a program is to be saved.
fn file_name<'a>(block: &Block<'a>) -> Result<&'a str> {
    let name = block.before.rsplit('`').nth(1);
    let name = name.filter(|name| !name.is_empty() && !name.contains(['/', ' ', '\n']));
    name.with_context(|| format!("no name for a program after {:?}", block.before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::blocks;

    const PATIENCE: Duration = Duration::from_secs(60);
    const DOCUMENT: &str = "Save this as `greeting`:\n\n```ini\nhello NAME\n```\n\n\
        ```sh\necho installed\n```\n\n```sh\ncat greeting\n```\n\n\
        It prints\n\n```text\nhello you\n```\n";

    fn followed(document: &str, patience: Duration) -> Result<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let own = [("NAME", "you")];
        follow(&blocks(document), folder.path(), &own, patience)
    }

    fn error(document: &str, patience: Duration) -> String {
        let error = followed(document, patience);
        error.expect_err("it is seen").to_string()
    }

    #[test]
    fn a_program_is_saved_and_run_and_what_is_printed_at_last_is_compared() {
        let said = followed(DOCUMENT, PATIENCE);
        assert_eq!(said.expect("it is as it says"), "hello you\n");
    }

    #[test]
    fn what_is_not_as_the_document_says_is_seen() {
        let other = DOCUMENT.replace("hello NAME", "nothing");
        assert!(error(&other, PATIENCE).contains("it prints \"nothing\\n\""));
        let failing = DOCUMENT.replace("echo installed", "false\necho installed");
        assert!(error(&failing, PATIENCE).contains("exit status: 1"));
        let silent = DOCUMENT.replace("```text\nhello you", "```sh\ntrue");
        assert!(error(&silent, PATIENCE).contains("does not say what is printed"));
        let nameless = DOCUMENT.replace("`greeting`", "you like");
        assert!(error(&nameless, PATIENCE).contains("no name"));
        let endless = DOCUMENT.replace("echo installed", "sleep 60");
        assert!(error(&endless, Duration::from_secs(1)).contains("time is up"));
    }
}
