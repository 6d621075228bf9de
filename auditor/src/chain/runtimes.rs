// SPDX-License-Identifier: Apache-2.0

//! How blocks read: by the metadata of the runtime that made them, which its code gives. The code stands in the state of the block before;
//! the node proves it there, as it proves everything. It is another one after a block whose header says so
//! (`RuntimeEnvironmentUpdated`), or when a block's state names another version. Two thirds of the members can write it without either
//! (`system.setStorage`); the code that made the block of the audit is looked at in any case.

use mhealth_api::Hash;
use mhealth_chain_client::{BlockReader, ChainClient, H256};
use mhealth_evidence::{
    blake2_256, DigestItem, Header, NotProved, State, CODE_KEY, PENDING_CODE_KEY,
};
use serde::{Deserialize, Serialize};

use super::code::StepsLeft;
use super::proof::{header, Unproved, Word};
use super::state::read_proof;
use crate::error::AuditError;

/// An item of the state: its pallet and its name.
type Item = (&'static str, &'static str);

/// What is read of the state by keys and forms that this program has in itself.
const READ_AS_KNOWN: [Item; 15] = [
    ("ClientHashchain", "Conflicts"),
    ("ClientHashchain", "Devices"),
    ("ClientHashchain", "Erasures"),
    ("ClientHashchain", "HeadPages"),
    ("ClientHashchain", "JournalLength"),
    ("ClientHashchain", "JournalPages"),
    ("ClientHashchain", "NextDeviceId"),
    ("Grandpa", "Authorities"),
    ("Grandpa", "CurrentSetId"),
    ("Studies", "Relays"),
    ("Studies", "Rotations"),
    ("Studies", "Studies"),
    ("System", "BlockHash"),
    ("System", "LastRuntimeUpgrade"),
    ("Timestamp", "Now"),
];
/// What of it is read after each block, and not only after the block of the audit.
const READ_AFTER_EACH: [Item; 2] = [("System", "LastRuntimeUpgrade"), ("Timestamp", "Now")];

/// Stack for what a stranger wrote: far more than types within types take, as many as there may be.
const STACK: usize = 64 << 20;

/// A runtime whose code the state proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvedRuntime {
    /// The first block that it made, of those that the audit read.
    pub from: u64,
    /// The version of its rules.
    pub spec_version: u32,
    /// BLAKE2b-256 of the code, by which the consortium decided on it.
    pub code: Hash,
}

/// A runtime, or why its code gives no metadata.
pub(super) type Found = Result<Runtime, String>;

/// A runtime, as its code says how its blocks read.
pub(super) struct Runtime {
    code: [u8; 32],
    reader: BlockReader,
    /// What it stores in another form than this program reads it in.
    otherwise: Vec<Item>,
}

impl Runtime {
    /// The runtime that made a block, by whose rules its state is stored.
    pub(super) async fn of(
        client: &ChainClient,
        block: &Header,
        spec_version: u32,
        steps: &mut StepsLeft,
    ) -> Result<Found, AuditError> {
        let before = match block.number {
            // What was there before all blocks is its own.
            0 => block.clone(),
            _ => header(client, H256(block.parent_hash)).await?,
        };
        let keys = [CODE_KEY.to_vec(), PENDING_CODE_KEY.to_vec()];
        let nodes = read_proof(client, &keys, H256(before.hash())).await?;
        let code = code_in(&State::new(before.state_root, &nodes));
        let code = code.map_err(|_| Unproved::State {
            block: before.number.into(),
            what: "the runtime's code",
        })?;
        let hash = blake2_256(&code);
        let metadata = match execute(code, steps).await {
            Ok(metadata) => metadata,
            Err(why) => return Ok(Err(why)),
        };
        let runtime = match Runtime::by_metadata(hash, metadata, client.genesis_hash()).await {
            Ok(runtime) => runtime,
            Err(why) => return Ok(Err(why)),
        };
        let its_own = runtime.reader.spec_version();
        if its_own != spec_version {
            return Ok(Err(format!(
                "its code is of version {its_own}, its state says {spec_version}"
            )));
        }
        Ok(Ok(runtime))
    }

    /// The runtime whose code, with this hash, gives this metadata.
    async fn by_metadata(
        code: [u8; 32],
        metadata: Vec<u8>,
        genesis: H256,
    ) -> Result<Runtime, String> {
        let read = apart(move || {
            let reader = BlockReader::by_metadata(&metadata, genesis)
                .map_err(|error| format!("its metadata cannot be read: {error}"))?;
            let mut otherwise = READ_AS_KNOWN.to_vec();
            otherwise.retain(|(pallet, item)| !reader.stores_as_known(pallet, item));
            Ok::<_, String>(Runtime {
                code,
                reader,
                otherwise,
            })
        });
        let read = read.await;
        read.unwrap_or_else(|| Err("its metadata breaks what reads it".to_owned()))
    }

    /// Whether it stores one of these in another form than this program reads it in.
    fn stores_otherwise(&self, items: &[Item]) -> Option<String> {
        let mut otherwise = self.otherwise.iter();
        let (pallet, item) = otherwise.find(|it| items.contains(it))?;
        Some(format!("its rules store {pallet}.{item} in another form"))
    }
}

