// SPDX-License-Identifier: Apache-2.0

//! From errors to messages and exit codes.

use std::{fmt, process::ExitCode};

use mhealth_device_host::{
    chain::{ChainFault, ChainRefusal},
    store::FreezeReason,
    Error, SyncError,
};
use mhealth_simulator::{
    cohort::{intake::IntakeError, participants::ParticipantsError, source::SourceError},
    direct,
};

/// Something was refused or is not as it should be.
pub(crate) const REFUSED: u8 = 1;
/// The input is wrong.
const INPUT: u8 = 2;
/// The node or the servers do not answer.
const UNREACHABLE: u8 = 3;
/// The wrong chain, or the wrong study.
const OTHER_CHAIN: u8 = 4;
/// The device's own files.
const STATE: u8 = 5;

/// Why the program ends early: a stable code, a message, an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: String,
    message: String,
    exit: u8,
}

impl Failure {
    /// The command line or an input file is wrong.
    pub(crate) fn input(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            exit: INPUT,
        }
    }

    /// The chain does not have what the command line says.
    pub(crate) fn chain(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            exit: OTHER_CHAIN,
        }
    }

    /// It did not happen yet, and may when the same command is run again.
    pub(crate) fn away(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            exit: UNREACHABLE,
        }
    }

    /// The chain or a server refused it.
    pub(crate) fn refused(refusal: &ChainRefusal) -> Self {
        Self {
            code: refusal.code.clone(),
            message: refusal.message.clone(),
            exit: REFUSED,
        }
    }

    /// The device was stopped.
    pub(crate) fn stopped(reason: FreezeReason) -> Self {
        Self {
            code: reason.code().into(),
            message: reason.to_string(),
            exit: REFUSED,
        }
    }

    /// The program panicked: a fault of its own.
    pub(crate) fn broke() -> Self {
        Self {
            code: "internal".into(),
            message: "This program has a fault, and the lines above say where: please report them."
                .into(),
            exit: REFUSED,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit)
    }

    /// The same, with what the person in front of it should know besides.
    pub(crate) fn and(mut self, remark: &str) -> Self {
        self.message = format!("{} {remark}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error {
            Error::TooLarge { .. } => INPUT,
            Error::OtherChain { .. } | Error::OtherStudy { .. } | Error::OtherAuditor => {
                OTHER_CHAIN
            }
            _ => STATE,
        };
        Self {
            code: error.code().into(),
            message: error.to_string(),
            exit,
        }
    }
}

impl From<ChainFault> for Failure {
    fn from(fault: ChainFault) -> Self {
        let exit = match fault.code.as_str() {
            "wrong_chain" | "incompatible_runtime" | "chain_went_back" => OTHER_CHAIN,
            "bad_url" | "bad_secret" | "no_enroller" | "too_few_relays" => INPUT,
            _ => UNREACHABLE,
        };
        Self {
            code: fault.code,
            message: fault.message,
            exit,
        }
    }
}

impl From<mhealth_chain_client::Error> for Failure {
    fn from(error: mhealth_chain_client::Error) -> Self {
        direct::fault(error).into()
    }
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Device(error) => error.into(),
            SyncError::Chain(fault) => fault.into(),
            SyncError::Refused(refusal) => Self::refused(&refusal),
        }
    }
}

impl From<ParticipantsError> for Failure {
    fn from(error: ParticipantsError) -> Self {
        Self {
            code: error.code().into(),
            message: error.to_string(),
            exit: STATE,
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::input(error.code(), format!("{error}."))
    }
}

impl From<IntakeError> for Failure {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Device(error) => error.into(),
            IntakeError::Source(error) => error.into(),
            IntakeError::Participants(error) => error.into(),
        }
    }
}
