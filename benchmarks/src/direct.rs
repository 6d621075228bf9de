// SPDX-License-Identifier: Apache-2.0

//! The chain without a network, a pool or a clock: blocks made and imported by the client that a node has inside, one right
//! after the other, on a database on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use codec::Decode;
use frame_system::{BlockWeight, ConsumedWeight};
use hashchain::StudyId;
use mhealth_runtime::limits::{SESSION, SLOT_MILLISECONDS};
use mhealth_runtime::{Runtime, RuntimeCall};
use sc_client_api::{HeaderBackend, StorageProvider};
use sc_consensus::StateAction;
use sp_consensus::BlockOrigin;
use sp_core::{storage::StorageKey, H256};
use sp_genesis_builder::DEV_RUNTIME_PRESET;
use sp_keyring::Sr25519Keyring::{Charlie, Dave, Eve};

use crate::author::{finalise, open, Author, Client, STATES};
use crate::extrinsic::{enrolments, Signer};
use crate::measured::Measured;
use crate::usage;
use crate::workload::{EntryFile, Phones, RELAYS};

/// Time before the first block, in milliseconds since 1970. Nobody looks at a clock here.
const BEGINNING: u64 = 1_800_000_000_000;

/// Processor seconds within a second with which the databases count as being at rest.
const AT_REST: f64 = 0.05;
/// Seconds that they may take until they are.
const PATIENCE: u32 = 300;

/// A development chain, and the accounts that write on it.
pub(crate) struct Direct {
    clients: Clients,
    office: Signer,
    relays: [Signer; RELAYS],
}

/// Two clients: one makes blocks, the other imports them, as a second validator does.
struct Clients {
    author: Author,
    importer: Arc<Client>,
    made: Effort,
    imported: Effort,
    proposed_seconds: f64,
    folder: tempfile::TempDir,
}

/// What came of registering transactions.
pub(crate) struct Registered {
    /// What it took to make the blocks.
    pub(crate) made: Measured,
    /// What it took to import them.
    pub(crate) imported: Measured,
    /// Seconds of making until the proposals were ready: executed, with storage root, not yet in the database.
    pub(crate) proposed_seconds: f64,
    /// How many blocks they are.
    pub(crate) blocks: u32,
    /// Bytes of the transactions.
    pub(crate) bytes: usize,
}

/// What a block took until it was proposed: executed, with storage root.
#[derive(Clone, Copy)]
pub(crate) struct Alone {
    /// As the clock says.
    pub(crate) seconds: f64,
    /// As the weights say.
    pub(crate) charged_seconds: f64,
}

impl Direct {
    /// An empty chain, with two databases in this folder.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("direct-")
            .tempdir_in(folder)?;
        let path = |name: &str| folder.path().join(name);
        let before = BEGINNING / SLOT_MILLISECONDS;
        let author = Author::open(&path("author"), DEV_RUNTIME_PRESET, STATES, before)?;
        let (importer, _) = open(&path("importer"), DEV_RUNTIME_PRESET, STATES)?;
        let genesis = author.genesis();
        Ok(Direct {
            clients: Clients {
                author,
                importer,
                made: Effort::default(),
                imported: Effort::default(),
                proposed_seconds: 0.0,
                folder,
            },
            office: Signer::new(Charlie, genesis),
            relays: [Dave, Eve].map(|relay| Signer::new(relay, genesis)),
        })
    }

    /// Hash of the first block.
    pub(crate) fn genesis(&self) -> [u8; 32] {
        self.clients.author.genesis()
    }

    /// The account of the authentication server.
    pub(crate) fn office(&self) -> &mhealth_runtime::AccountId {
        self.office.account()
    }

    /// A transaction of the first relay that brings these runs, given in their encoding.
    pub(crate) fn batch(&mut self, runs: &[u8]) -> Vec<u8> {
        self.relays[0].batch(runs)
    }

    /// A transaction of the first relay.
    pub(crate) fn relay_call(&mut self, call: &RuntimeCall) -> Vec<u8> {
        self.relays[0].call(call)
    }

    /// The authentication server's transactions that enrol devices of a study.
    pub(crate) fn enrolments(&mut self, study: StudyId, phones: &Phones) -> Vec<Vec<u8>> {
        let calls: Vec<_> = enrolments(study, &self.office, phones).collect();
        calls.iter().map(|call| self.office.call(call)).collect()
    }

    /// A transaction of the authentication server.
    pub(crate) fn office_call(&mut self, call: &RuntimeCall) -> Vec<u8> {
        self.office.call(call)
    }

    /// A block with these transactions and no others.
    pub(crate) fn alone(&mut self, transactions: Vec<Vec<u8>>) -> Result<Alone> {
        let clients = &mut self.clients;
        let (last, _) = clients.author.best();
        if (last + 1).is_multiple_of(SESSION) {
            clients.block(&mut std::iter::empty().peekable())?;
        }
        (clients.made, clients.imported, clients.proposed_seconds) = Default::default();
        let mut transactions = transactions.into_iter().map(Ok).peekable();
        clients.block(&mut transactions)?;
        ensure!(
            transactions.peek().is_none(),
            "the transactions do not fit into a block"
        );
        Ok(Alone {
            seconds: clients.proposed_seconds,
            charged_seconds: clients.made.charged_seconds,
        })
    }

    /// Enrols devices of a study.
    pub(crate) fn enrol(&mut self, study: StudyId, phones: &Phones) -> Result<Registered> {
        let calls: Vec<_> = enrolments(study, &self.office, phones).collect();
        let office = &mut self.office;
        let transactions = calls.iter().map(|call| Ok(office.call(call)));
        self.clients.measure(transactions, phones.len() as usize, 0)
    }

    /// Registers a file.
    pub(crate) fn measure(&mut self, file: &EntryFile) -> Result<Registered> {
        let relays = &mut self.relays;
        let transactions = file
            .batches()?
            .enumerate()
            .map(|(number, batch)| Ok(relays[number % RELAYS].batch(&batch?)));
        self.clients.measure(transactions, file.right(), file.wrong)
    }
}

