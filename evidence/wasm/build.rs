// SPDX-License-Identifier: Apache-2.0

//! Takes the receipts of the vectors into the module, which reads no files.

use std::{env, fs, path::Path};

fn main() {
    let vectors = "../tests/vectors/head-proofs-v1.json";
    println!("cargo::rerun-if-changed={vectors}");
    let text = fs::read_to_string(vectors).expect("the vectors are there");
    let vectors: serde_json::Value = serde_json::from_str(&text).expect("they are JSON");
    let chains = vectors["chains"].as_array().expect("there are chains");
    let usual = chains.last().expect("the last one is the usual one");
    let digits = |value: &serde_json::Value| {
        let digits = value.as_str().expect("digits");
        hex::decode(digits).expect("hexadecimal digits")
    };
    let out = env::var("OUT_DIR").expect("cargo says where");
    let write = |name: &str, bytes: Vec<u8>| {
        fs::write(Path::new(&out).join(name), bytes).expect("it can be written");
    };
    write("genesis", digits(&usual["genesis"]));
    write("first", digits(&usual["steps"][0]["proof"]));
    write("receipt", digits(&usual["steps"][1]["proof"]));
}
