// SPDX-License-Identifier: Apache-2.0

//! An audit asks the runtime's code how blocks read, and gets the metadata that programs are built with.

use mhealth_auditor::chain::metadata_of;
use mhealth_runtime::{WASM_BINARY, WASM_BINARY_BLOATY};

#[test]
fn the_runtimes_code_gives_the_metadata_that_programs_are_built_with() {
    let known = std::fs::read("../chain-client/metadata/mhealth.scale").expect("it is there");
    // As the chain has it, and not packed.
    for code in [WASM_BINARY, WASM_BINARY_BLOATY] {
        let code = code.expect("the runtime is built as Wasm");
        let metadata = metadata_of(code).expect("it has metadata");
        assert!(metadata == known, "it is another");
        metadata_of(&code[..code.len() / 2]).expect_err("it is cut off");
    }
}
