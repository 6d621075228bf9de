// SPDX-License-Identifier: Apache-2.0

//! A refused run inside a batch, and the error that the same refusal is in a call of its own.

use crate::{Config, Error, RefusalReason};

impl<T: Config> From<RefusalReason> for Error<T> {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::EmptyRun => Error::EmptyRun,
            RefusalReason::InvalidSequence => Error::InvalidSequence,
            RefusalReason::UnknownDevice => Error::UnknownDevice,
            RefusalReason::NotARelayOfThisStudy => Error::NotARelayOfThisStudy,
            RefusalReason::StudyClosed => Error::StudyClosed,
            RefusalReason::DeviceSuspended => Error::DeviceSuspended,
            RefusalReason::DeviceRetired => Error::DeviceRetired,
            RefusalReason::Gap => Error::Gap,
            RefusalReason::PreviousIsNotHead => Error::PreviousIsNotHead,
            RefusalReason::Fork => Error::Fork,
            RefusalReason::SignatureMissing => Error::SignatureMissing,
            RefusalReason::BadSignature => Error::BadSignature,
            RefusalReason::BeyondReach => Error::BeyondReach,
            RefusalReason::StudyAllowanceUsed => Error::StudyAllowanceUsed,
            RefusalReason::DeviceAllowanceUsed => Error::DeviceAllowanceUsed,
        }
    }
}
