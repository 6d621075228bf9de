// SPDX-License-Identifier: Apache-2.0

//! A chain in memory. Its transactions are the runs themselves, and every block is final.

mod ledger;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hashchain::{DeviceId, LinkHash, Run};
use mhealth_api::{run_id, Hash, Head, Refusal};
use mhealth_chain_client::{
    AccountId32, ChainEvent, Effect, FinalisedBlock, FinalisedExtrinsic, H256,
};
use tokio::sync::watch;

use crate::ledger::LedgerError;

#[derive(Clone)]
pub(crate) struct FakeChain {
    /// Of the relay that looks at it.
    account: [u8; 32],
    state: Arc<Mutex<State>>,
    is_mad: Arc<AtomicBool>,
    finalised: Arc<watch::Sender<u64>>,
}

#[derive(Clone)]
struct Registered {
    genesis: LinkHash,
    links: Vec<LinkHash>,
}

#[derive(Default)]
struct State {
    /// The account that has the relay's role.
    account: [u8; 32],
    rotations: Vec<([u8; 32], [u8; 32])>,
    /// Block 0 first.
    blocks: Vec<FinalisedBlock>,
    history: u8,
    signed: HashMap<Vec<u8>, (u64, u64, Vec<Run>)>,
    pool: BTreeMap<u64, Vec<u8>>,
    handed: Vec<Vec<u8>>,
    devices: HashMap<DeviceId, Registered>,
    refusals: HashMap<Hash, Refusal>,
    included: Vec<Hash>,
    nonce: u64,
    swallow: bool,
    drop_events: bool,
    away: bool,
    loses_all_next: bool,
    /// The latest block that the node has; none if it has all of them.
    shown: Option<u64>,
    /// Whether those who follow get no blocks.
    holds_back: bool,
    /// What the latest block says in seconds since 1970.
    time: Option<u64>,
    /// How often a proof was asked for.
    proofs_asked: u32,
    /// What stood before each block.
    before: Vec<(u64, HashMap<DeviceId, Registered>, usize)>,
}

