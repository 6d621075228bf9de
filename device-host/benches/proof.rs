// SPDX-License-Identifier: Apache-2.0

//! What a receipt costs a phone: bytes, and the time to check it, with four authorities and as many devices as the name says.
//!
//! `cargo bench --workspace --bench proof`

#![allow(missing_docs, clippy::print_stdout)] // criterion_group! makes a public function; bytes are printed

#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{criterion_group, criterion_main, Criterion};
use hashchain::{DeviceId, LinkHash};
use mhealth_api::{DeviceStatus, Key};
use mhealth_device_host::{chain::Question, PublicKey};

use support::{
    proofs::prove,
    store_in_memory,
    world::{OnChain, World},
};

const DEVICE: DeviceId = DeviceId(77);

fn chain(devices: u32) -> World {
    let world = World::default();
    let mut state = world.state();
    state.block = 1_000;
    for number in 0..devices {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        state.devices.push(OnChain {
            key: Key(key),
            participant: mhealth_api::Hash([0; 32]),
            genesis: LinkHash(key),
            entries: Vec::new(),
            status: DeviceStatus::Active,
        });
    }
    drop(state);
    world
}

fn check(criterion: &mut Criterion) {
    for devices in [100, 100_000] {
        let world = chain(devices);
        let question = |record| Question {
            device: DEVICE,
            key: PublicKey(world.state().devices[DEVICE.0 as usize].key.0),
            record,
        };
        let cases = [
            ("first", None, true),
            ("enrolment", Some(0), true),
            ("receipt", Some(0), false),
        ];
        for (name, set, record) in cases {
            let proof = prove(&world.state(), DEVICE, set, record).to_bytes();
            let question = question(record);
            let store = store_in_memory();
            let checker = store.checker(false);
            if set.is_some() {
                // It knows the authorities by then.
                let first = prove(&world.state(), DEVICE, None, record).to_bytes();
                checker.check(&question, &first).expect("it is genuine");
            }
            println!("{name}, {devices} devices: {} bytes", proof.len());
            criterion.bench_function(&format!("{name}/{devices}"), |bencher| {
                bencher.iter(|| checker.check(&question, &proof).expect("it is genuine"));
            });
        }
    }
}

criterion_group!(benches, check);
criterion_main!(benches);
