// SPDX-License-Identifier: Apache-2.0

//! What nobody looked at, and why.

use std::fmt;

use mhealth_api::Refusal;
use serde::{Deserialize, Serialize};

/// Why something was not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Uncovered {
    /// No auditor's key was given, so no tag could be checked.
    NoAuditorKey,
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
    /// No relay's export was given.
    NoExport,
    /// A relay's export could not be read to its end.
    ExportIncomplete {
        /// The export's name.
        name: String,
    },
    /// The device brought it to the chain itself; no relay is expected to hold its data.
    SentDirectly,
    /// It was accepted a short while ago and is on its way to the chain.
    OnItsWay,
    /// The chain refused it for a passing or administrative reason.
    Refused {
        /// The chain's reason; none when a relay gave none.
        why: Option<Refusal>,
    },
    /// Its sequence is too far beyond the device's last entry to be derived.
    TooFarAhead,
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uncovered::NoAuditorKey => f.write_str("the auditor's key was not given"),
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
            Uncovered::NoExport => f.write_str("no relay's export was given"),
            Uncovered::ExportIncomplete { name } => {
                write!(f, "the export {name} could not be read to its end")
            }
            Uncovered::SentDirectly => f.write_str("the device sent it to the chain itself"),
            Uncovered::OnItsWay => f.write_str("it is on its way to the chain"),
            Uncovered::Refused { why: Some(why) } => write!(f, "the chain refused it ({why})"),
            Uncovered::Refused { why: None } => {
                f.write_str("the chain refused it (no reason given)")
            }
            Uncovered::TooFarAhead => f.write_str("it is too far beyond the device's last entry"),
        }
    }
}
