// SPDX-License-Identifier: Apache-2.0

//! The attacks of the paper's Figures 4, 5 and 6, what else each party can do with its rights, and against what they are tried.

mod column;
mod words;

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use column::Column;

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
    /// It shows an auditor another relay's receipts with other data, signed by its account or by nobody.
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
    /// A study's sponsor floods the chain with calls.
    SponsorFloods,
    /// An authentication server floods it with enrolments.
    ServerFloods,
    /// A member floods it with motions.
    MemberFloods,
    /// Two phones flood it with all that they are allowed.
    PhonesFlood,
    /// A relay floods it with runs from far behind, for which the chain has to walk back through the journal.
    Walks,
    /// A phone writes more entries than the consortium has granted to each.
    DevicesShare,
    /// A phone and its authentication server agree on another key for the participant's data.
    PhoneAndServer,
    /// A credential for one study, or for one duty, is used for others.
    ReadsOtherStudy,
    /// Evidence that begins at a checkpoint of the attacker's own.
    WrongCheckpoint,
    /// Three hundred hostile connections lean on a relay.
    CrowdAtRelay,
    /// The same, with one phone's token.
    CrowdWithToken,
    /// The same at an authentication server.
    CrowdAtServer,
    /// A validator runs on two nodes, and seals two blocks for a slot, or votes twice.
    Equivocates,
    /// A relay says that it erased what it was ordered to erase, and keeps it.
    KeepsErased,
    /// A relay passes off as erased what it lost.
    LosesAsErased,
    /// A sponsor writes the receipt of an erasure that nobody ordered.
    ReceiptUnasked,
    /// Somebody orders to erase who does not hold the participants' keys.
    ForgesOrder,
    /// A relay of another study brings runs about a phone that no phone makes, so that no audit of the phone's study is right any more.
    StrangersRuns,
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
    pub(crate) const ALL: [Attack; 66] = [
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
        Attack::SponsorFloods,
        Attack::ServerFloods,
        Attack::MemberFloods,
        Attack::PhonesFlood,
        Attack::Walks,
        Attack::DevicesShare,
        Attack::PhoneAndServer,
        Attack::ReadsOtherStudy,
        Attack::WrongCheckpoint,
        Attack::CrowdAtRelay,
        Attack::CrowdWithToken,
        Attack::CrowdAtServer,
        Attack::Equivocates,
        Attack::KeepsErased,
        Attack::LosesAsErased,
        Attack::ReceiptUnasked,
        Attack::ForgesOrder,
        Attack::StrangersRuns,
    ];

    /// Whether it says something about a column. Where relays chain there are no runs and no secrets; and what has nothing to do
    /// with a study's policy is played once.
    pub(crate) fn applies(self, column: Column) -> bool {
        if self.is_apart() {
            return column == Column::HashchainOnly;
        }
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

    /// Whether it has a stage of its own, because no study's policy has anything to do with it.
    pub(crate) fn is_apart(self) -> bool {
        self as u8 >= Attack::PhoneAndServer as u8
    }

    /// Whether it leans on servers or chain with all that it has, so that whatever is played beside it waits, too.
    pub(crate) fn leans(self) -> bool {
        matches!(
            self,
            Attack::SponsorFloods
                | Attack::ServerFloods
                | Attack::MemberFloods
                | Attack::PhonesFlood
                | Attack::Walks
                | Attack::DevicesShare
                | Attack::CrowdAtRelay
                | Attack::CrowdWithToken
                | Attack::CrowdAtServer
                | Attack::Equivocates
        )
    }

    /// The act in which it is played.
    pub(crate) fn act(self) -> u8 {
        match (self.is_of_a_party(), self.leans()) {
            (_, true) => 3,
            (true, false) => 2,
            (false, false) => 1,
        }
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
            | Attack::Floods
            | Attack::SponsorFloods
            | Attack::ServerFloods
            | Attack::MemberFloods
            | Attack::PhonesFlood
            | Attack::Walks
            | Attack::DevicesShare
            | Attack::ReadsOtherStudy
            | Attack::WrongCheckpoint
            | Attack::CrowdAtRelay
            | Attack::CrowdWithToken
            | Attack::CrowdAtServer
            | Attack::ForgesOrder
            | Attack::StrangersRuns => Must::BePrevented,
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
            | Attack::NotAsked
            | Attack::PhoneAndServer
            | Attack::Equivocates
            | Attack::KeepsErased
            | Attack::LosesAsErased => Must::NameItsMaker,
            _ => Must::BeKnown,
        }
    }
}
