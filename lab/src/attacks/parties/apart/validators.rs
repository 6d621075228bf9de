// SPDX-License-Identifier: Apache-2.0

//! A validator whose keys are on two nodes, among four.

use std::time::Instant;

use anyhow::Result;
use mhealth_chain_client::{Account, ChainClient};
use mhealth_testing::node::local_with_a_twin;
use mhealth_testing::rpc::JsonRpc;
use serde_json::json;

use crate::attack::Attack;
use crate::judge::{Fate, Named, Verdict};
use crate::play::{After, Tried};

/// Its place among the validators, and its account.
const DAVE: usize = 3;
const ACCOUNT: &str = "//Dave";
/// Until this block the offence has to be on record.
const PATIENCE: u64 = 60;
/// How keys of the state begin under which the chain keeps offences, by the validator's account: `Accountability.Offences`.
const OFFENCES: &str = "0x4f5a9db3c4f41daa3be85b7470c8510cd5c41b52a371aa36c9254ce34324f2a5";
/// Hexadecimal digits of an account, with which such a key ends.
const DIGITS: usize = 64;

pub(super) async fn play(attempts: u32) -> Result<Vec<Tried>> {
    let mut all = Vec::new();
    for _ in 0..attempts {
        all.push(attempt().await?);
    }
    Ok(all)
}

/// Waits until somebody is on record, and looks who.
async fn attempt() -> Result<Tried> {
    let began = Instant::now();
    let nodes = local_with_a_twin(DAVE).await?;
    let url = nodes[0].url();
    let (chain, rpc) = (
        ChainClient::connect(&url).await?,
        JsonRpc::connect(&url).await?,
    );
    let mut blocks = chain.follow_from(1);
    let (block, named) = loop {
        let block = blocks.next().await?;
        let asked = [json!(OFFENCES), json!(16), json!(null), json!(block.hash)];
        let keys: Vec<String> = rpc.request("state_getKeysPaged", &asked).await?;
        if !keys.is_empty() || block.number >= PATIENCE {
            break (block.number, keys);
        }
    };
    let culprit: String = Account::from_secret_uri(ACCOUNT)?
        .id()
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let whose = |key: &String| key[key.len().saturating_sub(DIGITS)..] == culprit;
    let verdict = match (&named[..], named.iter().all(whose)) {
        ([], _) => Verdict {
            fate: Fate::Unseen,
            named: None,
        },
        (_, right) => Verdict {
            fate: Fate::Detected,
            named: Some(if right { Named::Alone } else { Named::Wrong }),
        },
    };
    Ok(Tried {
        attack: Attack::Equivocates,
        verdict,
        after: Some(After {
            blocks: block,
            seconds: began.elapsed().as_secs_f64(),
        }),
        waited: None,
        about: format!("on record in block {block}: {named:?}"),
    })
}
