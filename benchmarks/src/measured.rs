// SPDX-License-Identifier: Apache-2.0

//! What a measurement found.

use serde::{Deserialize, Serialize};

/// One system, given one entry file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Which system, in which form.
    pub(crate) system: String,
    /// Entries that were registered.
    pub(crate) entries: usize,
    /// Entries that were refused.
    pub(crate) refused: usize,
    /// Seconds from the first batch to the last that was confirmed.
    pub(crate) seconds: f64,
    /// Seconds of processor time, the generator's or client's own included.
    pub(crate) processor_seconds: f64,
    /// Seconds that the runtime's weights charge for it, where they are known.
    pub(crate) charged_seconds: Option<f64>,
    /// Bytes on disk an entry; none where nothing goes there.
    pub(crate) bytes_per_entry: Option<f64>,
    /// Bytes an entry that no node ever deletes: of the transactions in blocks, and of the journal; none where that is not known.
    pub(crate) permanent_bytes: Option<f64>,
    /// How long batches took to be confirmed, in seconds: half of the entries, 99 of 100, the last.
    pub(crate) latency: Option<Latency>,
    /// Proposals of blocks that were discarded, because they took too long.
    pub(crate) discarded: Option<usize>,
    /// Seconds until the longest of the other proposals was ready.
    pub(crate) longest_proposal: Option<f64>,
}

/// How long entries took from submission to confirmation, or nodes from their start until they answered, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Half of them.
    pub(crate) p50: f64,
    /// 99 of a hundred.
    pub(crate) p99: f64,
    /// All.
    pub(crate) max: f64,
}

impl Measured {
    /// Entries a second.
    pub(crate) fn rate(&self) -> f64 {
        self.entries as f64 / self.seconds
    }

    /// Microseconds an entry.
    pub(crate) fn microseconds(&self) -> f64 {
        self.seconds * 1e6 / (self.entries as f64).max(1.0)
    }

    /// Microseconds an entry by the runtime's weights.
    pub(crate) fn charged_microseconds(&self) -> Option<f64> {
        Some(self.charged_seconds? * 1e6 / (self.entries as f64).max(1.0))
    }

    /// Seconds of processor time for a million entries.
    pub(crate) fn processor_per_million(&self) -> f64 {
        self.processor_seconds * 1e6 / (self.entries as f64).max(1.0)
    }
}

impl Latency {
    /// Of waits in seconds, in any order. Batches have the same size, so each stands for as many entries.
    pub(crate) fn of(mut waits: Vec<f64>) -> Option<Self> {
        waits.sort_by(f64::total_cmp);
        let at = |share: f64| waits.get(((waits.len().checked_sub(1)?) as f64 * share) as usize);
        Some(Latency {
            p50: *at(0.5)?,
            p99: *at(0.99)?,
            max: *at(1.0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_waits() {
        let waits = (0..=100).rev().map(f64::from).collect();
        let latency = Latency::of(waits).expect("there are some");
        assert_eq!((latency.p50, latency.p99, latency.max), (50.0, 99.0, 100.0));
        assert!(Latency::of(Vec::new()).is_none());
    }
}