impl FakeChain {
    pub(crate) fn new() -> Self {
        let account = [9; 32];
        let mut state = State {
            account,
            ..State::default()
        };
        state.blocks.push(block(0, 0, Hash([0; 32]), Vec::new()));
        state.before.push(Default::default());
        Self {
            account,
            state: Arc::new(Mutex::new(state)),
            is_mad: Arc::default(),
            finalised: Arc::new(watch::Sender::new(0)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From now on, who asks it panics.
    pub(crate) fn go_mad(&self) {
        self.is_mad.store(true, Ordering::SeqCst);
    }

    fn present(&self) -> Result<MutexGuard<'_, State>, LedgerError> {
        assert!(!self.is_mad.load(Ordering::SeqCst), "it is mad");
        let state = self.state();
        if state.away {
            Err(LedgerError::NotConnected)
        } else {
            Ok(state)
        }
    }

    pub(crate) fn enrol(&self, device: DeviceId, genesis: Head) {
        let registered = Registered {
            genesis: genesis.hash,
            links: Vec::new(),
        };
        self.state().devices.entry(device).or_insert(registered);
    }

    /// Another relay has brought entries; only the last link is known.
    pub(super) fn set_head(&self, device: DeviceId, head: Head) {
        let mut state = self.state();
        let registered = state.devices.get_mut(&device).unwrap();
        registered.links.resize(head.length as usize, head.hash);
    }

    pub(super) fn head(&self, device: DeviceId) -> Head {
        let state = self.state();
        let registered = &state.devices[&device];
        let hash = registered
            .links
            .last()
            .copied()
            .unwrap_or(registered.genesis);
        Head {
            length: registered.links.len() as u64,
            hash,
        }
    }

    /// So many seconds since 1970 are what its blocks say from now on.
    pub(crate) fn set_time(&self, seconds: u64) {
        self.state().time = Some(seconds);
    }

    /// How often a proof was asked for.
    pub(crate) fn proofs_asked(&self) -> u32 {
        self.state().proofs_asked
    }

    pub(super) fn refuse(&self, run: Hash, reason: Refusal) {
        self.state().refusals.insert(run, reason);
    }

    /// Takes transactions and forgets them.
    pub(super) fn swallow(&self, swallow: bool) {
        self.state().swallow = swallow;
    }

    pub(super) fn drop_events(&self, drop_events: bool) {
        self.state().drop_events = drop_events;
    }

    pub(crate) fn go_away(&self, away: bool) {
        self.state().away = away;
    }

    /// Begins anew, and gets further, right after it was asked for a block's hash.
    pub(super) fn lose_all_after_next_look(&self) {
        self.state().loses_all_next = true;
    }

    /// Has no blocks after this one, as a node that has to catch up; or all of them.
    pub(super) fn show_up_to(&self, number: Option<u64>) {
        let mut state = self.state();
        state.shown = number;
        self.tell(state);
    }

    /// Makes blocks that those who follow do not get yet; or gives them to them.
    pub(super) fn hold_back(&self, holds_back: bool) {
        let mut state = self.state();
        state.holds_back = holds_back;
        self.tell(state);
    }

    /// Tells those who follow how far the node has come.
    fn tell(&self, state: MutexGuard<'_, State>) {
        let (latest, holds_back) = (state.latest().number, state.holds_back);
        drop(state);
        if !holds_back {
            self.finalised.send_replace(latest);
        }
    }

    pub(super) fn use_nonce_elsewhere(&self) {
        self.state().nonce += 1;
    }

    /// Another account takes the relay's place; the former one's transactions are turned away. The chain as the new one's
    /// relay looks at it.
    pub(super) fn rotate(&self, successor: [u8; 32]) -> Self {
        let mut state = self.state();
        let former = std::mem::replace(&mut state.account, successor);
        state.rotations.push((former, successor));
        state.nonce = 0;
        state.pool.clear();
        drop(state);
        Self {
            account: successor,
            ..self.clone()
        }
    }

    /// Number of the latest block.
    pub(super) fn number(&self) -> u64 {
        self.state().blocks.len() as u64 - 1
    }

    pub(super) fn nonce(&self) -> u64 {
        self.state().nonce
    }

    pub(super) fn handed(&self) -> Vec<Vec<u8>> {
        self.state().handed.clone()
    }

    pub(super) fn distinct(&self) -> usize {
        self.state().handed.iter().collect::<BTreeSet<_>>().len()
    }

    pub(super) fn pool_size(&self) -> usize {
        self.state().pool.len()
    }

    /// How often a run was brought with success.
    pub(super) fn submissions(&self, run: Hash) -> usize {
        self.state()
            .included
            .iter()
            .filter(|included| **included == run)
            .count()
    }

    /// Makes a block of what is in the pool, and finalises it.
    pub(super) fn make_block(&self) {
        let mut state = self.state();
        let before = (state.nonce, state.devices.clone(), state.included.len());
        state.before.push(before);
        let number = state.blocks.len() as u64;
        state.forget_expired();
        let mut extrinsics = Vec::new();
        while let Some(bytes) = {
            let nonce = state.nonce;
            state.pool.remove(&nonce)
        } {
            state.nonce += 1;
            let index = extrinsics.len() as u32 + 1;
            let events = state.apply(&bytes);
            let effect = (!state.drop_events).then_some(Effect {
                result: Ok(()),
                events,
            });
            extrinsics.push(FinalisedExtrinsic {
                index,
                hash: H256(hash_of(&bytes)),
                effect,
            });
        }
        let nonce = state.nonce;
        state.pool.retain(|other, _| *other >= nonce);
        let parent = Hash(state.blocks.last().unwrap().hash.0);
        let history = state.history;
        state
            .blocks
            .push(block(number, history, parent, extrinsics));
        self.tell(state);
    }

    /// Loses its latest blocks and its pool, and makes others from now on.
    pub(super) fn lose_blocks_after(&self, number: u64) {
        let mut state = self.state();
        state.history += 1;
        let kept = number as usize + 1;
        let (nonce, devices, included) = state.before[kept].clone();
        state.blocks.truncate(kept);
        state.before.truncate(kept);
        state.nonce = nonce;
        state.devices = devices;
        state.included.truncate(included);
        state.pool.clear();
        drop(state);
        self.finalised.send_replace(number);
    }
}

impl State {
    /// The latest block that the node has.
    fn latest(&self) -> &FinalisedBlock {
        let last = self.blocks.len() - 1;
        let shown = self.shown.map(|shown| shown as usize);
        &self.blocks[shown.map_or(last, |shown| last.min(shown))]
    }

    /// The pool drops what cannot be in the next block.
    fn forget_expired(&mut self) {
        let next = self.blocks.len() as u64;
        self.pool.retain(|_, bytes| next < self.signed[bytes].1);
    }

    fn apply(&mut self, bytes: &[u8]) -> Vec<ChainEvent> {
        let (_, _, runs) = self.signed[bytes].clone();
        let mut events = Vec::new();
        for (run, position) in runs.iter().zip(0..) {
            let sequence = run.first_sequence;
            let id = run_id(run.device, sequence, &run.previous, &run.last_link());
            let registered = self.devices.get_mut(&run.device).unwrap();
            let length = registered.links.len() as u64;
            let reason = match self.refusals.get(&id) {
                Some(reason) => Some(reason.clone()),
                None if sequence > length + 1 => Some(Refusal::Gap),
                None => None,
            };
            if let Some(reason) = reason {
                events.push(ChainEvent::RunRefused {
                    position,
                    device: run.device,
                    sequence,
                    reason,
                });
                continue;
            }
            self.included.push(id);
            if run.last_sequence().unwrap() <= length {
                events.push(ChainEvent::RunAlreadyRecorded {
                    device: run.device,
                    sequence,
                    entries: run.entries.len() as u32,
                });
            } else {
                let known = (length + 1 - sequence) as usize;
                let new = run.links().skip(known).map(|entry| entry.hash);
                registered.links.extend(new);
            }
        }
        events.push(ChainEvent::BatchProcessed {
            submitter: AccountId32([9; 32]),
            recorded: 0,
            already_recorded: 0,
            refused: 0,
            first_index: 0,
            entries: 0,
        });
        events
    }
}

fn block(
    number: u64,
    history: u8,
    parent: Hash,
    extrinsics: Vec<FinalisedExtrinsic>,
) -> FinalisedBlock {
    let mut hash = [history; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    FinalisedBlock {
        number,
        hash: H256(hash),
        parent_hash: H256(parent.0),
        extrinsics,
        events: Vec::new(),
    }
}

fn hash_of(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}