impl Clients {
    /// Registers transactions in blocks that are as full as the runtime allows, and says what making and importing them
    /// took. They hold so many entries, or devices, of which some are refused.
    fn measure(
        &mut self,
        transactions: impl Iterator<Item = Result<Vec<u8>>>,
        entries: usize,
        refused: usize,
    ) -> Result<Registered> {
        (self.made, self.imported, self.proposed_seconds) = Default::default();
        let disk = self.disk()?;
        let (before, _) = self.author.best();
        let mut bytes = 0;
        let counted = transactions.inspect(|transaction| {
            bytes += transaction.as_ref().map_or(0, Vec::len);
        });
        let mut transactions = counted.peekable();
        while transactions.peek().is_some() {
            self.block(&mut transactions)?;
        }
        drop(transactions);
        rest()?;
        let on_disk = self.disk()?.saturating_sub(disk) as f64 / entries as f64;
        let of = |system: &str, effort: &Effort| Measured {
            system: system.to_owned(),
            entries,
            refused,
            seconds: effort.seconds,
            processor_seconds: effort.processor_seconds,
            charged_seconds: Some(effort.charged_seconds),
            bytes_per_entry: Some(on_disk),
            ..Measured::default()
        };
        Ok(Registered {
            made: of("Pallet alone: blocks made", &self.made),
            imported: of("Pallet alone: blocks imported", &self.imported),
            proposed_seconds: self.proposed_seconds,
            blocks: self.author.best().0 - before,
            bytes,
        })
    }

    /// Bytes on disk of one of the databases.
    fn disk(&self) -> Result<u64> {
        usage::disk(&self.folder.path().join("importer"))
    }

    /// One block of as many transactions as it takes.
    fn block(
        &mut self,
        transactions: &mut std::iter::Peekable<impl Iterator<Item = Result<Vec<u8>>>>,
    ) -> Result<()> {
        let began = Watch::start()?;
        let proposal = self.author.propose(transactions)?;
        self.proposed_seconds += began.seconds();
        let block = self.author.keep(proposal)?;
        began.stop(&mut self.made)?;

        let began = Watch::start()?;
        block.import(
            &self.importer,
            BlockOrigin::NetworkBroadcast,
            StateAction::Execute,
        )?;
        began.stop(&mut self.imported)?;
        let (_, best) = self.author.best();
        ensure!(
            best == self.importer.info().best_hash,
            "the clients disagree"
        );
        for client in [&self.author.client, &self.importer] {
            finalise(client, best)?;
        }
        let charged = self.charged(best)?;
        self.made.charged_seconds += charged;
        self.imported.charged_seconds += charged;
        Ok(())
    }

    /// Seconds that the runtime has charged a block for, by its weights.
    fn charged(&self, block: H256) -> Result<f64> {
        let key = StorageKey(BlockWeight::<Runtime>::hashed_key().to_vec());
        let weight = self.author.client.storage(block, &key)?;
        let weight = weight.context("a block has no weight")?;
        let weight = ConsumedWeight::decode(&mut &weight.0[..])?;
        // Picoseconds.
        Ok(weight.total().ref_time() as f64 / 1e12)
    }
}

/// What something took.
#[derive(Default)]
struct Effort {
    seconds: f64,
    /// By the weights of what was done.
    charged_seconds: f64,
    /// Of all threads of this process: the database writes in the background.
    processor_seconds: f64,
}

struct Watch {
    began: Instant,
    processor: f64,
}

impl Watch {
    fn start() -> Result<Self> {
        Ok(Watch {
            processor: usage::processor(std::process::id())?,
            began: Instant::now(),
        })
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn processor_seconds(&self) -> Result<f64> {
        Ok(usage::processor(std::process::id())? - self.processor)
    }

    fn stop(self, effort: &mut Effort) -> Result<()> {
        effort.seconds += self.seconds();
        effort.processor_seconds += self.processor_seconds()?;
        Ok(())
    }
}

/// Waits until the databases have written what is left of a measurement, so that its bytes are counted and the next does
/// not pay for them.
pub(crate) fn rest() -> Result<()> {
    for _ in 0..PATIENCE {
        let watch = Watch::start()?;
        std::thread::sleep(Duration::from_secs(1));
        if watch.processor_seconds()? < AT_REST {
            return Ok(());
        }
    }
    bail!("the databases have not come to rest within {PATIENCE} s")
}
