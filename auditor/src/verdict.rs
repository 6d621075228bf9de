// SPDX-License-Identifier: Apache-2.0

//! The words of an audit: what is said of an entry, who is held to be at fault, on what ground, and what nobody looked at.

use std::fmt;

use mhealth_api::{Hash, Key};
use serde::{Deserialize, Serialize};

/// What the audit says of one entry. There is no entry without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Registered, linked, made with the device's secret, signed where the study asks for it, and held unaltered.
    Valid,
    /// As valid, but its content can no longer be read, because the participant's key was destroyed on record.
    Erased,
    /// A relay holds something else than what was registered.
    Altered,
    /// Not made with the device's secret, or not signed by its key where that is asked for.
    Forged,
    /// There are two successors of one head, and no check tells which is the device's; or the study does not trust it.
    Disputed,
    /// On the chain, but in no relay's store.
    Missing,
    /// In a relay's store, or brought to the chain, but not registered.
    Unregistered,
    /// It could not be judged, for the reasons given.
    NotCovered,
}

impl Verdict {
    /// All of them, in the order of reports.
    pub const ALL: [Verdict; 8] = [
        Verdict::Valid,
        Verdict::Erased,
        Verdict::Altered,
        Verdict::Forged,
        Verdict::Disputed,
        Verdict::Missing,
        Verdict::Unregistered,
        Verdict::NotCovered,
    ];

    /// The verdict as one word, as in the JSON report. Stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Valid => "valid",
            Verdict::Erased => "erased",
            Verdict::Altered => "altered",
            Verdict::Forged => "forged",
            Verdict::Disputed => "disputed",
            Verdict::Missing => "missing",
            Verdict::Unregistered => "unregistered",
            Verdict::NotCovered => "not_covered",
        }
    }

    /// The verdict as a person reads it.
    pub const fn title(self) -> &'static str {
        match self {
            Verdict::NotCovered => "not covered",
            other => other.as_str(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// How bad it is. What is worse is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was checked, and is right.
    Right,
    /// Nothing was found wrong, but not everything could be checked.
    NotCovered,
    /// Something is wrong.
    Wrong,
}

impl Outcome {
    /// The exit status of the program.
    pub const fn exit_status(self) -> u8 {
        match self {
            Outcome::Right => 0,
            Outcome::Wrong => 1,
            Outcome::NotCovered => 2,
        }
    }

    /// The outcome as one word, as in the JSON report. Stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Right => "right",
            Outcome::NotCovered => "not_covered",
            Outcome::Wrong => "wrong",
        }
    }
}

/// Who may be at fault. Several parties on one finding mean: one of these, and the evidence does not say which.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "party")]
pub enum Party {
    /// The relay that signs with this account.
    Relay {
        /// Its account on the chain.
        account: Key,
    },
    /// The relay whose export has this name, where its account is not known.
    RelayStore {
        /// The export's name.
        name: String,
    },
    /// Somebody else who holds an authentication key (token) for this device, or the server's key that issues them
    /// (Figure 5).
    AuthenticationKeyHolder,
    /// Somebody who holds the device's signing key and not its secret.
    SigningKeyHolder,
    /// Somebody who holds a copy of both key and secret (Figure 6), or the device itself, set back to an earlier state.
    SecretHolder,
    /// The device: what it committed to is not what it escrowed.
    Device,
    /// The chain's validators: the state contradicts the rules.
    Validators,
    /// An account without a role in the study.
    Account {
        /// The account.
        account: Key,
    },
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Relay { account } => write!(f, "the relay with the account {account}"),
            Party::RelayStore { name } => write!(f, "the relay of the export {name}"),
            Party::AuthenticationKeyHolder => {
                f.write_str("a holder of a stolen authentication key for this device")
            }
            Party::SigningKeyHolder => {
                f.write_str("a holder of the device's signing key without its secret")
            }
            Party::SecretHolder => f.write_str(
                "a holder of a copy of the device's key and secret, or the device set back to an earlier state",
            ),
            Party::Device => f.write_str("the device"),
            Party::Validators => f.write_str("the chain's validators"),
            Party::Account { account } => write!(f, "the account {account}"),
        }
    }
}

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
    /// The tag is not the secret's for this entry, but another entry's: who wrote it had the genuine entry before it was
    /// registered.
    TagTakenFromGenuine,
    /// The relay that brought the forged entry holds the genuine one, too.
    GenuineHeldByBringer,
    /// The relay that brought the forged entry cannot show it.
    BroughtButNotHeld,
    /// The study asks for the device's signature, and the one on chain is not the device's.
    SignatureFails,
    /// The envelope that a relay holds has another digest than the registered one.
    EnvelopeDiffers,
    /// A relay says of another entry than the registered one that it stands registered.
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
    /// A genuine entry is in a relay's store, and the relay did not bring it to the chain.
    Withheld,
    /// The chain refused it for a reason that speaks against nobody: a gap, a suspended device, a closed study.
    RefusedByChain,
    /// The registered entry in its place is not the device's.
    DisplacedByForgery,
    /// Somebody without the secret tried to register it, and did not succeed.
    AttemptRefused,
    /// What the device escrowed is not the secret that it committed to.
    EscrowIsNotTheSecret,
}

