// SPDX-License-Identifier: Apache-2.0

//! A study so small that an audit of it takes seconds: a chain of its own, and one relay, which is played.

use std::path::PathBuf;

use anyhow::Result;
use mhealth_chain_client::{calls, Account, ChainClient, Submitter};
use mhealth_testing::audit::Options;
use mhealth_testing::node::{Launch, Node};
use mhealth_testing::played_relay::PlayedRelay;
use mhealth_testing::topology::{OFFICES, RELAYS, SIGNED_STUDY, SPONSOR};

use super::super::arena::aside;

pub(super) struct SmallStudy {
    node: Node,
    pub(super) chain: ChainClient,
    pub(super) office: Submitter,
    pub(super) relay: PlayedRelay,
}

impl SmallStudy {
    /// Whose only relay has this account.
    pub(super) async fn of(relay: &str) -> Result<Self> {
        let node = aside(|| Launch::instant().arg("--state-pruning=archive").start()).await?;
        let chain = ChainClient::connect(&node.url()).await?;
        let office = chain.submitter(Account::from_secret_uri(OFFICES[0])?);
        let sponsor = chain.submitter(Account::from_secret_uri(SPONSOR)?);
        let relay = PlayedRelay::appoint(&chain, SIGNED_STUDY, SPONSOR, relay).await?;
        // Of a study whose relays are all read an audit has nothing else to miss.
        for account in RELAYS {
            let account = Account::from_secret_uri(account)?.id();
            let removal = calls::remove_relay(SIGNED_STUDY, account);
            sponsor.submit_and_wait(removal).await?;
        }
        Ok(Self {
            node,
            chain,
            office,
            relay,
        })
    }

    /// How it is audited, by this export of its relay. The node's blocks are made on demand, so nothing proves that they are final.
    pub(super) fn audit(&self, name: &str, export: PathBuf) -> Options {
        Options {
            node: self.node.url(),
            study: SIGNED_STUDY,
            genesis: Some(format!("{:?}", self.chain.genesis_hash())),
            exports: vec![(name.into(), export)],
            trust_node: true,
            ..Options::default()
        }
    }
}
