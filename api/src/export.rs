// SPDX-License-Identifier: Apache-2.0

//! What a relay shows to auditors, and the line by which it answers for it.

use alloc::{boxed::Box, vec::Vec};
use hashchain::{encoding, LinkHash, Native, StudyId};
use serde::{Deserialize, Serialize};

use crate::{BlockRef, Hash, Key, RunEntry, RunStatus, SignatureBytes};

/// How a closing line begins. No other line of an export does.
pub const CLOSING_PREFIX: &str = "{\"closing\":";
/// Most bytes of a line of an export, without its line feed. A relay takes no upload that would get a longer one.
pub const LONGEST_EXPORT_LINE: usize = 16 << 20;

/// A line of `GET /v1/export`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[allow(clippy::large_enum_variant)] // One closing line an answer.
pub enum ExportLine {
    /// A run.
    Run(Box<ExportedRun>),
    /// The last line of an answer.
    Closing(ClosingLine),
}

/// A line of `GET /v1/export`: a run as the relay keeps it, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExportedRun {
    /// Its place in the relay's store. Cursors grow from line to line.
    pub cursor: u64,
    /// Its state and receipt.
    pub status: RunStatus,
    /// The device's study.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub study: StudyId,
    /// Link of the entry before the first.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub previous: LinkHash,
    /// The entries with their envelopes.
    pub entries: Vec<ExportedEntry>,
    /// The device's signature, when the run carries one.
    pub signature: Option<SignatureBytes>,
    /// When the relay stored it, in seconds since 1970, by its own clock: it proves nothing.
    pub received_at: u64,
}

/// An entry of an exported run.
pub type ExportedEntry = RunEntry;

/// The last line of an answer of `GET /v1/export`: the relay's account answers for the lines before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClosingLine {
    /// What it says.
    pub closing: ExportClosing,
}

/// What a relay's account signs of an answer of `GET /v1/export`.
///
/// `docs/operating/auditing.md` fixes the bytes, for those who check it with other programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExportClosing {
    /// The relay's account on the chain.
    pub account: Key,
    /// Hash of the chain's genesis block.
    pub chain: Hash,
    /// The study.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub study: StudyId,
    /// The cursor that was asked for: lines are of runs after it.
    pub after: u64,
    /// The cursor that was reached: every run of the study up to it is shown, here or in answers before. To go on, ask for
    /// `after=` this.
    pub reached: u64,
    /// Whether the relay held more runs of the study then.
    pub more: bool,
    /// The latest finalised block that the relay had worked off before it read the first of these runs. What is said of
    /// them follows from blocks up to this one at least.
    pub block: BlockRef,
    /// SHA-256 of the lines before this one, each with its line feed, as they were sent.
    pub lines: Hash,
    /// The account's sr25519 signature over [`ExportClosing::statement`], in the signing context `substrate`, as the account
    /// signs extrinsics.
    pub signature: SignatureBytes,
}

impl ExportClosing {
    /// What is signed: `H("export", chain, u32 study, u64 after, u64 reached, u8 more, u64 block number, block hash, lines)`.
    ///
    /// A hash of 32 bytes is no payload of an extrinsic, so what an account signs here can stand for nothing else.
    pub fn statement(&self) -> [u8; 32] {
        encoding::hash::<Native>(
            "export",
            &[
                &self.chain.0,
                &self.study.0.to_be_bytes(),
                &self.after.to_be_bytes(),
                &self.reached.to_be_bytes(),
                &[u8::from(self.more)],
                &self.block.number.to_be_bytes(),
                &self.block.hash.0,
                &self.lines.0,
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closing() -> ExportClosing {
        ExportClosing {
            account: Key([1; 32]),
            chain: Hash([2; 32]),
            study: StudyId(3),
            after: 4,
            reached: 5,
            more: false,
            block: BlockRef {
                number: 6,
                hash: Hash([7; 32]),
            },
            lines: Hash([8; 32]),
            signature: SignatureBytes([9; 64]),
        }
    }

    #[test]
    fn a_closing_line_is_told_by_its_beginning_and_read_back() {
        let line = ExportLine::Closing(ClosingLine { closing: closing() });
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.starts_with(CLOSING_PREFIX), "{text}");
        let read: ClosingLine = serde_json::from_str(&text).unwrap();
        assert_eq!(read.closing, closing());
        let more = text.replacen("\"more\"", "\"colour\":1,\"more\"", 1);
        assert!(serde_json::from_str::<ClosingLine>(&more).is_err());
    }

    #[test]
    fn everything_but_account_and_signature_is_in_the_statement() {
        let changes: [fn(&mut ExportClosing); 8] = [
            |it| it.chain.0[0] ^= 1,
            |it| it.study.0 ^= 1,
            |it| it.after ^= 1,
            |it| it.reached ^= 1,
            |it| it.more ^= true,
            |it| it.block.number ^= 1,
            |it| it.block.hash.0[31] ^= 1,
            |it| it.lines.0[31] ^= 1,
        ];
        let statement = closing().statement();
        for change in changes {
            let mut changed = closing();
            change(&mut changed);
            assert_ne!(changed.statement(), statement);
        }
        // The bytes as docs/operating/auditing.md gives them, made by hand.
        let lp = |part: &[u8]| [&(part.len() as u32).to_be_bytes()[..], part].concat();
        let bytes = [
            lp(b"mhealth-hashchain/1"),
            lp(b"export"),
            lp(&[2; 32]),
            lp(&[0, 0, 0, 3]),
            lp(&[0, 0, 0, 0, 0, 0, 0, 4]),
            lp(&[0, 0, 0, 0, 0, 0, 0, 5]),
            lp(&[0]),
            lp(&[0, 0, 0, 0, 0, 0, 0, 6]),
            lp(&[7; 32]),
            lp(&[8; 32]),
        ]
        .concat();
        assert_eq!(bytes.len(), 190);
        let expected = <Native as encoding::Sha256>::sha256(&bytes);
        assert_eq!(statement, expected);
    }
}