impl Ground {
    /// The ground as a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Ground::GenesisMismatch => "Link 0 on chain is not the one that follows from the device's enrolment.",
            Ground::ChainContradictsItself => "The registered link does not bind the digest that stands beside it.",
            Ground::HeadMismatch => "The chain's head is not the link of the last registered entry.",
            Ground::TagFails => "The tag was not made with the device's secret.",
            Ground::TagTakenFromGenuine => {
                "The tag belongs to a genuine entry: whoever wrote this had the genuine entry in hand before it was registered."
            }
            Ground::GenuineHeldByBringer => {
                "The relay that brought the forged entry holds the genuine one in its own store."
            }
            Ground::BroughtButNotHeld => "The relay that brought this entry to the chain cannot show it.",
            Ground::SignatureFails => "The study asks for the device's signature, and the one given is not the device's.",
            Ground::EnvelopeDiffers => "The data in the relay's store are not the data that were registered.",
            Ground::StoreContradictsChain => {
                "The relay says that another entry stands registered here than the chain does."
            }
            Ground::ExportContradictsItself => "A run in the relay's export does not fit its own receipt.",
            Ground::TwoHistoriesBySecret => {
                "Two entries, both made with the device's secret, follow the same head: the secret was copied, or the device was set back."
            }
            Ground::RivalUndecided => {
                "Another entry was brought for the same place, and it cannot be told whose it is."
            }
            Ground::NotTrustedByStudy => "The study retired the device at an earlier entry and does not trust this one.",
            Ground::HeldByNobody => "It stands on the chain, but no relay holds its data.",
            Ground::Withheld => "The relay accepted this genuine entry and did not bring it to the chain.",
            Ground::RefusedByChain => "The chain refused it for a reason that speaks against nobody.",
            Ground::DisplacedByForgery => "It is genuine, and a forged entry stands registered in its place.",
            Ground::AttemptRefused => "It was not made with the device's secret or key, and was not registered: an attempt.",
            Ground::EscrowIsNotTheSecret => {
                "The device escrowed something else than the secret that it committed to: its tags cannot be checked."
            }
        }
    }

    /// What the finding amounts to.
    pub const fn outcome(self) -> Outcome {
        match self {
            Ground::RefusedByChain => Outcome::NotCovered,
            _ => Outcome::Wrong,
        }
    }
}

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
        /// The chain's word for it.
        why: String,
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
            Uncovered::Refused { why } => write!(f, "the chain refused it ({why})"),
            Uncovered::TooFarAhead => f.write_str("it is too far beyond the device's last entry"),
        }
    }
}

/// What is known of an entry's content. It bears on no verdict, save that erased content makes a valid entry an erased one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Nobody holds it.
    Absent,
    /// Not encrypted.
    Plain,
    /// Encrypted, and the participant's key was not given.
    Sealed,
    /// Encrypted, and opened with the participant's key.
    Opened,
    /// It does not open with the participant's key, or has no form that this version knows.
    Unreadable,
    /// The participant's key was destroyed on record.
    Erased,
}

/// A judged entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedEntry {
    /// Its place in the device's hashchain, from 1.
    pub sequence: u64,
    /// Its link.
    pub link: Hash,
    /// Its data digest.
    pub digest: Hash,
    /// Whether it stands on the chain.
    pub registered: bool,
    /// What the audit says of it.
    pub verdict: Verdict,
    /// What is wrong with it, worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grounds: Vec<Ground>,
    /// Who may be at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parties: Vec<Party>,
    /// What was not checked of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<Uncovered>,
    /// What is known of its content.
    pub content: Content,
    /// The block that registered it, or brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// The account that brought it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter: Option<Key>,
    /// Names of the exports that hold it unaltered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<String>,
    /// When the first relay stored it, in seconds since 1970, by that relay's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<u64>,
}

impl JudgedEntry {
    /// What it adds to the audit's outcome.
    pub fn outcome(&self) -> Outcome {
        match self.verdict {
            Verdict::Valid | Verdict::Erased => Outcome::Right,
            Verdict::NotCovered => Outcome::NotCovered,
            Verdict::Unregistered => self
                .grounds
                .iter()
                .map(|ground| ground.outcome())
                .max()
                .unwrap_or(Outcome::NotCovered),
            Verdict::Altered | Verdict::Forged | Verdict::Disputed | Verdict::Missing => {
                Outcome::Wrong
            }
        }
    }
}

/// Something that was found about a device: one ground, one set of parties, all entries that it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// On what ground.
    pub ground: Ground,
    /// Who may be at fault: one of these.
    pub parties: Vec<Party>,
    /// The entries that it concerns, as ranges of sequences, both ends included. Empty: the device as a whole.
    pub sequences: Vec<(u64, u64)>,
}

/// Whose an entry is, of two that claim one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// The device's secret made it.
    Secret,
    /// The device's secret did not make it.
    NotTheSecret,
    /// Cannot be told.
    Unknown,
}

/// Two entries for one place, side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedConflict {
    /// First sequence at which the two histories were seen to differ.
    pub sequence: u64,
    /// The registered link.
    pub recorded: Hash,
    /// The rival's link.
    pub rival: Hash,
    /// The rival's data digest, when it is known.
    pub rival_digest: Option<Hash>,
    /// Whose the registered entry is.
    pub recorded_by: Maker,
    /// Whose the rival is.
    pub rival_by: Maker,
    /// Whether the device's key signed the rival.
    pub rival_signed: bool,
    /// The account that brought the rival.
    pub submitter: Key,
    /// The block in which it came.
    pub block: u64,
}
