// SPDX-License-Identifier: Apache-2.0

//! The chain without a network, a pool or a clock: blocks made and imported by the client that a node has inside, one right
//! after the other, on a database on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure, Context, Result};
use codec::{Decode, Encode};
use frame_system::{BlockWeight, ConsumedWeight};
use hashchain::StudyId;
use mhealth_runtime::limits::{SESSION, SLOT_MILLISECONDS};
use mhealth_runtime::opaque::Block;
use mhealth_runtime::{
    HostFunctions, Runtime, RuntimeApi, RuntimeCall, UncheckedExtrinsic, WASM_BINARY,
};
use sc_block_builder::BlockBuilderBuilder;
use sc_chain_spec::{GenesisBlockBuilder, GenesisConfigBuilderRuntimeCaller};
use sc_client_api::execution_extensions::ExecutionExtensions;
use sc_client_api::{Finalizer, HeaderBackend, StorageProvider};
use sc_client_db::{BlocksPruning, DatabaseSettings, DatabaseSource, PruningMode};
use sc_consensus::{
    BlockImport, BlockImportParams, ForkChoiceStrategy, StateAction, StorageChanges,
};
use sc_executor::WasmExecutor;
use sp_blockchain::{ApplyExtrinsicFailed, Error as ChainError};
use sp_consensus::BlockOrigin;
use sp_consensus_aura::{digests::CompatibleDigestItem, sr25519::AuthoritySignature};
use sp_core::{storage::StorageKey, H256};
use sp_keyring::Sr25519Keyring::{Charlie, Dave, Eve};
use sp_runtime::traits::Block as _;
use sp_runtime::{Digest, DigestItem, OpaqueExtrinsic};

use crate::extrinsic::{enrolments, Signer};
use crate::measured::Measured;
use crate::usage;
use crate::workload::{EntryFile, Phones, RELAYS};

type Executor = WasmExecutor<HostFunctions>;
type Client = sc_service::TFullClient<Block, RuntimeApi, Executor>;

/// As much as a node gives the cache of the trie unless it is told otherwise (`node/src/cli.rs`).
const TRIE_CACHE: usize = 256 << 20;
/// Time of the first block, in milliseconds since 1970.
const BEGINNING: u64 = 1_800_000_000_000;

