// SPDX-License-Identifier: Apache-2.0

//! The program `mhealth-node`, which has the runtime and makes specifications.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::Failure;

/// Its name.
const NAME: &str = "mhealth-node";

/// Where the program is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NodeProgram {
    /// The program mhealth-node of your own, whose runtime the chain begins with. [default: the one beside this program, or
    /// the one that the shell finds]
    #[arg(long = "node-program", value_name = "FILE", env = "MHEALTH_NODE")]
    path: Option<PathBuf>,
}

impl NodeProgram {
    /// The specification of the chain that this name or file stands for, in words or raw.
    pub(crate) fn specification(&self, chain: &Path, raw: bool) -> Result<Value, Failure> {
        let program = self.path();
        let mut command = Command::new(&program);
        command.arg("export-chain-spec").arg("--chain").arg(chain);
        if raw {
            command.arg("--raw");
        }
        let output = command.env_remove("RUST_LOG").stdin(Stdio::null()).output();
        let output = output.map_err(|error| {
            let message = format!(
                "{} cannot be run: {error}. Name it with --node-program.",
                program.display()
            );
            Failure::input("node_program_missing", message)
        })?;
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr);
            let last = log.trim().lines().next_back().unwrap_or_default();
            let message = format!("{} refuses it: {last}", program.display());
            return Err(Failure::input("specification_refused", message));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let message = format!("{} wrote no specification: {error}.", program.display());
            Failure::input("node_program_unusable", message)
        })
    }

    fn path(&self) -> PathBuf {
        if let Some(path) = &self.path {
            return path.clone();
        }
        let beside = std::env::current_exe()
            .ok()
            .map(|program| program.with_file_name(NAME));
        match beside {
            Some(beside) if beside.is_file() => beside,
            _ => NAME.into(),
        }
    }
}
