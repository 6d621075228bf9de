// SPDX-License-Identifier: Apache-2.0

//! The program `mhealth-node`.

use std::process::ExitCode;

/// Making a block allocates a lot, for every value that is read and written.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match mhealth_node::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}
