// SPDX-License-Identifier: Apache-2.0

//! What a block with one batch costs: the Wasm runtime from `initialize_block` to `finalize_block`, with the storage root.
//!
//! The state lives in memory, so nothing of the database is in the figure. Run it with
//! `cargo bench --workspace --bench block`.

#![allow(missing_docs)] // criterion_group! makes a function without.

use std::time::{Duration, Instant};

use codec::{Decode, Encode};
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use hashchain::{data_digest, sign_head, LinkHash, Native, Sealer, Secret};
use mhealth_runtime::{
    limits::{SESSION, SLOT_MILLISECONDS},
    Header, HostFunctions, RuntimeCall, Signature, TxExtension, UncheckedExtrinsic, VERSION,
    WASM_BINARY,
};
use pallet_client_hashchain::{Run, RunEntry};
use sc_chain_spec::GenesisConfigBuilderRuntimeCaller;
use sc_executor::WasmExecutor;
use sp_consensus_aura::{digests::CompatibleDigestItem, sr25519::AuthoritySignature};
use sp_core::{
    traits::{CallContext, CodeExecutor, RuntimeCode, WrappedRuntimeCode},
    H256,
};
use sp_keyring::Sr25519Keyring::{self, Charlie, Dave};
use sp_runtime::{
    generic::Era,
    traits::{BlakeTwo256, Hash as _, Header as _},
    Digest, DigestItem,
};
use sp_state_machine::TestExternalities;

/// Study 0 of the development preset asks for signatures, study 1 does not.
const SIGNED: u32 = 0;
const PAPER: u32 = 1;

/// A chain without a node: the Wasm runtime on a state in memory.
struct Chain {
    state: TestExternalities<BlakeTwo256>,
    executor: WasmExecutor<HostFunctions>,
    code: &'static [u8],
    parent: Header,
    genesis: H256,
    nonces: [(Sr25519Keyring, u32); 2],
}

impl Chain {
    fn new() -> Self {
        let code = WASM_BINARY.expect("the benchmark needs the Wasm runtime");
        let builder = GenesisConfigBuilderRuntimeCaller::<HostFunctions>::new(code);
        let patch = builder
            .get_named_preset(Some(&"development".to_string()))
            .expect("the runtime has the preset");
        let storage = builder
            .get_storage_for_patch(patch)
            .expect("a sound genesis");
        let mut state = TestExternalities::<BlakeTwo256>::new_with_code(code, storage);
        let root = H256::from_slice(&state.backend.root().encode());
        state.commit_all().expect("nothing to commit");
        let parent = Header::new(0, Default::default(), root, H256::zero(), Digest::default());
        Self {
            state,
            executor: WasmExecutor::builder().build(),
            code,
            genesis: parent.hash(),
            parent,
            nonces: [(Charlie, 0), (Dave, 0)],
        }
    }

    fn call(&mut self, method: &str, data: &[u8]) -> Vec<u8> {
        let fetcher = WrappedRuntimeCode(self.code.into());
        let code = RuntimeCode {
            code_fetcher: &fetcher,
            heap_pages: None,
            hash: b"benchmark".to_vec(),
        };
        let mut ext = self.state.ext();
        self.executor
            .call(
                &mut ext,
                &code,
                method,
                data,
                CallContext::Onchain { import: false },
            )
            .0
            .expect("the runtime answers")
    }

    /// Makes a block of these extrinsics, and says how long the runtime took for it.
    fn block(&mut self, extrinsics: &[UncheckedExtrinsic]) -> Duration {
        if (self.parent.number + 1).is_multiple_of(SESSION) && !extrinsics.is_empty() {
            // The session pallet takes the whole of a block in which a session begins.
            self.block(&[]);
        }
        let number = self.parent.number + 1;
        let slot = u64::from(number);
        let digest =
            <DigestItem as CompatibleDigestItem<AuthoritySignature>>::aura_pre_digest(slot.into());
        let header = Header::new(
            number,
            Default::default(),
            Default::default(),
            self.parent.hash(),
            Digest { logs: vec![digest] },
        );
        let now =
            UncheckedExtrinsic::new_bare(RuntimeCall::Timestamp(pallet_timestamp::Call::set {
                now: slot * SLOT_MILLISECONDS,
            }));
        let encoded: Vec<_> = std::iter::once(&now)
            .chain(extrinsics)
            .map(Encode::encode)
            .collect();

        let start = Instant::now();
        self.call("Core_initialize_block", &header.encode());
        let results: Vec<_> = encoded
            .iter()
            .map(|extrinsic| self.call("BlockBuilder_apply_extrinsic", extrinsic))
            .collect();
        let header = self.call("BlockBuilder_finalize_block", &[]);
        let time = start.elapsed();

        for result in results {
            assert_eq!(result, [0, 0], "an extrinsic failed");
        }
        self.parent = Header::decode(&mut &header[..]).expect("the runtime returns a header");
        self.state.commit_all().expect("the state takes the block");
        time
    }

