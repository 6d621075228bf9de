// SPDX-License-Identifier: Apache-2.0

//! Which chain a node belongs to.

use codec::Decode;
use mhealth_runtime::{
    genesis,
    limits::{HOURS, LEAST_LAG},
    RuntimeGenesisConfig, WASM_BINARY,
};
use sc_chain_spec::json_patch;
use sc_service::{ChainSpec as _, ChainType, Properties};
use serde_json::json;
use sp_core::storage::{well_known_keys::CODE, Storage};
use sp_genesis_builder::{DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use sp_runtime::BuildStorage;

use crate::well_known_keys;

/// A specification without extensions.
type GenericChainSpec =
    sc_service::GenericChainSpec<sc_chain_spec::NoExtension, mhealth_runtime::HostFunctions>;

/// What a specification is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be read and edited by people: the genesis as a patch, in words.
    Export,
    /// To run a node: the genesis as storage, at once.
    Run,
}

/// The chain that `--chain` names: `dev`, `local` (the default), or the path of a specification.
///
/// # Errors
///
/// A sentence for the operator: the file cannot be read, or it specifies a live chain whose genesis contains a key that
/// everybody knows the secret of, less than an hour for a veto, or less patience with finality than the runtime's own.
pub(crate) fn load(id: &str, purpose: Purpose) -> Result<Box<dyn sc_service::ChainSpec>, String> {
    let spec: Box<dyn sc_service::ChainSpec> = match id {
        "dev" => Box::new(DEVELOPMENT.spec(purpose)?),
        "" | "local" => Box::new(LOCAL.spec(purpose)?),
        path => Box::new(GenericChainSpec::from_json_file(path.into())?),
    };
    if spec.chain_type() == ChainType::Live {
        let genesis = spec.as_storage_builder().build_storage()?;
        well_known_keys::refuse(spec.name(), &genesis)?;
        refuse_short_veto(spec.name(), &genesis)?;
        refuse_short_stall(spec.name(), &genesis)?;
    }
    Ok(spec)
}

/// Refuses a genesis in which a sponsor would have less than an hour to veto a retirement, as in the presets, which are for trials.
fn refuse_short_veto(name: &str, genesis: &Storage) -> Result<(), String> {
    match number(genesis, &genesis::retirement_delay_key()) {
        Some(blocks) if blocks < HOURS => Err(format!(
            "in the live chain \"{name}\" a retirement that an authentication server asks for would hold after {blocks} blocks of \
             two seconds, too soon for the study's sponsor to veto it. Set clientHashchain.retirementDelay to at least an hour \
             ({HOURS}), or take the line out for a day (43200)."
        )),
        _ => Ok(()),
    }
}

/// Refuses a genesis by which the consortium could take finality for lost while it is alive: nodes show the chain a final block once a
/// minute only.
fn refuse_short_stall(name: &str, genesis: &Storage) -> Result<(), String> {
    match number(genesis, &genesis::least_lag_key()) {
        Some(blocks) if blocks < LEAST_LAG => Err(format!(
            "in the live chain \"{name}\" authorities could be changed by force when the last final block that the chain knows of lies \
             {blocks} blocks behind, as it may while finality is alive. Take finality.leastLag out, or set it to {LEAST_LAG} or more."
        )),
        _ => Ok(()),
    }
}

/// What a genesis has under this key, if it is a number of blocks.
fn number(genesis: &Storage, key: &[u8]) -> Option<u32> {
    let value = genesis.top.get(key)?;
    u32::decode(&mut &value[..]).ok()
}

/// A chain that begins with a preset of the runtime.
struct Preset {
    name: &'static str,
    id: &'static str,
    chain_type: ChainType,
    preset: &'static str,
}

/// One validator, a ready study: for researchers and tests on one machine.
const DEVELOPMENT: Preset = Preset {
    name: "mHealth Chain Development",
    id: "mhealth_dev",
    chain_type: ChainType::Development,
    preset: DEV_RUNTIME_PRESET,
};

/// Four validators, a ready study: for a network on one machine.
const LOCAL: Preset = Preset {
    name: "mHealth Chain Local",
    id: "mhealth_local",
    chain_type: ChainType::Local,
    preset: LOCAL_TESTNET_RUNTIME_PRESET,
};

impl Preset {
    fn spec(&self, purpose: Purpose) -> Result<GenericChainSpec, String> {
        let code = WASM_BINARY.ok_or(
            "this node was built without a Wasm runtime (SKIP_WASM_BUILD); build it again",
        )?;
        let mut spec = GenericChainSpec::builder(code, None)
            .with_name(self.name)
            .with_id(self.id)
            .with_chain_type(self.chain_type.clone())
            .with_properties(properties())
            .with_genesis_config_preset_name(self.preset)
            .build();
        if purpose == Purpose::Run {
            spec.set_storage(self.storage(code)?);
        }
        Ok(spec)
    }

    /// The genesis, built by the runtime as it is compiled into this program.
    ///
    /// The Wasm runtime builds the same, but has to be compiled for it twice, which takes seconds.
    fn storage(&self, code: &[u8]) -> Result<Storage, String> {
        let unreadable = |error: serde_json::Error| format!("preset {}: {error}", self.preset);
        let patch = genesis::preset(&self.preset.into())
            .ok_or_else(|| format!("the runtime has no preset {}", self.preset))?;
        let patch = serde_json::from_slice(&patch).map_err(unreadable)?;
        let mut config =
            serde_json::to_value(RuntimeGenesisConfig::default()).map_err(unreadable)?;
        json_patch::merge(&mut config, patch);
        let config: RuntimeGenesisConfig = serde_json::from_value(config).map_err(unreadable)?;
        let mut storage = config.build_storage()?;
        storage.top.insert(CODE.to_vec(), code.to_vec());
        Ok(storage)
    }
}

