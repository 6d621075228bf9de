// SPDX-License-Identifier: Apache-2.0

//! What validators log of the blocks that they propose.

use std::collections::HashSet;
use std::time::Duration;

use crate::say;

/// The proposals of all validators since a measurement began. A log keeps its last lines only, so it has to be read now and then.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    /// The lines that were read, those from before the measurement, too.
    read: HashSet<String>,
    discarded: usize,
    longest: Option<Duration>,
}

impl Proposals {
    /// Forgets what was counted, for another measurement.
    pub(crate) fn begin(&mut self) {
        (self.discarded, self.longest) = Default::default();
    }

    /// Counts what is new in a log, and prints which proposals were thrown away.
    pub(crate) fn read(&mut self, log: &str) {
        for line in log.lines() {
            let ready = Ready::of(line);
            let is_discarded = line.contains("Discarding proposal");
            if (ready.is_none() && !is_discarded) || !self.read.insert(line.to_owned()) {
                continue;
            }
            self.longest = self.longest.max(ready.map(|ready| ready.after));
            if is_discarded {
                self.discarded += 1;
                say(format_args!("{line}\n"));
            }
        }
    }

    /// How many were thrown away, because they took too long.
    pub(crate) fn discarded(&self) -> usize {
        self.discarded
    }

    /// After how long the longest of the others was ready.
    pub(crate) fn longest(&self) -> Option<Duration> {
        self.longest
    }
}

/// A proposal that was ready in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// From when its author began until it was executed, with its storage root.
    pub(crate) after: Duration,
    /// How many transactions it has.
    pub(crate) transactions: u64,
}

impl Ready {
    /// What a line of a log says, if it is about such a proposal.
    pub(crate) fn of(line: &str) -> Option<Self> {
        let (_, about) = line.split_once("Prepared block")?;
        let after = |mark: &str| {
            let (_, rest) = about.split_once(mark)?;
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        Some(Ready {
            after: Duration::from_millis(after(" (")?),
            transactions: after("extrinsics_count: ")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(number: u32, milliseconds: u32) -> String {
        format!(
            "2026-12-01 10:00:00 🎁 Prepared block for proposing at {number} ({milliseconds} ms) hash: 0x07; \
             parent_hash: 0x06; end: NoMoreTransactions; extrinsics_count: 141\n"
        )
    }

    #[test]
    fn the_longest_proposal_of_a_measurement_is_found_however_often_a_log_is_read() {
        let mut proposals = Proposals::default();
        let before = prepared(1, 1_900);
        proposals.read(&before);
        proposals.begin();
        assert_eq!(proposals.longest(), None);

        let log = before
            + &prepared(2, 400)
            + &prepared(3, 1_350)
            + "2026-12-01 10:00:02 ⌛️ Discarding proposal for slot 7; block production took too long\n"
            + "2026-12-01 10:00:02 Imported #3 (2500 ms)\n";
        for _ in 0..2 {
            proposals.read(&log);
        }
        assert_eq!(proposals.longest(), Some(Duration::from_millis(1_350)));
        assert_eq!(proposals.discarded(), 1);
    }

    #[test]
    fn a_line_says_when_a_proposal_was_ready_and_what_it_has() {
        let ready = Ready {
            after: Duration::from_millis(33),
            transactions: 141,
        };
        assert_eq!(Ready::of(&prepared(12, 33)), Some(ready));
        assert_eq!(Ready::of("Imported #12 (0x07…)"), None);
    }
}
