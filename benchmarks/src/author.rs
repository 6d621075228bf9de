// SPDX-License-Identifier: Apache-2.0

//! Makes blocks in this process, one right after the other: the client inside a node, on a database on disk, without a pool, a
//! clock or a network.

use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure, Context, Result};
use codec::{Decode, Encode};
use mhealth_runtime::limits::{SESSION, SLOT_MILLISECONDS};
use mhealth_runtime::opaque::Block;
use mhealth_runtime::{
    BlockNumber, Header, HostFunctions, RuntimeApi, RuntimeCall, UncheckedExtrinsic, WASM_BINARY,
};
use sc_block_builder::BlockBuilderBuilder;
use sc_chain_spec::{GenesisBlockBuilder, GenesisConfigBuilderRuntimeCaller};
use sc_client_api::execution_extensions::ExecutionExtensions;
use sc_client_api::{Finalizer, HeaderBackend};
use sc_client_db::{BlocksPruning, DatabaseSettings, DatabaseSource, PruningMode};
use sc_consensus::{
    BlockImport, BlockImportParams, ForkChoiceStrategy, ImportResult, StateAction, StorageChanges,
};
use sc_executor::WasmExecutor;
use sp_api::ProvideRuntimeApi;
use sp_blockchain::{ApplyExtrinsicFailed, Error as ChainError};
use sp_consensus::BlockOrigin;
use sp_consensus_aura::digests::CompatibleDigestItem;
use sp_consensus_aura::sr25519::{AuthorityId, AuthoritySignature};
use sp_consensus_aura::AuraApi;
use sp_core::{crypto::Pair, sr25519, H256};
use sp_keyring::Sr25519Keyring;
use sp_runtime::traits::Block as _;
use sp_runtime::{Digest, DigestItem, OpaqueExtrinsic};

type Executor = WasmExecutor<HostFunctions>;
/// The chain as one knows it, and the runtime that executes it.
pub(crate) type Client = sc_service::TFullClient<Block, RuntimeApi, Executor>;
/// The database under it.
pub(crate) type Backend = sc_service::TFullBackend<Block>;

/// As much as a node gives the cache of the trie unless it is told otherwise (`node/src/cli.rs`).
const TRIE_CACHE: usize = 256 << 20;
/// How many blocks' states a node keeps unless it is told otherwise.
pub(crate) const STATES: u32 = 256;
/// Until then nobody holds a database any more whose client is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the blocks of all validators, whose keys everybody knows.
pub(crate) struct Author {
    /// The chain as it knows it.
    pub(crate) client: Arc<Client>,
    /// The database under it.
    pub(crate) backend: Arc<Backend>,
    /// In the order in which the slots go round.
    validators: Vec<sr25519::Pair>,
    /// The slot before that of the first block. No slot stays empty.
    before: u64,
}

/// A block that is executed and has its storage root, but is neither sealed nor in the database.
pub(crate) struct Proposal {
    slot: u64,
    header: Header,
    body: Vec<OpaqueExtrinsic>,
    changes: StateAction<Block>,
}

/// A block as validators send it to each other.
#[derive(Clone)]
pub(crate) struct SealedBlock {
    /// Without the seal.
    header: Header,
    seal: DigestItem,
    body: Vec<OpaqueExtrinsic>,
}

impl Author {
    /// On the chain of this preset, in this folder; states of so many blocks are kept. Its blocks lie in the slots after the
    /// one given.
    pub(crate) fn open(folder: &Path, preset: &str, states: u32, before: u64) -> Result<Self> {
        let (client, backend) = open(folder, preset, states)?;
        Ok(Author {
            validators: validators(&client)?,
            client,
            backend,
            before,
        })
    }

    /// Hash of the first block.
    pub(crate) fn genesis(&self) -> [u8; 32] {
        self.client.info().genesis_hash.0
    }

    /// Number and hash of the last block.
    pub(crate) fn best(&self) -> (BlockNumber, H256) {
        let info = self.client.info();
        (info.best_number, info.best_hash)
    }

    /// The slot of the next block.
    pub(crate) fn next_slot(&self) -> u64 {
        self.before + u64::from(self.best().0) + 1
    }

