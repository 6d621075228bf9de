// SPDX-License-Identifier: Apache-2.0

//! Who did what, when and why. The database refuses to change or delete a line, and each line's hash covers the one before
//! it, so that a line that was changed behind the database's back shows.

use hashchain::encoding::hash;
use hashchain::Native;
use mhealth_api::Hash;
use serde::{Deserialize, Serialize};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogLine {
    /// From 1, without gaps.
    pub id: u64,
    /// Seconds since 1970.
    pub at: u64,
    /// Who: an administrator's name, `device`, `server`, or `operator`.
    pub actor: String,
    /// What, such as `code issued`.
    pub action: String,
    /// To what, such as `code 3` or `device 12`.
    pub subject: String,
    /// Why, in the actor's words.
    pub why: String,
    /// `H("log", u64 id, u64 at, actor, action, subject, why, hash of the line before)`; 32 zero bytes before the first.
    pub hash: Hash,
}

/// What is to be logged.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    /// Seconds since 1970.
    pub at: u64,
    /// Who.
    pub actor: &'a str,
    /// What.
    pub action: &'a str,
    /// To what.
    pub subject: &'a str,
    /// Why.
    pub why: &'a str,
}

/// Where the chain of hashes does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} of the log is missing or was changed")]
pub struct Tampered(pub u64);

impl LogLine {
    /// The line after the one of this number and hash.
    pub(crate) fn following(number: u64, previous: &Hash, note: Note<'_>) -> Self {
        let mut line = Self {
            id: number + 1,
            at: note.at,
            actor: note.actor.to_owned(),
            action: note.action.to_owned(),
            subject: note.subject.to_owned(),
            why: note.why.to_owned(),
            hash: *previous,
        };
        line.hash = line.computed(previous);
        line
    }

    fn computed(&self, previous: &Hash) -> Hash {
        Hash(hash::<Native>(
            "log",
            &[
                &self.id.to_be_bytes(),
                &self.at.to_be_bytes(),
                self.actor.as_bytes(),
                self.action.as_bytes(),
                self.subject.as_bytes(),
                self.why.as_bytes(),
                &previous.0,
            ],
        ))
    }
}

/// Checks that the log is as it was written. `previous` is the hash of the line before the first of `lines`, and 32
/// zero bytes before line 1.
pub fn verify(mut previous: Hash, lines: &[LogLine]) -> Result<Hash, Tampered> {
    let first = lines.first().map_or(0, |line| line.id);
    for (expected, line) in (first..).zip(lines) {
        if line.id != expected || line.hash != line.computed(&previous) {
            return Err(Tampered(expected));
        }
        previous = line.hash;
    }
    Ok(previous)
}
