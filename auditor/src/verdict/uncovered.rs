// SPDX-License-Identifier: Apache-2.0

//! What nobody looked at, and why.

use std::fmt;

use mhealth_api::{Key, Refusal};
use serde::{Deserialize, Serialize};

/// Why something was not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Uncovered {
    /// No auditor's key was given, so no tag could be checked.
    NoAuditorKey,
    /// The auditor's key of the device's epoch is not among those that were given.
    NoKeyOfEpoch {
        /// The epoch, from 0 on.
        epoch: u32,
        /// The public half of the key that is lacking.
        key: Key,
    },
    /// The auditor's key that was given does not open this device's escrow.
    EscrowUndecipherable,
    /// The escrow opened, but holds something else than the device's secret.
    EscrowIsNotTheSecret,
    /// The tag is in no block and in no export that could be read.
    TagNotAtHand,
    /// The entry before it is not at hand, to which its tag is bound.
    PreviousNotAtHand,
    /// No signature that covers it was found, though the study asks for one.
    SignatureNotAtHand,
    /// The entry has left the chain's state.
    LeftState,
    /// The predecessor's trusted head is not at hand, so link 0 could not be computed.
    PredecessorNotAtHand,
    /// The node has dropped the state of blocks, and with it who brought what there: attempts may lie hidden.
    BlocksNotAtHand,
    /// No export was given that this relay of the study signed.
    NoExport {
        /// The relay's account.
        account: Key,
    },
    /// A relay's export could not be read to its end.
    ExportIncomplete {
        /// The export's name.
        name: String,
    },
    /// A relay's export is older than the block that brought it.
    ExportTooOld {
        /// The export's name.
        name: String,
        /// The block that the relay had seen.
        block: u64,
    },
    /// The device brought it to the chain itself; no relay is expected to hold its data.
    SentDirectly,
    /// It may be on its way to the chain: nothing that is signed shows for how long somebody has had it.
    OnItsWay,
    /// The chain refused it for a passing or administrative reason.
    Refused {
        /// The chain's reason.
        why: Refusal,
    },
    /// The study has a record of an erasure on file, and the chain has no receipt of it.
    ErasureNotOnChain,
    /// Its sequence is too far beyond the device's last entry to be derived.
    TooFarAhead,
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uncovered::NoAuditorKey => f.write_str("the auditor's key was not given"),
            Uncovered::NoKeyOfEpoch { epoch, key } => write!(
                f,
                "the auditor's key of epoch {epoch} was not given, the private half of {key}"
            ),
            Uncovered::EscrowUndecipherable => {
                f.write_str("the auditor's key does not open this device's escrow")
            }
            Uncovered::EscrowIsNotTheSecret => {
                f.write_str("the escrow holds something else than the device's secret")
            }
            Uncovered::TagNotAtHand => {
                f.write_str("its tag is in no block and no export that could be read")
            }
            Uncovered::PreviousNotAtHand => f.write_str("the entry before it is not at hand"),
            Uncovered::SignatureNotAtHand => f.write_str("no signature that covers it was found"),
            Uncovered::LeftState => f.write_str("it has left the chain's state"),
            Uncovered::PredecessorNotAtHand => {
                f.write_str("the trusted head of the device before is not at hand")
            }
            Uncovered::BlocksNotAtHand => {
                f.write_str("the node has dropped the state of blocks that brought its runs")
            }
            Uncovered::NoExport { account } => {
                write!(f, "no export was given that the relay {account} signed")
            }
            Uncovered::ExportIncomplete { name } => {
                write!(f, "the export {name} could not be read to its end")
            }
            Uncovered::ExportTooOld { name, block } => {
                write!(f, "the export {name} was made at block {block}, before this was brought")
            }
            Uncovered::SentDirectly => f.write_str("the device sent it to the chain itself"),
            Uncovered::OnItsWay => f.write_str(
                "it may be on its way to the chain; audit again later, also with the exports of today",
            ),
            Uncovered::Refused { why } => write!(f, "the chain refused it ({why})"),
            Uncovered::ErasureNotOnChain => f.write_str(
                "its data are gone, and of their erasure there is a record on file, but no receipt on the chain",
            ),
            Uncovered::TooFarAhead => f.write_str("it is too far beyond the device's last entry"),
        }
    }
}
