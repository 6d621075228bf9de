// SPDX-License-Identifier: Apache-2.0

//! Where attacks are played: real servers, a hacked relay, and what thieves have got hold of.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mhealth_api::{Hash, Key, RunStatus, RunUpload};
use mhealth_chain_client::{calls, Account, ChainClient, Submitter};
use mhealth_testing::handset::{self, Door, Handset, Pass};
use mhealth_testing::node::Launch;
use mhealth_testing::played_relay::PlayedRelay;
use mhealth_testing::topology::{self, Plan, Site, OFFICES, RELAYS, SPONSOR};
use rand::rngs::StdRng;
use rand::Rng;
use rusqlite::Connection;

use crate::attack::{Attack, Column};
use crate::server_key::StolenServerKey;
use crate::truth::{Culprit, Effect, Planted};

/// Milliseconds between blocks. Nobody waits for consensus here: what is measured is what the rules say, in blocks.
const BLOCK: &str = "--sealing=250";
/// Account of the hacked relay.
const HACKED: &str = "//Mallory";
/// Account of an authentication server of another study.
const FOREIGN_SERVER: &str = "//Mallet";
/// Another process has the database open, too.
const BUSY: Duration = Duration::from_secs(20);

/// A topology with a study, and the attackers.
pub(crate) struct Stage {
    pub(crate) column: Column,
    pub(crate) site: Site,
    pub(crate) chain: ChainClient,
    pub(crate) hacked: PlayedRelay,
    /// An authentication server of another study.
    pub(crate) foreign_server: Submitter,
    pub(crate) relays: Vec<String>,
    pub(crate) doors: Vec<Door>,
    /// Accounts of the honest relays; the second one's database is in an attacker's reach.
    pub(crate) accounts: Vec<Key>,
    pub(crate) server_keys: Vec<StolenServerKey>,
    folder: PathBuf,
}

impl Stage {
    pub(crate) async fn set(column: Column, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let plan = Plan {
            topology: column.topology(),
            study: column.study(),
            chain: Launch::consensus().arg(BLOCK),
        };
        let site = Site::of(plan, folder).await?;
        let chain = ChainClient::connect(&site.node().url()).await?;
        let hacked = PlayedRelay::appoint(&chain, column.study(), SPONSOR, HACKED).await?;
        let foreign = Account::from_secret_uri(FOREIGN_SERVER)?;
        let sponsor = chain.submitter(Account::from_secret_uri(SPONSOR)?);
        let appointment = calls::add_authentication_server(column.other_study(), foreign.id());
        let appointed = sponsor.submit_and_wait(appointment).await;
        appointed.context("the sponsor could not appoint the server")?;
        let doors = site.doors();
        let mut server_keys = Vec::new();
        for (number, door) in doors.iter().enumerate() {
            server_keys.push(StolenServerKey::steal(
                &folder.join(topology::office_database(number)),
                OFFICES[number],
                &door.url,
                Hash(chain.genesis_hash().0),
                column.study(),
                site.relay_urls(),
            )?);
        }
        let mut accounts = Vec::new();
        for relay in RELAYS {
            accounts.push(Key(Account::from_secret_uri(relay)?.public_key()));
        }
        let foreign_server = chain.submitter(foreign);
        Ok(Stage {
            column,
            relays: site.relay_urls(),
            doors,
            accounts,
            server_keys,
            folder: folder.to_path_buf(),
            site,
            chain,
            hacked,
            foreign_server,
        })
    }

    /// A phone that has registered some honest entries through the first relay.
    pub(crate) async fn victim(&self, random: &mut StdRng) -> Result<Victim> {
        let seed = rand::SeedableRng::from_rng(&mut *random);
        let mut phone = Handset::enrol(&self.doors[0], seed).await?;
        let token = phone.token(&self.doors[0]).await?;
        let run = phone.record(random.random_range(1..=3));
        handset::deliver(&self.relays[0], &token, &run).await?;
        let honest_to = phone.head().length;
        Ok(Victim {
            phone,
            token,
            honest_to,
        })
    }

    pub(crate) async fn block(&self) -> Result<u64> {
        Ok(self.chain.finalised().await?.number)
    }

    /// Waits until so many blocks more are final.
    pub(crate) async fn let_blocks_pass(&self, count: u64) -> Result<()> {
        let last = self.block().await? + count;
        self.chain.follow_from(last).next().await?;
        Ok(())
    }

    /// An attempt that took effect just now.
    pub(crate) async fn planted(
        &self,
        attack: Attack,
        victim: &Victim,
        effect: Effect,
        culprit: Culprit,
    ) -> Result<Planted> {
        Ok(Planted {
            attack,
            device: victim.phone.device(),
            effect,
            culprits: vec![culprit],
            honest_to: victim.honest_to,
            block: self.block().await?,
            at: Instant::now(),
        })
    }

    /// Changes or deletes what the second relay keeps of a run, in its database.
    pub(crate) fn tamper(&self, run: Hash, delete: bool) -> Result<()> {
        let path = self.folder.join(topology::relay_database(1));
        let database = Connection::open(path)?;
        database.busy_timeout(BUSY)?;
        let id: i64 = database.query_row(
            "SELECT id FROM runs WHERE run = ?1",
            [run.0.as_slice()],
            |row| row.get(0),
        )?;
        if delete {
            database.execute("DELETE FROM payloads WHERE id = ?1", [id])?;
            database.execute("DELETE FROM runs WHERE id = ?1", [id])?;
            return Ok(());
        }
        let select = "SELECT envelopes FROM payloads WHERE id = ?1";
        let mut kept: Vec<u8> = database.query_row(select, [id], |row| row.get(0))?;
        // The last byte but one is a digit of what was measured.
        let place = kept.len().checked_sub(2).context("an empty run")?;
        kept[place] = if kept[place] == b'9' { b'1' } else { b'9' };
        let update = "UPDATE payloads SET envelopes = ?2 WHERE id = ?1";
        database.execute(update, rusqlite::params![id, kept])?;
        Ok(())
    }
}

/// A phone that is going to be attacked.
pub(crate) struct Victim {
    pub(crate) phone: Handset,
    pub(crate) token: Pass,
    pub(crate) honest_to: u64,
}

impl Victim {
    /// The phone sends a run through this relay, and waits for what becomes of it. Relays may refuse a phone that the
    /// chain has suspended meanwhile.
    pub(crate) async fn send(&self, relay: &str, run: &RunUpload) -> Result<Option<RunStatus>> {
        let answer = handset::upload(relay, &self.token, run).await?;
        match answer.status {
            200..=299 => {
                let status: RunStatus = answer.message()?;
                handset::settled(relay, status.run).await.map(Some)
            }
            _ => Ok(None),
        }
    }
}
