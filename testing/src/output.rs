// SPDX-License-Identifier: Apache-2.0

//! What programs leave: the folders that they write their results into, and the lines that they print.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

/// Empties the output folder, or makes it, and gives its full path, for programs that run elsewhere. What an earlier run left
/// there is replaced, but only if its mark shows that the folder is `whose` own.
pub fn prepare(output: &Path, mark: &str, whose: &str) -> Result<PathBuf> {
    if output.exists() {
        if !output.join(mark).exists() {
            bail!(
                "the folder {} is not one of {whose} own; name another by --output",
                output.display()
            );
        }
        std::fs::remove_dir_all(output)?;
    }
    std::fs::create_dir_all(output)
        .with_context(|| format!("cannot make the folder {}", output.display()))?;
    std::fs::write(output.join(mark), "")?;
    Ok(output.canonicalize()?)
}

/// A value of a line `key=value key=value …`, as our programs print them for machines.
pub fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = line
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
}