/// What wallets and polkadot-js Apps want to know. There is no token, and where nothing is said, they invent one.
fn properties() -> Properties {
    let mut properties = Properties::new();
    properties.insert("ss58Format".into(), json!(42));
    properties.insert("isEthereum".into(), json!(false));
    properties.insert("tokenSymbol".into(), json!(""));
    properties.insert("tokenDecimals".into(), json!(0));
    properties
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use codec::Encode;
    use sp_keyring::Sr25519Keyring;
    use tempfile::TempDir;

    use super::*;

    /// A raw specification of this type, whose genesis has one value.
    fn file(directory: &TempDir, chain_type: &str, key: &[u8], value: &[u8]) -> PathBuf {
        let [key, value] = [key, value].map(|bytes| sp_core::bytes::to_hex(bytes, false));
        let spec = json!({
            "name": "A trial",
            "id": "a_trial",
            "chainType": chain_type,
            "bootNodes": [],
            "telemetryEndpoints": null,
            "protocolId": null,
            "properties": null,
            "codeSubstitutes": {},
            "genesis": { "raw": { "top": { key: value }, "childrenDefault": {} } },
        });
        let path = directory.path().join("spec.json");
        fs::write(&path, spec.to_string()).expect("the directory is ours");
        path
    }

    fn load_file(chain_type: &str, value: &[u8]) -> Result<String, String> {
        load_value(chain_type, &[1], value)
    }

    fn load_value(chain_type: &str, key: &[u8], value: &[u8]) -> Result<String, String> {
        let directory = TempDir::new().expect("there is room for a directory");
        let path = file(&directory, chain_type, key, value);
        let spec = load(path.to_str().expect("its name is ASCII"), Purpose::Run)?;
        Ok(spec.name().to_string())
    }

    #[test]
    fn a_live_chain_with_a_well_known_key_is_refused_by_name() {
        let key = Sr25519Keyring::Eve.to_raw_public();
        let refusal = load_file("Live", &key).expect_err("everybody can sign as Eve");
        assert!(refusal.contains("A trial"), "{refusal}");
        assert!(refusal.contains("//Eve (sr25519)"), "{refusal}");
    }

    #[test]
    fn a_live_chain_with_keys_of_its_own_is_loaded() {
        assert_eq!(load_file("Live", &[7; 32]), Ok("A trial".into()));
    }

    #[test]
    fn a_live_chain_with_less_than_an_hour_for_a_veto_is_refused() {
        let key = genesis::retirement_delay_key();
        let load = |chain_type, blocks: u32| load_value(chain_type, &key, &blocks.encode());
        let preset = genesis::RETIREMENT_DELAY;
        for blocks in [0, 1, preset, preset + 1, 1_799] {
            let refusal = load("Live", blocks).expect_err("nobody can veto in time");
            assert!(refusal.contains("A trial"), "{refusal}");
            assert!(
                refusal.contains("clientHashchain.retirementDelay"),
                "{refusal}"
            );
        }
        assert_eq!(load("Live", 1_800), Ok("A trial".into()));
        assert_eq!(
            load("Local", genesis::RETIREMENT_DELAY),
            Ok("A trial".into())
        );
    }

    #[test]
    fn a_live_chain_that_takes_living_finality_for_lost_is_refused() {
        let key = genesis::least_lag_key();
        let load = |chain_type, blocks: u32| load_value(chain_type, &key, &blocks.encode());
        for blocks in [0, 20, LEAST_LAG - 1] {
            let refusal = load("Live", blocks).expect_err("it ends while it is alive");
            assert!(refusal.contains("A trial"), "{refusal}");
            assert!(refusal.contains("finality.leastLag"), "{refusal}");
        }
        assert_eq!(load("Live", LEAST_LAG), Ok("A trial".into()));
        assert_eq!(load("Development", 5), Ok("A trial".into()));
    }

    #[test]
    fn a_local_chain_may_have_well_known_keys() {
        let key = Sr25519Keyring::Eve.to_raw_public();
        assert_eq!(load_file("Local", &key), Ok("A trial".into()));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let refusal = load("nowhere/spec.json", Purpose::Run).expect_err("there is no such file");
        assert!(refusal.contains("nowhere/spec.json"), "{refusal}");
    }

    #[test]
    fn the_genesis_is_the_one_that_the_wasm_runtime_builds() {
        for preset in [DEVELOPMENT, LOCAL] {
            let [native, wasm] = [Purpose::Run, Purpose::Export].map(|purpose| {
                let spec = preset.spec(purpose).expect("the presets are ours");
                spec.build_storage().expect("the presets are valid").top
            });
            assert_eq!(native, wasm, "{}", preset.name);
        }
    }

    #[test]
    fn chains_are_known_by_their_first_block_alone() {
        for preset in [DEVELOPMENT, LOCAL] {
            let spec = preset.spec(Purpose::Export).expect("the presets are ours");
            assert_eq!(spec.protocol_id(), None, "{}", preset.name);
            assert_eq!(spec.fork_id(), None, "{}", preset.name);
        }
    }

    #[test]
    fn wallets_learn_the_address_format_and_that_there_is_no_token() {
        let properties = properties();
        assert_eq!(properties["ss58Format"], json!(42));
        assert_eq!(properties["isEthereum"], json!(false));
        assert_eq!(properties["tokenSymbol"], json!(""));
        assert_eq!(properties["tokenDecimals"], json!(0));
    }
}
