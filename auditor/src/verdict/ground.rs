// SPDX-License-Identifier: Apache-2.0

//! On what ground something is called wrong, in one word and in one sentence.

use serde::{Deserialize, Serialize};

use super::Outcome;

/// On what ground something is called wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// Link 0 on chain is not that of the device's enrolment.
    GenesisMismatch,
    /// The registered entry is linked to a digest other than the one beside it on chain.
    ChainContradictsItself,
    /// The chain's head is not the last registered entry.
    HeadMismatch,
    /// The tag is not the secret's.
    TagFails,
    /// The tag is not the secret's for this entry, but that of a genuine one that stood in no earlier block: who wrote it saw
    /// that tag at a relay that had it, or in the pool of a node, where it waited for its block.
    TagTakenFromGenuine,
    /// The relay that brought the forged entry holds the genuine one, too.
    GenuineHeldByBringer,
    /// The relay that brought the forged entry cannot show it.
    BroughtButNotHeld,
    /// The chain took it for signed by the device's key, and by the chain's own rule it is not.
    SignatureFails,
    /// The device's signature holds by the chain's rule and by no strict one: it has points that nobody but a holder of the device's
    /// key can have put there.
    SignatureNotStrict,
    /// The envelope that a relay holds has another digest than the registered one.
    EnvelopeDiffers,
    /// A relay holds the data of a device of which the chain has a receipt that they were erased everywhere.
    HeldAfterErasure,
    /// The same, and no order to erase them is at hand: a relay kept them, or a sponsor wrote a receipt for nothing.
    ReceiptWithoutOrder,
    /// A relay shows the entry without its data, and neither a receipt on the chain nor the study's rule says that they may be gone.
    EmptiedWithoutReceipt,
    /// A relay says of another entry than the registered one that it is registered.
    StoreContradictsChain,
    /// An exported run does not fit its own receipt.
    ExportContradictsItself,
    /// Two entries, both made with the device's secret, follow the same head.
    TwoHistoriesBySecret,
    /// Two entries follow the same head, and the rival's maker cannot be told.
    RivalUndecided,
    /// The study retired the device at an earlier entry than this.
    NotTrustedByStudy,
    /// No relay holds it.
    HeldByNobody,
    /// A relay signed that it holds a genuine entry, long before the block of the audit, and no block has it.
    Withheld,
    /// A relay says of a run that the chain refused or registered it, and no block says so.
    StateContradictsBlocks,
    /// The chain refused it for a reason that speaks against nobody: a gap, a suspended device, a closed study.
    RefusedByChain,
    /// The registered entry in its place is not the device's.
    DisplacedByForgery,
    /// Somebody without the secret tried to register it, and did not succeed.
    AttemptRefused,
    /// What the device escrowed is not the secret that it committed to.
    EscrowIsNotTheSecret,
    /// The device seals its data to another key than the one that the holder of the participants' keys lists for it.
    AnotherParticipantKey,
    /// It is in the chain's state, and no extrinsic of any block brought it.
    Unaccounted,
    /// A block says that it was registered, and it is not in the chain's state.
    RecordedAndGone,
}

impl Ground {
    /// The ground as a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Ground::GenesisMismatch => "Link 0 on chain is not the one that follows from the device's enrolment.",
            Ground::ChainContradictsItself => "The registered link does not bind the digest beside it.",
            Ground::HeadMismatch => "The chain's head is not the link of the last registered entry.",
            Ground::TagFails => "The tag was not made with the device's secret.",
            Ground::TagTakenFromGenuine => {
                "The tag belongs to a genuine entry that stood in no earlier block: whoever wrote this saw it at one of the relays that had it, or in the pool of a node."
            }
            Ground::GenuineHeldByBringer => {
                "The relay that brought the forged entry holds the genuine one in its own store."
            }
            Ground::BroughtButNotHeld => "The relay that brought this entry to the chain cannot show it.",
            Ground::SignatureFails => "The chain took it for signed by the device's key, and the signature is not the device's.",
            Ground::SignatureNotStrict => {
                "A holder of the device's key signed it in a form that the chain accepts and other verifiers refuse: no phone of this project does so."
            }
            Ground::EnvelopeDiffers => "The data in the relay's store are not the data that were registered.",
            Ground::HeldAfterErasure => {
                "The relay still held these data after the receipt that they were erased everywhere, as it signed."
            }
            Ground::ReceiptWithoutOrder => {
                "The chain has a receipt that these data were erased, a relay held them after it, and no order on file is behind it: the relay kept them, or the sponsor wrote the receipt for nothing."
            }
            Ground::EmptiedWithoutReceipt => {
                "The relay shows the entry without its data, and there is no receipt that they were erased, nor are they old enough."
            }
            Ground::StoreContradictsChain => {
                "The relay says that another entry is registered here than the chain does."
            }
            Ground::ExportContradictsItself => "A run in the relay's export does not fit its own receipt.",
            Ground::TwoHistoriesBySecret => {
                "Two entries, both made with the device's secret, follow the same head: the secret was copied, or the device was set back."
            }
            Ground::RivalUndecided => {
                "Another entry was brought for the same place, and it cannot be told whose it is."
            }
            Ground::NotTrustedByStudy => "The study retired the device at an earlier entry and does not trust this one.",
            Ground::HeldByNobody => "It is on the chain, but no relay holds its data.",
            Ground::Withheld => "The relay held this genuine entry long before the block of the audit, as it signed, and no block has it.",
            Ground::StateContradictsBlocks => {
                "The relay says that the chain refused or registered this, and no block says so."
            }
            Ground::RefusedByChain => "The chain refused it for a reason that speaks against nobody.",
            Ground::DisplacedByForgery => "It is genuine, and a forged entry is registered in its place.",
            Ground::AttemptRefused => "It was not made with the device's secret or key, and was not registered: an attempt.",
            Ground::EscrowIsNotTheSecret => {
                "The device escrowed something else than the secret that it committed to: its tags cannot be checked."
            }
            Ground::AnotherParticipantKey => {
                "The device seals its data to a key that is not the participant's: whoever holds that key can read what only the participant should."
            }
            Ground::Unaccounted => {
                "It is in the chain's state, and no extrinsic of any block accounts for it: nobody can be named for it."
            }
            Ground::RecordedAndGone => {
                "A block says that the chain registered it, and it is not in the chain's state."
            }
        }
    }

    /// Whether each party that is named did this, and not only one of them: each has signed, or shows, something of its own.
    pub const fn is_of_each(self) -> bool {
        matches!(
            self,
            Ground::EnvelopeDiffers
                | Ground::HeldAfterErasure
                | Ground::EmptiedWithoutReceipt
                | Ground::StoreContradictsChain
                | Ground::ExportContradictsItself
                | Ground::StateContradictsBlocks
                | Ground::Withheld
        )
    }

    /// What the finding amounts to.
    pub const fn outcome(self) -> Outcome {
        match self {
            Ground::RefusedByChain => Outcome::NotCovered,
            _ => Outcome::Wrong,
        }
    }
}
