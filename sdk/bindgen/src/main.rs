// SPDX-License-Identifier: Apache-2.0

//! Makes bindings from compiled libraries:
//!
//! `mhealth-sdk-bindgen wasm FILE FOLDER` for TypeScript in browsers and Node.js; everything else is a command line of UniFFI's
//! own generator, `mhealth-sdk-bindgen generate --library FILE --language LANGUAGE --out-dir FOLDER`.

use std::env::args;

use anyhow::{bail, Context};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    if args().nth(1).as_deref() != Some("wasm") {
        uniffi::uniffi_bindgen_main();
        return Ok(());
    }
    let (Some(input), Some(output), None) = (args().nth(2), args().nth(3), args().nth(4)) else {
        bail!("usage: mhealth-sdk-bindgen wasm FILE FOLDER");
    };
    Bindgen::new()
        .input_path(&input)
        .web(true)?
        .typescript(true)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .out_name("mhealth")
        .generate(&output)
        .with_context(|| format!("{input} gives no bindings"))
}