/// The code that makes the blocks after this state.
fn code_in(state: &State<'_>) -> Result<Vec<u8>, NotProved> {
    let code = match state.read(PENDING_CODE_KEY)? {
        Some(pending) => Some(pending),
        None => state.read(CODE_KEY)?,
    };
    code.map(<[u8]>::to_vec).ok_or(NotProved)
}

/// Has a code give its metadata. That takes hundredths of a second; a stranger's code may take much longer, and the connection to the
/// node is served on meanwhile.
async fn execute(code: Vec<u8>, steps: &mut StepsLeft) -> Result<Vec<u8>, String> {
    let mut left = *steps;
    let executed = apart(move || (left.metadata_of(&code), left)).await;
    let (metadata, left) = executed.ok_or("its code breaks the interpreter")?;
    *steps = left;
    metadata.map_err(|fault| format!("its code gives no metadata: {fault}"))
}

/// Does something with what a stranger wrote, on a thread of its own; none: it broke, and nothing else did.
async fn apart<T: Send + 'static>(does: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = tokio::task::spawn_blocking(move || {
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn(does).ok()?.join().ok()
    });
    done.await.ok().flatten()
}

/// The runtimes that made the blocks that were read, up to the latest.
#[derive(Serialize, Deserialize)]
pub(super) struct Runtimes {
    /// The first block that is read.
    first: u64,
    /// Blocks after which there may be another code.
    upgrades: Vec<u32>,
    /// Those whose code is proved, oldest first.
    proved: Vec<ProvedRuntime>,
    /// The first block that was read by the node's metadata, or whose state may read otherwise, and why.
    only_said: Option<(u64, String)>,
    /// The present one, and since which block.
    #[serde(skip)]
    present: Option<(u64, Found)>,
}

impl Runtimes {
    /// Before any block was read.
    pub(super) fn before(first: u64) -> Self {
        Runtimes {
            first,
            upgrades: Vec::new(),
            proved: Vec::new(),
            only_said: None,
            present: None,
        }
    }

    /// Takes the header of the next block.
    pub(super) fn go_on(&mut self, header: &Header) {
        let upgrade = |item| matches!(item, DigestItem::RuntimeEnvironmentUpdated);
        if header.digest.items().any(upgrade) {
            self.upgrades.push(header.number);
        }
    }

    /// The first block since which no header spoke of another code, up to this block.
    fn since(&self, block: u32) -> u64 {
        let mut upgrades = self.upgrades.iter().rev();
        let upgrade = upgrades.find(|upgrade| **upgrade < block);
        upgrade.map_or(self.first, |upgrade| u64::from(*upgrade) + 1)
    }

    /// What reads a block, whose header was taken, and whose state names this version.
    pub(super) async fn reader(
        &mut self,
        client: &ChainClient,
        block: &Header,
        spec_version: u32,
        steps: &mut StepsLeft,
    ) -> Result<BlockReader, AuditError> {
        let since = self.since(block.number);
        let made_it = |(from, found): &(u64, Found)| {
            let other = |it: &Runtime| it.reader.spec_version() != spec_version;
            *from == since && !found.as_ref().is_ok_and(other)
        };
        let present = match self.present.take().filter(made_it) {
            Some(present) => present,
            None => (
                since,
                Runtime::of(client, block, spec_version, steps).await?,
            ),
        };
        match &self.present.insert(present).1 {
            Ok(runtime) => {
                add(&mut self.proved, since, block.number, runtime);
                if let Some(why) = runtime.stores_otherwise(&READ_AFTER_EACH) {
                    self.only_said.get_or_insert((block.number.into(), why));
                }
                Ok(runtime.reader.clone())
            }
            Err(why) => {
                let only_said = || (block.number.into(), why.clone());
                self.only_said.get_or_insert_with(only_said);
                Ok(client.block_reader(H256(block.parent_hash)).await?)
            }
        }
    }

    /// What the audit says of them, whose block the last of them made.
    pub(super) fn up_to(mut self, block: u32, last: &Found) -> (Vec<ProvedRuntime>, Option<Word>) {
        let end = u64::from(block);
        let since = self.since(block);
        self.proved.retain(|it| it.from <= end);
        let why = match last {
            Ok(runtime) => {
                add(&mut self.proved, since, block, runtime);
                runtime.stores_otherwise(&READ_AS_KNOWN)
            }
            Err(why) => Some(why.clone()),
        };
        let earlier = self.only_said.filter(|(first, _)| *first <= end);
        let word = earlier.or_else(|| Some((end, why?)));
        let word = word.map(|(block, why)| Word::Runtime { block, why });
        (self.proved, word)
    }
}

/// Adds a runtime that made a block, unless it is the last: from the first block since which no header spoke of another, or from this
/// block on if that was made by another all the same.
fn add(proved: &mut Vec<ProvedRuntime>, since: u64, block: u32, runtime: &Runtime) {
    let last = proved.last();
    if last.is_some_and(|last| last.code.0 == runtime.code) {
        return;
    }
    let is_taken = last.is_some_and(|last| last.from >= since);
    proved.push(ProvedRuntime {
        from: if is_taken { block.into() } else { since },
        spec_version: runtime.reader.spec_version(),
        code: Hash(runtime.code),
    });
}

#[cfg(test)]
mod tests;
