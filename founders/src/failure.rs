// SPDX-License-Identifier: Apache-2.0

//! From errors to messages and exit codes.

use std::{fmt, io, path::Path, process::ExitCode};

use mhealth_chain_client::{DispatchRefusal, ErasureFault, Error, SecretFileError};
use serde_json::json;

/// The chain refused it, or something is not as it should be.
const REFUSED: u8 = 1;
/// The command line or an input file is wrong.
const INPUT: u8 = 2;
/// The node does not answer, or was too slow.
const UNREACHABLE: u8 = 3;
/// Another chain than the one that was named, or rules that this program does not know.
const OTHER_CHAIN: u8 = 4;

/// What the exit codes mean, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the chain refused it, or what was checked is not right
  2  the command line or a file is wrong
  3  the node cannot be reached, or was too slow; see what became of it before you try again
  4  another chain than the one named, or a newer version of its rules
Messages begin with error[code]; the codes do not change between versions.";

/// Why a command ends early: a stable code, a message, an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: String,
    message: String,
    exit: u8,
}

impl Failure {
    /// The command line or an input file is wrong.
    pub(crate) fn input(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message, INPUT)
    }

    /// What was checked is not right.
    pub(crate) fn wrong(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message, REFUSED)
    }

    /// What was waited for did not come in time.
    pub(crate) fn late(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message, UNREACHABLE)
    }

    /// A file or folder cannot be read or written.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => "file_not_found",
            io::ErrorKind::AlreadyExists => "file_exists",
            _ => "file_unusable",
        };
        let remark = match error.kind() {
            io::ErrorKind::AlreadyExists => " Nothing is overwritten: take another name.",
            _ => "",
        };
        Self::input(code, format!("{}: {error}.{remark}", path.display()))
    }

    fn new(code: &str, message: impl Into<String>, exit: u8) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            exit,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit)
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> String {
        json!({ "error": self.code, "message": self.message }).to_string()
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> &str {
        &self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::BadUrl { .. } | Error::Unprotected { .. } | Error::BadSecret { .. } => INPUT,
            Error::WrongChain { .. } | Error::IncompatibleRuntime { .. } => OTHER_CHAIN,
            Error::Refused(_) | Error::Dispatch(_) => REFUSED,
            _ => UNREACHABLE,
        };
        match error {
            Error::Dispatch(refusal) => refusal.into(),
            error => Self::new(error.code(), error.to_string(), exit),
        }
    }
}

impl From<ErasureFault> for Failure {
    fn from(fault: ErasureFault) -> Self {
        match fault {
            ErasureFault::Chain(error) => error.into(),
            ErasureFault::OtherChain => Self::new(fault.code(), fault.to_string(), OTHER_CHAIN),
            fault => Self::wrong(fault.code(), fault.to_string()),
        }
    }
}

impl From<SecretFileError> for Failure {
    fn from(error: SecretFileError) -> Self {
        Self::input(error.code(), format!("{}.", error.sentence()))
    }
}

