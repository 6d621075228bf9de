// SPDX-License-Identifier: Apache-2.0

//! Builds the Wasm form of this runtime, which the chain itself keeps and executes.

fn main() {
    #[cfg(feature = "std")]
    {
        // The target directory may lie outside the checkout, where the builder would not find Cargo.lock.
        if std::env::var_os("WASM_BUILD_WORKSPACE_HINT").is_none() {
            let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
            std::env::set_var("WASM_BUILD_WORKSPACE_HINT", workspace);
        }
        let builder = substrate_wasm_builder::WasmBuilder::init_with_defaults();
        // There is no currency; a wallet wants a symbol and decimals all the same.
        #[cfg(feature = "metadata-hash")]
        let builder = builder.enable_metadata_hash("NONE", 0);
        builder.build();
    }
}
