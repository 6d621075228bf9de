// SPDX-License-Identifier: Apache-2.0

//! A validator's own file system, which can be made full.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::wires::run;

/// How many bytes it may hold when it is not full. It takes as much memory as is on it.
const ROOM: u64 = 4 << 30;
/// How many bytes are left when it is full: less than a validator writes in a few blocks.
const LEFT: u64 = 64 << 10;
/// How often it is tried to make it full: whoever writes meanwhile may need more than was left to it.
const TRIES: usize = 10;

/// A file system in memory, which nobody sees but this program and what it starts, and which is gone with them.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts one here. Fails where this program may not, which it may in namespaces of its own.
    pub(crate) fn mount(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let options = format!("size={ROOM},mode=755");
        let place = text(&folder)?;
        run(&["mount", "-t", "tmpfs", "-o", &options, "validator", place])?;
        Ok(Disk(folder))
    }

    /// Leaves room for next to nothing more.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut tries = (0..TRIES).map(|_| self.resize(self.used()? + LEFT));
        let full = tries.find(Result::is_ok);
        full.context("it did not get full")?
    }

    /// Gives it its room back.
    pub(crate) fn free(&self) -> Result<()> {
        self.resize(ROOM)
    }

    /// Fails if more is on it.
    fn resize(&self, bytes: u64) -> Result<()> {
        let options = format!("remount,size={bytes}");
        run(&["mount", "-o", &options, text(&self.0)?]).map(drop)
    }

    /// Bytes that are on it.
    fn used(&self) -> Result<u64> {
        let said = run(&["df", "--block-size=1", "--output=used", text(&self.0)?])?;
        used(&said).with_context(|| format!("df says {said:?}"))
    }
}

/// The number below the heading.
fn used(said: &str) -> Option<u64> {
    said.lines().nth(1)?.trim().parse().ok()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the folder's name is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stands_below_the_heading() {
        assert_eq!(used("      Used\n  98304\n"), Some(98_304));
        assert_eq!(used("98304\n"), None);
    }
}
