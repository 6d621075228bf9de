// SPDX-License-Identifier: Apache-2.0

//! The attacks of the paper's Figures 4, 5 and 6 and some that the paper does not have, and against what they are tried.

use clap::ValueEnum;
use hashchain::StudyId;
use mhealth_testing::topology::{Topology, PAPER_STUDY, SIGNED_STUDY};
use serde::Serialize;

/// What is attacked: a topology and a study's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Column {
    /// Figure 2a: one authentication server, phones do not chain.
    #[value(name = "2a")]
    OneOffice,
    /// Figure 2b: an authentication server for each relay, phones do not chain.
    #[value(name = "2b")]
    OfficePerRelay,
    /// Figure 2c in a study of the policy `HashchainOnly`: the paper's system.
    HashchainOnly,
    /// Figure 2c in a study of the policy `DeviceSigned`.
    DeviceSigned,
}

impl Column {
    pub(crate) const ALL: [Column; 4] = [
        Column::OneOffice,
        Column::OfficePerRelay,
        Column::HashchainOnly,
        Column::DeviceSigned,
    ];

    /// Whether phones chain.
    pub(crate) fn chained(self) -> bool {
        self.topology().phones_chain()
    }

    pub(crate) fn topology(self) -> Topology {
        match self {
            Column::OneOffice => Topology::OneOfficeUnchained,
            Column::OfficePerRelay => Topology::OfficePerRelayUnchained,
            _ => Topology::SeveralRelays,
        }
    }

    pub(crate) fn study(self) -> StudyId {
        match self {
            Column::DeviceSigned => SIGNED_STUDY,
            _ => PAPER_STUDY,
        }
    }

    /// A study that is not attacked.
    pub(crate) fn other_study(self) -> StudyId {
        match self.study() {
            SIGNED_STUDY => PAPER_STUDY,
            _ => SIGNED_STUDY,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Column::OneOffice => "2a, no hashchain",
            Column::OfficePerRelay => "2b, no hashchain",
            Column::HashchainOnly => "2c, HashchainOnly",
            Column::DeviceSigned => "2c, DeviceSigned",
        }
    }

    /// Fit for a folder's name.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Column::OneOffice => "2a",
            Column::OfficePerRelay => "2b",
            Column::HashchainOnly => "hashchain-only",
            Column::DeviceSigned => "device-signed",
        }
    }
}

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Attack {
    /// The relay alters an entry and computes the links anew.
    Alter,
    /// It swaps two entries.
    Reorder,
    /// It leaves one out from the middle.
    LeaveOut,
    /// It adds an entry of its own.
    Invent,
    /// It brings a later run before an earlier one.
    BringLateFirst,
    /// It takes a run and forgets it.
    Drop,
    /// It keeps a run in its store and does not bring it, and the phone knows no other relay.
    Withhold,
    /// It alters what it keeps.
    AlterKept,
    /// It loses what it keeps.
    LoseKept,
    /// A device that stole a phone's authentication key writes in its name.
    AuthenticationKey,
    /// A device that stole the key with which the server signs authentication keys.
    ServerKey,
    /// A device that stole the phone's signing key, and not its secret.
    SigningKey,
    /// A thief of key and secret rewrites what was before the theft.
    RewritePast,
    /// A thief of key and secret writes, then the phone.
    ThiefFirst,
    /// The phone writes, then a thief of key and secret.
    PhoneFirst,
    /// Both at once, through different relays.
    BothAtOnce,
    /// The thief writes, and the phone was silenced.
    Silenced,
    /// A relay brings what it altered within another call, so that readers of blocks may pass over it.
    Wraps,
    /// A phone signs its own entries so that the chain accepts it and other verifiers do not.
    OddSignature,
    /// An authentication server of another study enrols a phone's key, which it saw in the pool, before the phone is enrolled.
    SquatKey,
}

impl Attack {
    pub(crate) const ALL: [Attack; 20] = [
        Attack::Alter,
        Attack::Reorder,
        Attack::LeaveOut,
        Attack::Invent,
        Attack::BringLateFirst,
        Attack::Drop,
        Attack::Withhold,
        Attack::AlterKept,
        Attack::LoseKept,
        Attack::AuthenticationKey,
        Attack::ServerKey,
        Attack::SigningKey,
        Attack::RewritePast,
        Attack::ThiefFirst,
        Attack::PhoneFirst,
        Attack::BothAtOnce,
        Attack::Silenced,
        Attack::Wraps,
        Attack::OddSignature,
        Attack::SquatKey,
    ];

    /// Whether it says something about a column. Where relays chain there are no runs and no secrets.
    pub(crate) fn applies(self, column: Column) -> bool {
        column.chained()
            || !matches!(
                self,
                Attack::LeaveOut
                    | Attack::BringLateFirst
                    | Attack::Withhold
                    | Attack::RewritePast
                    | Attack::PhoneFirst
                    | Attack::BothAtOnce
                    | Attack::Wraps
                    | Attack::OddSignature
                    | Attack::SquatKey
            )
    }

    /// The paper's figure; none of an attack that the paper does not have.
    pub(crate) fn figure(self) -> Option<u8> {
        Some(match self {
            Attack::Wraps | Attack::OddSignature | Attack::SquatKey => return None,
            Attack::AuthenticationKey | Attack::ServerKey | Attack::SigningKey => 5,
            Attack::RewritePast
            | Attack::ThiefFirst
            | Attack::PhoneFirst
            | Attack::BothAtOnce
            | Attack::Silenced => 6,
            _ => 4,
        })
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Attack::Alter => "relay alters and relinks",
            Attack::Reorder => "relay swaps entries",
            Attack::LeaveOut => "relay leaves out, relinks",
            Attack::Invent => "relay adds an entry",
            Attack::BringLateFirst => "relay brings runs out of order",
            Attack::Drop => "relay drops a run",
            Attack::Withhold => "relay keeps a run back",
            Attack::AlterKept => "relay alters what it keeps",
            Attack::LoseKept => "relay loses what it keeps",
            Attack::AuthenticationKey => "authentication key stolen",
            Attack::ServerKey => "server's signing key stolen",
            Attack::SigningKey => "phone's signing key stolen",
            Attack::RewritePast => "key+secret: rewrite the past",
            Attack::ThiefFirst => "key+secret: thief first",
            Attack::PhoneFirst => "key+secret: phone first",
            Attack::BothAtOnce => "key+secret: both at once",
            Attack::Silenced => "key+secret: phone silenced",
            Attack::Wraps => "relay wraps runs in a call",
            Attack::OddSignature => "phone signs oddly",
            Attack::SquatKey => "foreign server squats a key",
        }
    }
}
