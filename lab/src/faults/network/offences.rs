// SPDX-License-Identifier: Apache-2.0

//! What the chain keeps of validators that contradicted themselves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use codec::Decode;
use mhealth_chain_client::Account;
use mhealth_testing::finality::PATIENCE;
use mhealth_testing::node::Node;
use mhealth_testing::rpc::JsonRpc;
use serde_json::{json, Value};
use sp_crypto_hashing::{twox_128, twox_64};
use tokio::time::sleep;

use super::plan::{ACCOUNTS, VALIDATORS};

/// A session has ended within this time: 150 blocks, and some slots stay empty.
const SESSION: Duration = Duration::from_secs(15 * 60);
/// Between two looks at the chain.
const PAUSE: Duration = Duration::from_millis(500);

/// How a validator contradicted itself.
#[derive(Decode)]
enum Equivocation {
    TwoBlocks { _slot: u64 },
    TwoVotes { _set: u64, _round: u64 },
}

/// An offence, in the chain's encoding.
#[derive(Decode)]
pub(crate) struct Offence {
    session: u32,
    _equivocation: Equivocation,
    _proof: [u8; 32],
    _reporter: Option<[u8; 32]>,
    reported_in: u32,
    disabled: bool,
}

/// Account of a validator.
pub(crate) fn account(validator: usize) -> Result<[u8; 32]> {
    Ok(Account::from_secret_uri(ACCOUNTS[validator])?.id().0)
}

/// Accounts of the validators that the chain has offences of.
pub(crate) async fn offenders(node: &Node) -> Result<BTreeSet<[u8; 32]>> {
    let rpc = JsonRpc::connect(&node.url()).await?;
    let params = [json!(digits(&map())), json!(VALIDATORS + 1)];
    let keys: Vec<String> = rpc.request("state_getKeysPaged", &params).await?;
    keys.iter().map(|key| owner(key)).collect()
}

/// The account at the end of an offence's key.
fn owner(key: &str) -> Result<[u8; 32]> {
    let bytes = hex::decode(key.trim_start_matches("0x"))?;
    let owner = bytes.last_chunk();
    owner.copied().context("an offence of nobody")
}

/// Waits for a session of which the chain has no offence of this validator; returns its number. It keeps one of a kind for each,
/// so a second one in the same session would show nothing.
pub(crate) async fn fresh_session(node: &Node, validator: &[u8; 32]) -> Result<u32> {
    let deadline = Instant::now() + SESSION;
    loop {
        let session = session(node).await?;
        let known = latest(node, validator).await?;
        if known.is_none_or(|known| known.session < session) {
            return Ok(session);
        }
        if Instant::now() > deadline {
            bail!("session {session} did not end within {SESSION:?}");
        }
        sleep(PAUSE).await;
    }
}

/// Waits until the chain has an offence of this validator in this session or later, and returns the latest.
pub(crate) async fn wait_until_recorded(
    node: &Node,
    validator: &[u8; 32],
    since: u32,
) -> Result<Offence> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let known = latest(node, validator).await?;
        if let Some(known) = known.filter(|known| known.session >= since) {
            return Ok(known);
        }
        if Instant::now() > deadline {
            bail!("no offence since session {since} is recorded");
        }
        sleep(PAUSE).await;
    }
}

/// Makes sure of what followed: the chain keeps one of four validators from making blocks in a session and no second, so either
/// the offender or one that contradicted itself before it in this session. Says which.
pub(crate) async fn check_disabled(
    node: &Node,
    validator: usize,
    offence: &Offence,
) -> Result<&'static str> {
    let rpc = JsonRpc::connect(&node.url()).await?;
    let block = rpc
        .request("chain_getBlockHash", &[json!(offence.reported_in)])
        .await?;
    let key = [twox_128(b"Session"), twox_128(b"DisabledValidators")].concat();
    let disabled: Option<Vec<(u32, u32)>> = stored_at(&rpc, &key, block).await?;
    let disabled = disabled.unwrap_or_default();
    let [(place, _)] = disabled[..] else {
        bail!("not one validator is disabled, but {disabled:?}");
    };
    let is_it = place as usize == validator;
    ensure!(
        is_it == offence.disabled,
        "the offence says the contrary: {disabled:?}"
    );
    Ok(match is_it {
        true => "recorded and disabled",
        false => "recorded; another one is disabled",
    })
}

/// The latest offence of a validator.
async fn latest(node: &Node, validator: &[u8; 32]) -> Result<Option<Offence>> {
    let key = [&map()[..], &twox_64(validator), validator].concat();
    let offences: Option<Vec<Offence>> = stored(node, &key).await?;
    Ok(offences.and_then(|mut offences| offences.pop()))
}

/// The number of the present session.
async fn session(node: &Node) -> Result<u32> {
    let key = [twox_128(b"Session"), twox_128(b"CurrentIndex")].concat();
    Ok(stored(node, &key).await?.unwrap_or_default())
}

/// The prefix of all offences.
fn map() -> Vec<u8> {
    [twox_128(b"Accountability"), twox_128(b"Offences")].concat()
}

/// What is stored under a key at the last final block, if anything is.
async fn stored<T: Decode>(node: &Node, key: &[u8]) -> Result<Option<T>> {
    let rpc = JsonRpc::connect(&node.url()).await?;
    let last: Value = rpc.request("chain_getFinalizedHead", &[]).await?;
    stored_at(&rpc, key, last).await
}

/// The same at a block.
async fn stored_at<T: Decode>(rpc: &JsonRpc, key: &[u8], block: Value) -> Result<Option<T>> {
    let value: Option<String> = rpc
        .request("state_getStorage", &[json!(digits(key)), block])
        .await?;
    let Some(value) = value else {
        return Ok(None);
    };
    let bytes = hex::decode(value.trim_start_matches("0x"))?;
    Ok(Some(T::decode(&mut &bytes[..])?))
}

fn digits(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offence_is_read_as_the_chain_writes_it() {
        let slot = [&[0_u8][..], &7_u64.to_le_bytes()].concat();
        let votes = [&[1_u8][..], &2_u64.to_le_bytes(), &3_u64.to_le_bytes()].concat();
        let (nobody, somebody) = (vec![0_u8], [&[1_u8][..], &[9; 32]].concat());
        let mut bytes = vec![2_u8 << 2];
        for (session, kind, reporter, disabled) in
            [(4_u32, slot, nobody, 0), (5, votes, somebody, 1)]
        {
            bytes.extend(session.to_le_bytes());
            bytes.extend(kind);
            bytes.extend([8; 32]);
            bytes.extend(reporter);
            bytes.extend(70_u32.to_le_bytes());
            bytes.push(disabled);
        }
        let mut left = &bytes[..];
        let offences = Vec::<Offence>::decode(&mut left).expect("offences");
        let read: Vec<_> = offences
            .iter()
            .map(|one| (one.session, one.reported_in, one.disabled))
            .collect();
        assert_eq!(read, [(4, 70, false), (5, 70, true)]);
        assert!(left.is_empty());
    }

    #[test]
    fn the_key_of_an_offence_names_whose_it_is() {
        let key = [&map()[..], &twox_64(&[7; 32]), &[7; 32]].concat();
        assert_eq!(owner(&digits(&key)).expect("a key"), [7; 32]);
        assert!(owner("0x07").is_err());
    }
}
