// SPDX-License-Identifier: Apache-2.0

//! What a code means to the person who holds the phone.

use mhealth_api::Code;

use crate::{error::Error, freeze::FreezeReason, status::Advice, sync::SyncError};

impl Error {
    /// What the person who holds the phone should do.
    pub fn advice(&self) -> Advice {
        match self {
            Self::DiskFull(_) => Advice::MakeRoom,
            Self::InUse(_) => Advice::CloseOther,
            Self::Newer { .. } => Advice::UpdateApp,
            Self::KeystoreLocked => Advice::Unlock,
            Self::WrongKeystore(_) | Self::Corrupt { .. } => Advice::EnrolAnew,
            Self::NotEnrolled => Advice::Enrol,
            Self::OtherChain { .. } | Self::OtherStudy { .. } => Advice::AskForCode,
            Self::Frozen { reason, .. } => reason.advice(),
            _ => Advice::TellStudy,
        }
    }
}

impl FreezeReason {
    /// What the person who holds the phone should do.
    pub fn advice(self) -> Advice {
        match self {
            Self::RestoredBackup | Self::OtherEnrolment | Self::Retired | Self::NeverEnrolled => {
                Advice::EnrolAnew
            }
            Self::ForeignHead | Self::AnotherParticipantKey => Advice::TellStudy,
        }
    }
}

impl SyncError {
    /// What the person who holds the phone should do.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Device(error) => error.advice(),
            Self::Chain(fault) => by_code(&fault.code, fault.passing),
            Self::Refused(refusal) => by_code(&refusal.code, false),
        }
    }

    /// Whether trying again may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Device(error) => matches!(error, Error::InUse(_) | Error::KeystoreLocked),
            Self::Chain(fault) => fault.passing,
            Self::Refused(_) => false,
        }
    }
}

/// By the stable code of a fault of the chain, of a server, or of the way there.
fn by_code(code: &str, passing: bool) -> Advice {
    if let Ok(code) = code.parse::<Code>() {
        let about_the_code = matches!(
            code,
            Code::MalformedCode
                | Code::UnknownCode
                | Code::CodeExpired
                | Code::CodeUsed
                | Code::CodeRevoked
                | Code::WrongStudy
        );
        if about_the_code {
            return Advice::AskForCode;
        }
        if code == Code::DeviceRetired {
            return Advice::EnrolAnew;
        }
    }
    match code {
        "server_unreachable" => Advice::Connect,
        "certificate_not_valid_yet" | "certificate_expired" => Advice::SetClock,
        "no_code" | "other_terms" | "not_an_address" | "plain_http" | "other_address" => {
            Advice::AskForCode
        }
        "origin_not_allowed" | "retirement_not_proved" => Advice::TellStudy,
        "already_enrolled" => Advice::Wait,
        _ if passing => Advice::Wait,
        _ => Advice::TellStudy,
    }
}
