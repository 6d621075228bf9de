// SPDX-License-Identifier: Apache-2.0

//! How attacks are called, and who makes them.

use clap::ValueEnum;

use super::Attack;

impl Attack {
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
            Attack::SponsorFloods => "sponsor floods the chain",
            Attack::ServerFloods => "server floods the chain",
            Attack::MemberFloods => "member floods the chain",
            Attack::PhonesFlood => "two phones flood the chain",
            Attack::Walks => "relay makes the chain walk",
            Attack::DevicesShare => "phone writes beyond its share",
            Attack::PhoneAndServer => "phone and server share a key",
            Attack::ReadsOtherStudy => "credential of another study",
            Attack::WrongCheckpoint => "evidence, wrong checkpoint",
            Attack::CrowdAtRelay => "crowd at a relay",
            Attack::CrowdWithToken => "crowd with a phone's token",
            Attack::CrowdAtServer => "crowd at an auth. server",
            Attack::Equivocates => "validator on two nodes",
            Attack::KeepsErased => "relay keeps what it erased",
            Attack::LosesAsErased => "relay says erased, lost it",
            Attack::ReceiptUnasked => "sponsor's receipt, no order",
            Attack::ForgesOrder => "forged order to erase",
            Attack::StrangersRuns => "another study's relay meddles",
        }
    }
}