    fn sign(&mut self, who: Sr25519Keyring, call: RuntimeCall) -> UncheckedExtrinsic {
        let (_, nonce) = self
            .nonces
            .iter_mut()
            .find(|(account, _)| *account == who)
            .expect("a nonce is kept for whoever signs here");
        let extension: TxExtension = (
            mhealth_runtime::CheckRole,
            frame_system::CheckNonZeroSender::new(),
            frame_system::CheckSpecVersion::new(),
            frame_system::CheckTxVersion::new(),
            frame_system::CheckGenesis::new(),
            frame_system::CheckMortality::from(Era::Immortal),
            frame_system::CheckNonce::from(*nonce),
            frame_system::CheckWeight::new(),
        );
        *nonce += 1;
        let implicit = (
            (),
            (),
            VERSION.spec_version,
            VERSION.transaction_version,
            self.genesis,
            self.genesis,
            (),
            (),
        );
        let payload = (&call, &extension, implicit).encode();
        let signature = match payload.len() > 256 {
            true => who.sign(BlakeTwo256::hash(&payload).as_ref()),
            false => who.sign(&payload),
        };
        UncheckedExtrinsic::new_signed(
            call,
            who.to_account_id().into(),
            Signature::Sr25519(signature),
            extension,
        )
    }

    /// Enrols phones, a hundred a block.
    fn enrol(&mut self, study: u32, count: u32) -> Vec<Phone> {
        let first: u32 = if study == SIGNED { 0 } else { 1 << 16 };
        let phones: Vec<Phone> = (first..first + count).map(Phone::new).collect();
        for some in phones.chunks(100) {
            let extrinsics: Vec<_> = some
                .iter()
                .map(|phone| self.sign(Charlie, phone.enrolment(study)))
                .collect();
            self.block(&extrinsics);
        }
        phones
            .into_iter()
            .map(|phone| {
                let key = phone.key.verifying_key().to_bytes();
                let device = self.call("HashchainApi_device_by_key", &key);
                let device = Option::<u32>::decode(&mut &device[..])
                    .expect("an answer of this type")
                    .expect("the phone is enrolled");
                let head = self.call("HashchainApi_head", &device.encode());
                let head = Option::<(H256, u64, Option<u64>)>::decode(&mut &head[..])
                    .expect("an answer of this type")
                    .expect("the phone is enrolled");
                Phone {
                    device,
                    sealer: Sealer::begin(LinkHash(head.0 .0), &phone.secret),
                    ..phone
                }
            })
            .collect()
    }
}

struct Phone {
    key: ed25519_dalek::SigningKey,
    secret: Secret,
    device: u32,
    sealer: Sealer,
}

impl Phone {
    fn new(number: u32) -> Self {
        let seed = <Native as hashchain::Sha256>::sha256(&number.to_be_bytes());
        let secret = Secret::from_bytes(&seed);
        Self {
            key: ed25519_dalek::SigningKey::from_bytes(&seed),
            sealer: Sealer::begin(LinkHash([0; 32]), &secret),
            secret,
            device: 0,
        }
    }

    fn enrolment(&self, study: u32) -> RuntimeCall {
        RuntimeCall::ClientHashchain(pallet_client_hashchain::Call::enrol {
            study,
            key: self.key.verifying_key().to_bytes(),
            secret_commitment: H256(hashchain::secret_commitment::<Native>(&self.secret)),
            escrow: vec![1; 81]
                .try_into()
                .expect("an escrow of the usual length"),
            predecessor: None,
        })
    }

    fn run(&mut self, entries: usize, signed: bool) -> Run {
        let (sequence, previous) = (self.sealer.sequence() + 1, self.sealer.head());
        let entries: Vec<_> = (0..entries)
            .map(|_| {
                let data = data_digest::<Native>(&self.sealer.sequence().to_be_bytes());
                let entry = self.sealer.append(&data);
                RunEntry {
                    digest: H256(entry.digest.0),
                    tag: H256(entry.tag.0),
                }
            })
            .collect();
        Run {
            device: self.device,
            sequence,
            previous: H256(previous.0),
            entries: entries.try_into().expect("runs here are short"),
            signature: signed.then(|| sign_head(&self.key, &self.sealer.head())),
        }
    }
}

fn benchmark(criterion: &mut Criterion) {
    let mut chain = Chain::new();
    let paper = chain.enrol(PAPER, 1_024);
    let signed = chain.enrol(SIGNED, 1_024);
    let mut group = criterion.benchmark_group("block with one batch");
    for (policy, is_signed, mut phones) in [
        ("HashchainOnly", false, paper),
        ("DeviceSigned", true, signed),
    ] {
        for (runs, length) in [(1_024, 1), (64, 16)] {
            group.throughput(Throughput::Elements((runs * length) as u64));
            group.sample_size(20);
            group.bench_function(format!("{policy}, {runs} runs of {length}"), |bencher| {
                bencher.iter_custom(|blocks| {
                    (0..blocks)
                        .map(|_| {
                            let batch: Vec<_> = phones[..runs]
                                .iter_mut()
                                .map(|phone| phone.run(length, is_signed))
                                .collect();
                            let call = pallet_client_hashchain::Call::submit_batch {
                                runs: batch.try_into().expect("as many as a batch takes"),
                            };
                            let extrinsic = chain.sign(Dave, RuntimeCall::ClientHashchain(call));
                            chain.block(&[extrinsic])
                        })
                        .sum()
                });
            });
        }
    }
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
