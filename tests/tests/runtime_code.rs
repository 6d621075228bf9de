// SPDX-License-Identifier: Apache-2.0

//! What others do with the runtime's code. An audit asks it how blocks read, and gets the metadata that programs are built with. A
//! node executes it, or says why it cannot.

use std::fs;

use mhealth_auditor::chain::metadata_of;
use mhealth_runtime::{WASM_BINARY, WASM_BINARY_BLOATY};
use mhealth_testing::node::{changed_specification, Launch};
use serde_json::json;

/// A function that nodes have for the runtime, and one that only later nodes have.
const FUNCTIONS: [&str; 2] = [
    "ext_run_checks_links_version_1",
    "ext_run_checks_links_version_2",
];
/// Where the code of a chain is: `:code`.
const CODE: &str = "0x3a636f6465";

#[test]
fn the_runtimes_code_gives_the_metadata_that_programs_are_built_with() {
    let known = fs::read("../chain-client/metadata/mhealth.scale").expect("it is there");
    // As the chain has it, and not packed.
    for code in [WASM_BINARY, WASM_BINARY_BLOATY] {
        let code = code.expect("the runtime is built as Wasm");
        let metadata = metadata_of(code).expect("it has metadata");
        assert!(metadata == known, "it is another");
        metadata_of(&code[..code.len() / 2]).expect_err("it is cut off");
    }
}

/// The same code, but that it asks for a function that there is not.
fn of_later_nodes() -> Vec<u8> {
    let mut code = WASM_BINARY_BLOATY.expect("it is built").to_vec();
    let [now, later] = FUNCTIONS.map(str::as_bytes);
    let places = code.windows(now.len()).enumerate();
    let places = places.filter_map(|(place, bytes)| (bytes == now).then_some(place));
    let places: Vec<usize> = places.collect();
    assert!(!places.is_empty(), "the runtime asks for {}", FUNCTIONS[0]);
    for place in places {
        code[place..place + later.len()].copy_from_slice(later);
    }
    code
}

/// So nodes come first and the runtime second: one that is older than the runtime stands still from there on.
#[test]
fn a_node_says_which_function_it_lacks_for_a_runtime_and_does_not_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("later.json");
    let chain = format!("--chain={}", file.display());
    let written = changed_specification(&file, &["--raw"], |specification| {
        let code = &mut specification["genesis"]["raw"]["top"][CODE];
        assert!(code.is_string(), "a chain has code");
        *code = json!(format!("0x{}", hex::encode(of_later_nodes())));
    });
    written.expect("written");

    let node = Launch::bare().own_runtime_cache();
    let node = node.arg(&chain);
    let Err(refusal) = node.start() else {
        panic!("it executes what it does not have");
    };
    let refusal = refusal.to_string();
    let lacks = format!("not present on the host: 'env:{}'", FUNCTIONS[1]);
    assert!(refusal.contains(&lacks), "{refusal}");
}
