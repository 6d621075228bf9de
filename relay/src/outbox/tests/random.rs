// SPDX-License-Identifier: Apache-2.0

//! Faults in an order that a seed makes up: whatever was accepted stands on the chain once in the end.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const DEVICES: u32 = 6;
const STEPS: usize = 80;
const SEEDS: std::ops::Range<u64> = 0..12;

#[tokio::test]
async fn random_faults_lose_and_double_nothing() {
    for seed in SEEDS {
        play(seed).await;
    }
}

async fn play(seed: u64) {
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // A node that loses what it had finalised brings transactions back to life that were given up. The chain then sees a
    // run twice, and registers it once.
    let loses_blocks = seed % 2 == 1;
    let scratch = Scratch::new().await;
    let chain = FakeChain::new();
    let mut devices: Vec<_> = (0..DEVICES).map(TestDevice::new).collect();
    let genesis: Vec<_> = devices.iter().map(TestDevice::genesis).collect();
    for device in &devices {
        chain.enrol(device.number(), device.genesis());
    }
    let start = async || Process::start(scratch.other().await, &chain, scratch.clock.clone());
    let mut processes = vec![Some(start().await), Some(start().await)];
    let mut runs = Vec::new();
    let mut blocks = 0;
    for _ in 0..STEPS {
        match random.random_range(0..16) {
            0..=4 => {
                let number = random.random_range(0..DEVICES) as usize;
                let run = devices[number].checked(random.random_range(1..4));
                runs.push(run.id);
                let decisions = accept(&scratch.store, &[candidate(run, genesis[number])]).await;
                assert!(
                    matches!(decisions[0], Ok(crate::store::Acceptance::Accepted(_))),
                    "{decisions:?}"
                );
                processes
                    .iter()
                    .flatten()
                    .for_each(|process| process.stored.notify_one());
            }
            5..=8 => {
                chain.make_block();
                blocks += 1;
            }
            9 => {
                for _ in 0..30 {
                    chain.make_block();
                    blocks += 1;
                }
            }
            10 | 11 => {
                let place = random.random_range(0..processes.len());
                match processes[place].take() {
                    Some(process) => process.kill().await,
                    None => processes[place] = Some(start().await),
                }
            }
            12 => chain.swallow(random.random()),
            13 => chain.go_away(random.random()),
            14 if loses_blocks && blocks > 0 => {
                let lost = random.random_range(0..blocks.min(5)) + 1;
                blocks -= lost;
                chain.lose_blocks_after(blocks);
            }
            14 => {}
            _ => {
                chain.use_nonce_elsewhere();
            }
        }
        scratch.pass(random.random_range(0..4)).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..8))).await;
    }
    chain.swallow(false);
    chain.go_away(false);
    for process in &mut processes {
        if process.is_none() {
            *process = Some(start().await);
        }
    }
    until_on_chain(&scratch.store, &chain, || async {
        scratch.pass(1).await;
        scratch.store.queue().await.unwrap().runs == 0
    })
    .await;
    for run in &runs {
        let submissions = chain.submissions(*run);
        assert!(
            submissions == 1 || (loses_blocks && submissions > 1),
            "seed {seed}"
        );
        assert_eq!(
            state(&scratch.store, run).await,
            RunState::Finalised,
            "seed {seed}"
        );
    }
    for device in &devices {
        assert_eq!(chain.head(device.number()), device.head(), "seed {seed}");
    }
    for process in processes.into_iter().flatten() {
        process.stop().await;
    }
}
