// SPDX-License-Identifier: Apache-2.0

//! Somebody who decides with the program `mhealth`, at a node.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mhealth_chain_client::create_private;
use serde_json::Value;

use crate::node::node_binary;
use crate::process::Program;

/// An account with its secret in a file, at a node.
#[derive(Clone, Debug)]
pub struct Member {
    node: String,
    secret: PathBuf,
}

impl Member {
    /// Puts the secret into a new file of this folder, which only its owner can read. `secret` is a secret URI such as `//Alice`.
    pub fn new(node: &str, secret: &str, folder: &Path) -> Result<Self> {
        let name = secret.trim_start_matches('/').replace('/', "-");
        let file = folder.join(format!("{name}.secret"));
        let written = create_private(&file).and_then(|mut file| writeln!(file, "{secret}"));
        written.with_context(|| file.display().to_string())?;
        Ok(Member {
            node: node.to_owned(),
            secret: file,
        })
    }

    /// What a command answers; the code of its error if it fails.
    pub fn does(&self, arguments: &[&str]) -> Result<Result<Value, String>> {
        let output = Program::Founders
            .command()?
            .args(arguments)
            .args(["--json", "--node", &self.node, "--account-file"])
            .arg(&self.secret)
            .env("MHEALTH_NODE", node_binary()?)
            .output()?;
        let said: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(match output.status.success() {
            true => Ok(said),
            false => Err(said["error"].as_str().unwrap_or_default().to_owned()),
        })
    }
}
