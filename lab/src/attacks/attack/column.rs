// SPDX-License-Identifier: Apache-2.0

//! Against what attacks are tried.

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