/// How many blocks' states a node keeps unless it is told otherwise.
const STATES: u32 = 256;

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
    author: Arc<Client>,
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
        let author = client(&folder.path().join("author"))?;
        let genesis = author.info().genesis_hash.0;
        Ok(Direct {
            clients: Clients {
                importer: client(&folder.path().join("importer"))?,
                author,
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
        self.clients.author.info().genesis_hash.0
    }

    /// The account of the authentication server.
    pub(crate) fn office(&self) -> &mhealth_runtime::AccountId {
        self.office.account()
    }

    /// A transaction of the first relay that brings these runs, given in their encoding.
    pub(crate) fn batch(&mut self, runs: &[u8]) -> Vec<u8> {
        self.relays[0].batch(runs)
    }

    /// A transaction of the authentication server.
    pub(crate) fn office_call(&mut self, call: &RuntimeCall) -> Vec<u8> {
        self.office.call(call)
    }

    /// A block with these transactions and no others.
    pub(crate) fn alone(&mut self, transactions: Vec<Vec<u8>>) -> Result<Alone> {
        let clients = &mut self.clients;
        let next = clients.author.info().best_number + 1;
        if next.is_multiple_of(SESSION) {
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
        let before = self.author.info().best_number;
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
            blocks: self.author.info().best_number - before,
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
        let parent = self.author.info();
        let number = parent.best_number + 1;
        let slot = BEGINNING / SLOT_MILLISECONDS + u64::from(number);
        let digest =
            <DigestItem as CompatibleDigestItem<AuthoritySignature>>::aura_pre_digest(slot.into());
        let began = Watch::start()?;
        let mut builder = BlockBuilderBuilder::new(&*self.author)
            .on_parent_block(parent.best_hash)
            .with_parent_block_number(parent.best_number)
            .with_inherent_digests(Digest { logs: vec![digest] })
            .build()?;
        builder.push(opaque(&time(slot * SLOT_MILLISECONDS).encode())?)?;
        // The session pallet takes the whole of a block in which a session begins.
        while !number.is_multiple_of(SESSION) {
            let Some(transaction) = transactions.peek() else {
                break;
            };
            let transaction = match transaction {
                Ok(bytes) => opaque(bytes)?,
                Err(error) => bail!("the entry file: {error}"),
            };
            match builder.push(transaction) {
                Ok(()) => drop(transactions.next()),
                Err(ChainError::ApplyExtrinsicFailed(ApplyExtrinsicFailed::Validity(refused)))
                    if refused.exhausted_resources() =>
                {
                    break;
                }
                Err(error) => bail!("a transaction was refused: {error}"),
            }
        }
        let built = builder.build()?;
        self.proposed_seconds += began.seconds();
        let (header, body) = built.block.deconstruct();
        let changes = StateAction::ApplyChanges(StorageChanges::Changes(built.storage_changes));
        import(
            &self.author,
            BlockOrigin::Own,
            header.clone(),
            body.clone(),
            changes,
        )?;
        began.stop(&mut self.made)?;

        let began = Watch::start()?;
        import(
            &self.importer,
            BlockOrigin::NetworkBroadcast,
            header,
            body,
            StateAction::Execute,
        )?;
        began.stop(&mut self.imported)?;
        let best = self.author.info().best_hash;
        ensure!(
            best == self.importer.info().best_hash,
            "the clients disagree"
        );
        for client in [&self.author, &self.importer] {
            client.finalize_block(best, None, true)?;
        }
        let charged = self.charged(best)?;
        self.made.charged_seconds += charged;
        self.imported.charged_seconds += charged;
        Ok(())
    }

    /// Seconds that the runtime has charged a block for, by its weights.
    fn charged(&self, block: H256) -> Result<f64> {
        let key = StorageKey(BlockWeight::<Runtime>::hashed_key().to_vec());
        let weight = self.author.storage(block, &key)?;
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

fn client(folder: &Path) -> Result<Arc<Client>> {
    let backend = sc_service::new_db_backend(DatabaseSettings {
        trie_cache_maximum_size: Some(TRIE_CACHE),
        state_pruning: Some(PruningMode::blocks_pruning(STATES)),
        source: DatabaseSource::ParityDb {
            path: folder.to_path_buf(),
        },
        blocks_pruning: BlocksPruning::KeepAll,
        pruning_filters: Vec::new(),
        metrics_registry: None,
    })?;
    let executor = Executor::builder().build();
    let code = WASM_BINARY.context("the benchmark needs the Wasm runtime")?;
    let caller = GenesisConfigBuilderRuntimeCaller::<HostFunctions>::new(code);
    let preset = caller
        .get_named_preset(Some(&sp_genesis_builder::DEV_RUNTIME_PRESET.to_string()))
        .map_err(|error| anyhow!("the preset: {error}"))?;
    let mut storage = caller
        .get_storage_for_patch(preset)
        .map_err(|error| anyhow!("the genesis: {error}"))?;
    storage.top.insert(
        sp_core::storage::well_known_keys::CODE.to_vec(),
        code.to_vec(),
    );
    let genesis = GenesisBlockBuilder::new(&storage, true, backend.clone(), executor.clone())?;
    let extensions = ExecutionExtensions::new(None, Arc::new(executor.clone()));
    let client = sc_service::new_client(
        backend,
        executor,
        genesis,
        Default::default(),
        Default::default(),
        extensions,
        Box::new(sp_core::testing::TaskExecutor::new()),
        None,
        None,
        Default::default(),
    )?;
    Ok(Arc::new(client))
}

fn import(
    client: &Arc<Client>,
    origin: BlockOrigin,
    header: mhealth_runtime::Header,
    body: Vec<OpaqueExtrinsic>,
    state: StateAction<Block>,
) -> Result<()> {
    let mut block = BlockImportParams::new(origin, header);
    block.body = Some(body);
    block.state_action = state;
    block.fork_choice = Some(ForkChoiceStrategy::LongestChain);
    futures::executor::block_on(client.import_block(block))?;
    Ok(())
}

fn time(now: u64) -> UncheckedExtrinsic {
    UncheckedExtrinsic::new_bare(RuntimeCall::Timestamp(pallet_timestamp::Call::set { now }))
}

fn opaque(bytes: &[u8]) -> Result<OpaqueExtrinsic> {
    Ok(OpaqueExtrinsic::decode(&mut &bytes[..])?)
}
