// SPDX-License-Identifier: Apache-2.0

//! The words of an audit: what is said of an entry, who is held to be at fault, on what ground, and what nobody looked at.

mod ground;
mod uncovered;

use std::fmt;

use hashchain::{DataDigest, LinkHash};
use mhealth_api::Key;
use serde::{Deserialize, Serialize};

pub use ground::Ground;
pub use uncovered::Uncovered;

/// What the audit says of one entry. There is no entry without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Registered, linked, made with the device's secret, signed where the study asks for it, and held unaltered.
    Valid,
    /// As valid, but its data were erased: by a receipt on the chain, or because the study's rule of retention has passed.
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
    /// All that was read is right, but some of it is only the node's word.
    NotProved,
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
            Outcome::NotProved => 4,
        }
    }

    /// The outcome as one word, as in the JSON report. Stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Right => "right",
            Outcome::NotProved => "not_proved",
            Outcome::NotCovered => "not_covered",
            Outcome::Wrong => "wrong",
        }
    }
}

/// Who may be at fault. Several parties on one finding mean: one of these, and the evidence does not say which. A relay's
/// account is charged only with what it signed, on the chain or in its export.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "party")]
pub enum Party {
    /// The relay that signs with this account.
    Relay {
        /// Its account on the chain.
        account: Key,
    },
    /// Whoever made the export of this name, which no account signed: nobody is charged with it.
    RelayStore {
        /// The export's name.
        name: String,
    },
    /// Another relay of the study, of which no signed export was at hand. Which one, nothing shows.
    UnreadRelay,
    /// Somebody else who holds an authentication key (token) for this device, or the server's key that issues them
    /// (Figure 5).
    AuthenticationKeyHolder,
    /// Somebody who holds the device's signing key and not its secret.
    SigningKeyHolder,
    /// Somebody who holds a copy of both key and secret (Figure 6), or the device itself, set back to an earlier state.
    SecretHolder,
    /// The device, that is, whoever holds its key: what it committed to is not what it escrowed, or it signs as no honest phone
    /// does.
    Device,
    /// The authentication server that enrolled the device, or whoever made its codes.
    AuthenticationServer,
    /// The chain's validators: the state contradicts the rules.
    Validators,
    /// An account that is no relay's: one without a role in the study, or a sponsor's.
    Account {
        /// The account.
        account: Key,
    },
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Relay { account } => write!(f, "the relay with the account {account}"),
            Party::RelayStore { name } => write!(
                f,
                "whoever made the export {name}, which no account signed"
            ),
            Party::UnreadRelay => {
                f.write_str("another relay of the study, of which no signed export was at hand")
            }
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
            Party::AuthenticationServer => {
                f.write_str("the authentication server that enrolled the device")
            }
            Party::Validators => f.write_str("the chain's validators"),
            Party::Account { account } => write!(f, "the account {account}"),
        }
    }
}

/// What is known of an entry's content. It bears on no verdict, save that erased content makes a valid entry an erased one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// It was erased, by a receipt on the chain or by the study's rule of retention.
    Erased,
}

/// A judged entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedEntry {
    /// Its place in the device's hashchain, from 1.
    pub sequence: u64,
    /// Its link.
    pub link: LinkHash,
    /// Its data digest.
    pub digest: DataDigest,
    /// Whether it is on the chain.
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
    /// When the first relay stored it, in seconds since 1970, as that relay tells it. Nothing is judged by it.
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
    pub recorded: LinkHash,
    /// The rival's link.
    pub rival: LinkHash,
    /// The rival's data digest, when it is known.
    pub rival_digest: Option<DataDigest>,
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