    /// One block of as many transactions as it takes.
    pub(crate) fn propose(
        &self,
        transactions: &mut Peekable<impl Iterator<Item = Result<Vec<u8>>>>,
    ) -> Result<Proposal> {
        let slot = self.next_slot();
        let (parent, parent_hash) = self.best();
        let digest =
            <DigestItem as CompatibleDigestItem<AuthoritySignature>>::aura_pre_digest(slot.into());
        let mut builder = BlockBuilderBuilder::new(&*self.client)
            .on_parent_block(parent_hash)
            .with_parent_block_number(parent)
            .with_inherent_digests(Digest { logs: vec![digest] })
            .build()?;
        builder.push(opaque(&time(slot * SLOT_MILLISECONDS).encode())?)?;
        // The session pallet takes the whole of a block in which a session begins.
        while !(parent + 1).is_multiple_of(SESSION) {
            let Some(transaction) = transactions.peek() else {
                break;
            };
            let transaction = match transaction {
                Ok(bytes) => opaque(bytes)?,
                Err(error) => bail!("a transaction could not be read: {error}"),
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
        let (header, body) = built.block.deconstruct();
        Ok(Proposal {
            slot,
            header,
            body,
            changes: StateAction::ApplyChanges(StorageChanges::Changes(built.storage_changes)),
        })
    }

    /// Seals a proposal with the key of the validator whose slot it is, and puts it into the database.
    pub(crate) fn keep(&self, proposal: Proposal) -> Result<SealedBlock> {
        let turn = proposal.slot % self.validators.len() as u64;
        let signature = self.validators[turn as usize].sign(proposal.header.hash().as_ref());
        let block = SealedBlock {
            header: proposal.header,
            seal: CompatibleDigestItem::aura_seal(AuthoritySignature::from(signature)),
            body: proposal.body,
        };
        let copy = block.clone();
        copy.import(&self.client, BlockOrigin::Own, proposal.changes)?;
        Ok(block)
    }

    /// Closes the database, which somebody else may open then.
    pub(crate) fn close(self) -> Result<()> {
        let mut backend = self.backend;
        drop(self.client);
        // A task of the client may hold it for a moment longer. Who lets it go last writes what is left, which takes a while.
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Arc::try_unwrap(backend) {
                Ok(last) => {
                    drop(last);
                    return Ok(());
                }
                Err(shared) => backend = shared,
            }
            ensure!(Instant::now() < deadline, "the database is still in use");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl SealedBlock {
    /// Has a client import it.
    pub(crate) fn import(
        self,
        client: &Arc<Client>,
        origin: BlockOrigin,
        state: StateAction<Block>,
    ) -> Result<()> {
        let mut block = BlockImportParams::new(origin, self.header);
        block.post_digests.push(self.seal);
        block.body = Some(self.body);
        block.state_action = state;
        block.fork_choice = Some(ForkChoiceStrategy::LongestChain);
        let result = futures::executor::block_on(client.import_block(block))?;
        ensure!(
            matches!(result, ImportResult::Imported(_)),
            "a block was not imported: {result:?}"
        );
        Ok(())
    }
}

/// A client and its database in this folder, where the chain of this preset begins unless there is one. It keeps the states
/// of so many blocks.
pub(crate) fn open(
    folder: &Path,
    preset: &str,
    states: u32,
) -> Result<(Arc<Client>, Arc<Backend>)> {
    let backend: Arc<Backend> = sc_service::new_db_backend(DatabaseSettings {
        trie_cache_maximum_size: Some(TRIE_CACHE),
        state_pruning: Some(PruningMode::blocks_pruning(states)),
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
        .get_named_preset(Some(&preset.to_string()))
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
    let client: Client = sc_service::new_client(
        backend.clone(),
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
    Ok((Arc::new(client), backend))
}

/// Makes a block final, and all before it.
pub(crate) fn finalise(client: &Client, block: H256) -> Result<()> {
    client.finalize_block(block, None, true)?;
    Ok(())
}

/// The keys of the validators, which are the same for as long as this program makes blocks.
fn validators(client: &Client) -> Result<Vec<sr25519::Pair>> {
    let best = client.info().best_hash;
    let validators: Vec<AuthorityId> = client.runtime_api().authorities(best)?;
    let pairs = validators.iter().map(|validator| -> Result<sr25519::Pair> {
        let known = Sr25519Keyring::iter()
            .find(|known| AuthorityId::from(known.public()) == *validator)
            .context("the key of a validator is secret")?;
        Ok(known.pair())
    });
    pairs.collect()
}

fn time(now: u64) -> UncheckedExtrinsic {
    UncheckedExtrinsic::new_bare(RuntimeCall::Timestamp(pallet_timestamp::Call::set { now }))
}

fn opaque(bytes: &[u8]) -> Result<OpaqueExtrinsic> {
    Ok(OpaqueExtrinsic::decode(&mut &bytes[..])?)
}
