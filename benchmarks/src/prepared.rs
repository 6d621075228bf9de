// SPDX-License-Identifier: Apache-2.0

//! Enrols devices before a node starts, in the database that it starts on.
//!
//! The runtime lets enrolments fill a quarter of a block, and a node makes a block every two seconds. Here the same blocks are
//! made one right after the other. They lie in slots of the past, each sealed with the key of the validator whose slot it was, so
//! that any node of the chain takes them from this one.

use std::iter::Peekable;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{ensure, Result};
use hashchain::StudyId;
use mhealth_runtime::limits::SLOT_MILLISECONDS;
use mhealth_runtime::opaque::Block;
use sc_consensus::LongestChain;
use sp_genesis_builder::{DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use sp_keyring::Sr25519Keyring::Charlie;
use tempfile::TempDir;

use crate::author::{finalise, Author, Backend, Client, STATES};
use crate::extrinsic::{enrolments, Signer};
use crate::workload::Phones;

/// The chains that a node knows by name: their folders and presets (`node/src/chain_spec.rs`).
const DEVELOPMENT: [&str; 2] = ["mhealth_dev", DEV_RUNTIME_PRESET];
const LOCAL: [&str; 2] = ["mhealth_local", LOCAL_TESTNET_RUNTIME_PRESET];

/// Devices that a block enrols at least; the weights let it enrol twice as many. This says how long ago the first block has to
/// be, so that the last one is not in the future.
const A_BLOCK: u64 = 500;
/// Slots beside those, for blocks in which sessions begin, and for few devices.
const MORE: u64 = 100;

/// A chain on which devices are enrolled, for a node to start on.
pub(crate) struct Prepared {
    /// The node's folder.
    pub(crate) base: TempDir,
    /// Hash of the first block.
    pub(crate) genesis: [u8; 32],
    /// Number of the last block. All are final but this one.
    pub(crate) blocks: u64,
    /// The devices of each study, in the order in which these were named.
    pub(crate) phones: Vec<Phones>,
}

impl Prepared {
    /// Makes so many devices of each of these studies, and enrols them on the chain of four validators or on that of one, of
    /// which so many states are kept.
    pub(crate) fn new(
        network: bool,
        states: Option<u32>,
        studies: &[StudyId],
        devices: u32,
    ) -> Result<Self> {
        ensure!(devices > 0, "there are no devices to enrol");
        let [id, preset] = match network {
            false => DEVELOPMENT,
            true => LOCAL,
        };
        let base = tempfile::Builder::new().prefix("mhealth-node-").tempdir()?;
        let database = base.path().join("chains").join(id).join("paritydb/full");
        let slots = u64::from(devices) * studies.len() as u64 / A_BLOCK + MORE;
        let before = present()?.saturating_sub(slots);
        let author = Author::open(&database, preset, states.unwrap_or(STATES), before)?;
        begin_voting(&author)?;
        let mut office = Signer::new(Charlie, author.genesis());
        let mut phones: Vec<Phones> = Vec::new();
        for study in studies {
            let first = phones.len() as u32 * devices;
            let made = Phones::new(author.genesis(), *study, first, devices);
            let calls = enrolments(*study, &office, &made);
            let mut transactions = calls.map(|call| anyhow::Ok(office.call(&call))).peekable();
            while transactions.peek().is_some() {
                add_block(&author, &mut transactions)?;
            }
            drop(transactions);
            phones.push(made);
        }
        go_on_voting(&author)?;
        let prepared = Prepared {
            base,
            genesis: author.genesis(),
            blocks: author.best().0.into(),
            phones,
        };
        author.close()?;
        Ok(prepared)
    }
}

/// Makes one block more. The one before it becomes final.
fn add_block(
    author: &Author,
    transactions: &mut Peekable<impl Iterator<Item = Result<Vec<u8>>>>,
) -> Result<()> {
    ensure!(
        author.next_slot() < present()?,
        "the slots of the past are used up: a block enrols fewer than {A_BLOCK} devices"
    );
    let (number, parent) = author.best();
    let proposal = author.propose(transactions)?;
    author.keep(proposal)?;
    if number > 0 {
        finalise(&author.client, parent)?;
    }
    Ok(())
}

/// Has GRANDPA write what it does when a node starts for the first time. It asks the state of the first block for the voters,
/// which is pruned later.
fn begin_voting(author: &Author) -> Result<()> {
    let client = author.client.clone();
    let chain = LongestChain::new(author.backend.clone());
    sc_consensus_grandpa::block_import::<Backend, Block, Client, _>(
        client.clone(),
        1,
        &client,
        chain,
        None,
    )?;
    Ok(())
}

/// Has GRANDPA go on after the last final block, as it does when blocks are taken back. Here there is one that could be; it stays.
///
/// Otherwise it would begin with the first block. A voter that is alone would vote for a block three quarters of the way from there to
/// the last, which is older than the final one; such a vote does not count, and no other block would ever become final.
fn go_on_voting(author: &Author) -> Result<()> {
    sc_consensus_grandpa::revert::<Block, Client>(author.client.clone(), 1)?;
    Ok(())
}

/// The slot of now.
fn present() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(now.as_millis() as u64 / SLOT_MILLISECONDS)
}
