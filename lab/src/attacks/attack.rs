// SPDX-License-Identifier: Apache-2.0

//! The attacks of the paper's Figures 4, 5 and 6, what else each party can do with its rights, and against what they are tried.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
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
    /// A relay says that runs are finalised, keeps them, and shows the head that the phone expects.
    SaysFinalised,
    /// It shows heads that the chain does not have.
    ForeignHead,
    /// It shows heads, and proofs, of some time ago.
    OldHead,
    /// It says 202, and brings nothing.
    KeepsBack,
    /// It is honest, and its node knows nothing new.
    LagsBehind,
    /// It goes to another relay with a phone's credentials, word for word, and with data of its own.
    ReplaysTokens,
    /// It shows an auditor another relay's receipts with other data.
    CopiesReceipts,
    /// It alters what it shows, and not what it keeps.
    AltersExport,
    /// It keeps a run back, and writes that the chain refused it.
    WritesRefused,
    /// It keeps a run back, and writes that it came just now.
    WritesTime,
    /// It shows an auditor less than it brought.
    ShowsLess,
    /// It shows an auditor nothing.
    ShowsNothing,
    /// It shows an auditor what another relay has signed: whole, cut, in another order, or beside its own.
    BorrowsExport,
    /// An honest relay is not asked for its export.
    NotAsked,
    /// An authentication server names another key for a participant's data.
    OtherParticipantKey,
    /// A node that an auditor asks keeps a recorded conflict to itself, and the run that made it.
    NodeHidesConflict,
    /// It shows the histories of some time ago as those of now.
    NodeShortens,
    /// It shows devices that no authentication server has enrolled, on a chain of its own from the same first block.
    NodeInvents,
    /// It shows another chain, and says that it begins with the genuine one's first block.
    NodeOfAnotherChain,
    /// An export that never ends.
    EndlessExport,
    /// An export with a word that fills memory.
    ReasonBomb,
    /// A file of evidence that fills memory.
    HostileEvidence,
    /// A relay fills a device's conflicts with rivals that it made up.
    FillsConflicts,
    /// A fork is brought while the device is suspended, so that it leaves nothing.
    ForksSuspended,
    /// An authentication server retires devices, with nothing trusted if it can.
    RetiresDevices,
    /// A member of the consortium fills the list of motions.
    FillsMotions,
    /// A member has the authorities changed by force while finality is alive.
    StallsFinality,
    /// A relay floods the chain with junk.
    Floods,
}

/// What must come of an attack where phones chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Must {
    /// It comes to nothing.
    BePrevented,
    /// It comes to nothing, or the audit says who did it, alone or among those who could have.
    BeKnown,
    /// The audit says who did it, and names nobody else.
    NameItsMaker,
    /// No cryptography sees it.
    PassUnseen,
}

impl Attack {
    pub(crate) const ALL: [Attack; 48] = [
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
        Attack::SaysFinalised,
        Attack::ForeignHead,
        Attack::OldHead,
        Attack::KeepsBack,
        Attack::LagsBehind,
        Attack::ReplaysTokens,
        Attack::CopiesReceipts,
        Attack::AltersExport,
        Attack::WritesRefused,
        Attack::WritesTime,
        Attack::ShowsLess,
        Attack::ShowsNothing,
        Attack::BorrowsExport,
        Attack::NotAsked,
        Attack::OtherParticipantKey,
        Attack::NodeHidesConflict,
        Attack::NodeShortens,
        Attack::NodeInvents,
        Attack::NodeOfAnotherChain,
        Attack::EndlessExport,
        Attack::ReasonBomb,
        Attack::HostileEvidence,
        Attack::FillsConflicts,
        Attack::ForksSuspended,
        Attack::RetiresDevices,
        Attack::FillsMotions,
        Attack::StallsFinality,
        Attack::Floods,
    ];

