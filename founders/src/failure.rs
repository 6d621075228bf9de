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
            Error::BadUrl { .. } | Error::BadSecret { .. } => INPUT,
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
