// SPDX-License-Identifier: Apache-2.0

//! What anybody can check, for TypeScript.

use mhealth_sdk::checks::{self, ChainedEntry, Origin, Reader};
use mhealth_sdk::SdkError;
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::phone::{json, thrown};

/// A chain to be checked, as JSON.
#[derive(Deserialize)]
struct Chain {
    origin: Origin,
    entries: Vec<ChainedEntry>,
    #[serde(with = "mhealth_sdk::digits")]
    head: Vec<u8>,
    #[serde(with = "mhealth_sdk::digits")]
    signature: Vec<u8>,
}

/// `enc` and `H`. Gives `{encoding, hash}`.
#[wasm_bindgen(js_name = hashParts)]
pub fn hash_parts(label: &str, parts: Vec<js_sys::Uint8Array>) -> String {
    let parts: Vec<Vec<u8>> = parts.iter().map(js_sys::Uint8Array::to_vec).collect();
    json(&checks::hash_parts(label, &parts))
}

/// Checks a chain, `{origin, entries, head, signature}`. Gives how many entries there are.
#[wasm_bindgen(js_name = checkChain)]
pub fn check_chain(chain: &str) -> Result<f64, JsValue> {
    let chain: Chain = serde_json::from_str(chain)
        .map_err(|error| thrown(SdkError::new("wrong_length", error.to_string())))?;
    let checked = checks::check_chain(&chain.origin, &chain.entries, &chain.head, &chain.signature);
    Ok(checked.map_err(thrown)? as f64)
}

/// Reads proofs of one device's head.
#[wasm_bindgen]
pub struct ProofReaderCore(Reader);

#[wasm_bindgen]
impl ProofReaderCore {
    /// For a device of the chain that begins with a block of this hash, read by somebody who trusts these blocks.
    #[wasm_bindgen(constructor)]
    pub fn new(genesis: &[u8], device: u32, checkpoints: Vec<String>) -> Result<Self, JsValue> {
        let reader = Reader::new(genesis, device).and_then(|it| it.trusting(&checkpoints));
        reader.map(Self).map_err(thrown)
    }

    /// What a proof shows: `{block, set, length, head, key}`. Throws `proof_on_the_way` when another one is needed, from the present
    /// set on.
    pub fn check(&mut self, proof: &[u8]) -> Result<String, JsValue> {
        Ok(json(&self.0.check(proof).map_err(thrown)?))
    }

    /// The number of the set of authorities that the next proof is to lead on from; none before the first proof.
    pub fn set(&self) -> Option<f64> {
        self.0.set().map(|set| set as f64)
    }
}