    /// Whether it says something about a column. Where relays chain there are no runs and no secrets.
    pub(crate) fn applies(self, column: Column) -> bool {
        column.chained()
            || !self.is_of_a_party()
                && !matches!(
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

    /// Whether it is of the second act, in which each party has all of its rights.
    pub(crate) fn is_of_a_party(self) -> bool {
        self as u8 >= Attack::SaysFinalised as u8
    }

    /// The act in which it is played.
    pub(crate) fn act(self) -> u8 {
        1 + u8::from(self.is_of_a_party())
    }

    /// The paper's figure; none of an attack that the paper does not have.
    pub(crate) fn figure(self) -> Option<u8> {
        Some(match self {
            Attack::Wraps | Attack::OddSignature | Attack::SquatKey => return None,
            attack if attack.is_of_a_party() => return None,
            Attack::AuthenticationKey | Attack::ServerKey | Attack::SigningKey => 5,
            Attack::RewritePast
            | Attack::ThiefFirst
            | Attack::PhoneFirst
            | Attack::BothAtOnce
            | Attack::Silenced => 6,
            _ => 4,
        })
    }

    /// What must come of it where phones chain.
    pub(crate) fn must(self) -> Must {
        match self {
            Attack::Silenced => Must::PassUnseen,
            Attack::BringLateFirst
            | Attack::Drop
            | Attack::RewritePast
            | Attack::PhoneFirst
            | Attack::Wraps
            | Attack::SquatKey
            | Attack::SaysFinalised
            | Attack::ForeignHead
            | Attack::OldHead
            | Attack::KeepsBack
            | Attack::LagsBehind
            | Attack::ReplaysTokens
            | Attack::OtherParticipantKey
            | Attack::NodeHidesConflict
            | Attack::NodeShortens
            | Attack::NodeInvents
            | Attack::NodeOfAnotherChain
            | Attack::EndlessExport
            | Attack::ReasonBomb
            | Attack::HostileEvidence
            | Attack::FillsConflicts
            | Attack::ForksSuspended
            | Attack::RetiresDevices
            | Attack::FillsMotions
            | Attack::StallsFinality
            | Attack::Floods => Must::BePrevented,
            Attack::Withhold
            | Attack::AlterKept
            | Attack::LoseKept
            | Attack::OddSignature
            | Attack::CopiesReceipts
            | Attack::AltersExport
            | Attack::WritesRefused
            | Attack::WritesTime
            | Attack::ShowsLess
            | Attack::ShowsNothing
            | Attack::BorrowsExport
            | Attack::NotAsked => Must::NameItsMaker,
            _ => Must::BeKnown,
        }
    }

    /// Account of the hostile relay of a row. Each row has one of its own.
    pub(crate) fn account(self) -> Option<&'static str> {
        Some(match self {
            Attack::SaysFinalised => "//Mallory//finalised",
            Attack::ForeignHead => "//Mallory//foreign-head",
            Attack::OldHead => "//Mallory//old-head",
            Attack::KeepsBack => "//Mallory//keeps-back",
            Attack::LagsBehind => "//Mallory//lags",
            Attack::ReplaysTokens => "//Mallory//tokens",
            Attack::CopiesReceipts => "//Mallory//receipts",
            Attack::AltersExport => "//Mallory//alters",
            Attack::WritesRefused => "//Mallory//refused",
            Attack::WritesTime => "//Mallory//time",
            Attack::ShowsLess => "//Mallory//less",
            Attack::ShowsNothing => "//Mallory//nothing",
            Attack::BorrowsExport => "//Mallory//borrows",
            _ => return None,
        })
    }

    /// Its name on the command line, fit for a file's and for a relay's in an audit.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
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
            Attack::SaysFinalised => "relay says finalised, keeps it",
            Attack::ForeignHead => "relay shows a foreign head",
            Attack::OldHead => "relay shows an old head",
            Attack::KeepsBack => "relay says 202, brings nothing",
            Attack::LagsBehind => "relay's node lags",
            Attack::ReplaysTokens => "relay replays a token elsewhere",
            Attack::CopiesReceipts => "relay copies receipts",
            Attack::AltersExport => "relay alters its export",
            Attack::WritesRefused => "relay writes refused",
            Attack::WritesTime => "relay writes another time",
            Attack::ShowsLess => "relay shows less than it brought",
            Attack::ShowsNothing => "relay shows nothing",
            Attack::BorrowsExport => "relay shows another's export",
            Attack::NotAsked => "honest relay is not asked",
            Attack::OtherParticipantKey => "server names another key",
            Attack::NodeHidesConflict => "node hides a conflict",
            Attack::NodeShortens => "node shortens histories",
            Attack::NodeInvents => "node invents devices",
            Attack::NodeOfAnotherChain => "node shows another chain",
            Attack::EndlessExport => "export without an end",
            Attack::ReasonBomb => "export that fills memory",
            Attack::HostileEvidence => "evidence that fills memory",
            Attack::FillsConflicts => "relay fills a device's conflicts",
            Attack::ForksSuspended => "fork during a suspension",
            Attack::RetiresDevices => "server retires devices",
            Attack::FillsMotions => "member fills the motions",
            Attack::StallsFinality => "member forces new authorities",
            Attack::Floods => "relay floods the chain",
        }
    }
}
