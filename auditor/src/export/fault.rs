// SPDX-License-Identifier: Apache-2.0

//! What may be wrong with an export, each with a stable name.

use hashchain::DeviceId;
use serde::{Deserialize, Serialize};

use super::LONGEST_LINE;

impl ExportFault {
    /// Whether it is about who answers for the lines, and not about the lines themselves.
    pub fn is_about_signatures(&self) -> bool {
        use ExportFault::*;
        matches!(
            self,
            Unsigned { .. }
                | BadSignature { .. }
                | AnotherChain { .. }
                | AnotherStudy { .. }
                | LinesDiffer { .. }
                | NotContiguous { .. }
                | AnotherAccount { .. }
                | EndsEarly
                | ForeignBlock { .. }
                | BeyondTheNode { .. }
                | OutOfOrder { .. }
        )
    }
}

/// What was wrong with a line, with the signatures under the lines, or with the transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum ExportFault {
    /// It is no run as `docs/operating/auditing.md` describes it.
    #[error("line {line} is no exported run: {why}")]
    Unreadable {
        /// The line, from 1.
        line: u64,
        /// What the reader stumbled over. No content of the line is in it.
        why: String,
    },
    /// It is longer than [`LONGEST_LINE`].
    #[error("line {line} is longer than {LONGEST_LINE} bytes")]
    TooLong {
        /// The line, from 1.
        line: u64,
    },
    /// There is nothing in it.
    #[error("line {line} is blank")]
    Blank {
        /// The line, from 1.
        line: u64,
    },
    /// Its run has more entries than any run.
    #[error(
        "line {line} has a run of more than {} entries",
        hashchain::MAX_RUN_LENGTH
    )]
    TooManyEntries {
        /// The line, from 1.
        line: u64,
    },
    /// The export ends within a line.
    #[error("the export ends within line {line}")]
    Truncated {
        /// The line, from 1.
        line: u64,
    },
    /// Its cursor is not greater than that of the line before, or the closing line tells of other cursors.
    #[error("line {line} is out of order")]
    OutOfOrder {
        /// The line, from 1.
        line: u64,
    },
    /// It names a device that the chain does not know in this study.
    #[error("line {line} names device {device}, which is no device of this study")]
    ForeignDevice {
        /// The line, from 1.
        line: u64,
        /// The device that it names.
        device: DeviceId,
    },

    /// No closing line follows: nobody answers for the lines since the one before.
    #[error("nobody signed what comes after line {line}")]
    Unsigned {
        /// The last closing line; 0 if there is none.
        line: u64,
    },
    /// The closing line's signature is not that of the account that it names.
    #[error("line {line} is not signed by the account that it names")]
    BadSignature {
        /// The line, from 1.
        line: u64,
    },
    /// The closing line is of another chain.
    #[error("line {line} was signed for another chain")]
    AnotherChain {
        /// The line, from 1.
        line: u64,
    },
    /// The closing line is of another study.
    #[error("line {line} was signed for another study")]
    AnotherStudy {
        /// The line, from 1.
        line: u64,
    },
    /// The lines before the closing line are not those that were signed: some were changed, moved, added or taken out.
    #[error("the lines before line {line} are not those that were signed")]
    LinesDiffer {
        /// The line, from 1.
        line: u64,
    },
    /// The answer does not go on where the one before ended.
    #[error("line {line} closes an answer from cursor {found} on, and the one before reached {expected}")]
    NotContiguous {
        /// The line, from 1.
        line: u64,
        /// The cursor that was reached.
        expected: u64,
        /// The cursor from which this answer goes on.
        found: u64,
    },
    /// The closing line is signed by another account than the one before.
    #[error("line {line} is signed by another account than the answer before")]
    AnotherAccount {
        /// The line, from 1.
        line: u64,
    },
    /// The last closing line says that the relay held more.
    #[error("the export ends, and the relay signed that it held more")]
    EndsEarly,
    /// The closing line names a block that the chain does not have.
    #[error("it was signed about a block {number} that the chain does not have")]
    ForeignBlock {
        /// The block's number.
        number: u64,
    },
    /// The closing line names a block that is so far beyond what the audit's node calls final that the export or the node is wrong.
    #[error("it was signed about block {number}, which is more than {most} beyond {last}, the last that this audit's node calls final: the export or the node is wrong")]
    BeyondTheNode {
        /// The block's number.
        number: u64,
        /// The last block that the node calls final.
        last: u64,
        /// How far a relay may be ahead of the node.
        most: u64,
    },

    /// There are more lines than an export of this study can have.
    #[error("it has more than {limit} lines")]
    TooManyLines {
        /// The limit.
        limit: u64,
    },
    /// There are more bytes than are read.
    #[error("it has more than {limit} bytes")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
    /// There are more entries of one device than an export of this study can have. Others are read on.
    #[error(
        "line {line} has more entries of device {device} than the {limit} that are read of it"
    )]
    TooManyOfDevice {
        /// The line, from 1.
        line: u64,
        /// The device.
        device: DeviceId,
        /// The limit.
        limit: u64,
    },
    /// There are more faults than are read over.
    #[error("it has more than {limit} faults")]
    TooManyFaults {
        /// The limit.
        limit: u64,
    },
    /// It takes longer than is waited.
    #[error("it does not end in time")]
    TooSlow,

    /// The relay could not be read from.
    #[error("the transfer broke off: {why}")]
    BrokeOff {
        /// Why.
        why: String,
    },
    /// The file could not be read.
    #[error("the file could not be read: {why}")]
    File {
        /// Why.
        why: String,
    },
}