impl From<DispatchRefusal> for Failure {
    fn from(refusal: DispatchRefusal) -> Self {
        let code = refusal.refusal().as_str().to_owned();
        Self::new(&code, refusal.to_string(), REFUSED)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mhealth_chain_client::H256;

    use super::*;

    /// The sources of a folder and of those in it.
    fn sources(folder: &Path) -> Vec<String> {
        let files = std::fs::read_dir(folder).expect("our sources");
        let paths = files.map(|file| file.expect("a file").path());
        let sources = paths.flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![std::fs::read_to_string(&path).expect("text")],
        });
        sources.collect()
    }

    /// A source without its tests.
    fn program(source: &str) -> &str {
        let parts = source.split_once("#[cfg(test)]\nmod tests");
        parts.map_or(source, |(program, _)| program)
    }

    /// What stands in quotation marks right behind each `before`, where it is a code.
    fn codes_after(source: &str, before: &str) -> Vec<String> {
        let behind = program(source)
            .match_indices(before)
            .map(|(at, _)| source[at + before.len()..].trim_start());
        let quoted = behind.filter_map(|rest| rest.strip_prefix('"')?.split_once('"'));
        let is_code = |word: &&str| {
            let signs = |sign: char| sign.is_ascii_lowercase() || sign == '_';
            !word.is_empty() && word.chars().all(signs)
        };
        let codes = quoted.map(|(word, _)| word).filter(is_code);
        codes.map(str::to_owned).collect()
    }

    /// The codes of the document, each with the exit code that stands beside it.
    fn told() -> BTreeMap<String, String> {
        let document = include_str!("../../docs/operating/founding.md");
        let (_, section) = document.split_once("\n## Codes\n").expect("it has one");
        let section = section.split("\n## ").next().unwrap_or_default();
        let mut told = BTreeMap::new();
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.split(" | ").collect();
            for code in cells[0].split('`').skip(1).step_by(2) {
                let before = told.insert(code.to_owned(), cells[1].to_owned());
                assert_eq!(before, None, "{code} is there twice");
            }
        }
        told
    }

    #[test]
    fn every_code_stands_in_the_document_with_its_exit_code() {
        let mut made = BTreeMap::new();
        for source in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
            for (kind, exit) in [("input", INPUT), ("wrong", REFUSED), ("late", UNREACHABLE)] {
                for code in codes_after(&source, &format!("Failure::{kind}(")) {
                    made.insert(code, Some(exit));
                }
            }
        }
        // Which exit code an error of the chain has is the next test's.
        for (source, exit) in [
            (include_str!("failure.rs"), Some(INPUT)),
            (include_str!("auditor_key.rs"), Some(INPUT)),
            (
                include_str!("../../chain-client/src/secret_file.rs"),
                Some(INPUT),
            ),
            (
                include_str!("../../chain-client/src/pool.rs"),
                Some(REFUSED),
            ),
            (include_str!("../../chain-client/src/erasing.rs"), None),
            (include_str!("../../chain-client/src/error.rs"), None),
        ] {
            let codes = codes_after(source, "=>");
            assert!(!codes.is_empty(), "its form has changed");
            for code in codes {
                made.entry(code).or_insert(exit);
            }
        }
        // What a call was refused for has the chain's own name here.
        made.remove("dispatch_refused");

        let told = told();
        let untold: Vec<_> = made.keys().filter(|it| !told.contains_key(*it)).collect();
        assert!(untold.is_empty(), "without a row: {untold:?}");
        let unknown: Vec<_> = told.keys().filter(|it| !made.contains_key(*it)).collect();
        assert!(unknown.is_empty(), "nothing gives them: {unknown:?}");
        for (code, exit) in made {
            if let Some(exit) = exit {
                assert_eq!(told[&code], exit.to_string(), "{code}");
            }
        }
    }

    #[test]
    fn errors_of_the_chain_have_the_exit_codes_that_the_document_gives() {
        let (hash, word) = (H256([1; 32]), || "it".to_owned());
        let wrong_chain = Error::WrongChain {
            url: word(),
            expected: hash,
            found: hash,
        };
        let unreachable = Error::Unreachable {
            url: word(),
            reason: word(),
        };
        let bad_url = Error::BadUrl {
            url: word(),
            reason: word(),
        };
        for (error, exit) in [
            (bad_url, INPUT),
            (Error::Unprotected { url: word() }, INPUT),
            (Error::BadSecret { reason: word() }, INPUT),
            (unreachable, UNREACHABLE),
            (Error::Expired { hash, death: 7 }, UNREACHABLE),
            (Error::Superseded { hash, nonce: 7 }, UNREACHABLE),
            (Error::StatePruned { block: word() }, UNREACHABLE),
            (Error::Closed, UNREACHABLE),
            (wrong_chain, OTHER_CHAIN),
            (Error::IncompatibleRuntime { what: word() }, OTHER_CHAIN),
        ] {
            let failure = Failure::from(error);
            assert_eq!(failure.exit, exit, "{failure}");
            assert_eq!(told()[failure.code()], exit.to_string(), "{failure}");
        }
        let fault = Failure::from(ErasureFault::OtherChain);
        assert_eq!((fault.code(), fault.exit), ("wrong_chain", OTHER_CHAIN));
        let fault = Failure::from(ErasureFault::NotSigned);
        assert_eq!((fault.code(), fault.exit), ("bad_order_signature", REFUSED));
    }
}
