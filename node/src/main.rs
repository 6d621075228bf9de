// SPDX-License-Identifier: Apache-2.0

//! The program `mhealth-node`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match mhealth_node::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}
