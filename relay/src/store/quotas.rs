// SPDX-License-Identifier: Apache-2.0

//! How much of a device is kept, and whose runs go to the chain first.
//!
//! # Turns
//!
//! Runs go to the chain by turns, so that a device that sends much waits behind its own runs and others do not. A clock, which
//! stands at the turn of the first run that waits, counts entries as if each device got one of them through at a time. A run gets
//! the turn at which its device's run before it is through, or the present one if that is later. So the runs of one device keep
//! their order, and a newcomer comes right after the first ones of everybody. (Goyal, Vin, Cheng: Start-time fair queueing, 1996.)
//!
//! The clock never goes back. What comes back from a transaction keeps its turn and goes first; what was refused and is sent again
//! is a newcomer, or goes with the first of its device's runs that follow it and wait. By a clock that stood at a turn of long ago, all that went to the chain since would count as waiting.
//!
//! How far a device's next turn is ahead of the clock is how many of its entries wait.

use std::time::Duration;

use mhealth_api::Code;

use crate::run::CheckedRun;

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;
/// Bytes of an entry beside its envelope.
const ENTRY: u64 = 64;
/// How long a device is told to wait whose entries wait.
const QUEUE_WAIT: Duration = Duration::from_secs(10);
/// Entries of a device that may wait however full the queue is, if that takes any: the longest run.
const LEAST_QUEUED: u64 = hashchain::MAX_RUN_LENGTH as u64;

/// How much of a device is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Runs that contradict its history.
    pub rivals: u32,
    /// Bytes that it may send in a day, and at once.
    pub bytes_per_day: u64,
    /// Bytes that are kept.
    pub bytes: u64,
    /// Entries that may wait for the chain.
    pub queued_entries: u64,
}

impl Quotas {
    /// The quotas while so many entries of all devices wait, of so many that may. The fuller the queue, the less of it may one
    /// device have: however many of them fill it, there is room left for others.
    pub fn at(&self, queued: u64, most: u64) -> Self {
        let room = u128::from(most.saturating_sub(queued));
        let part = u128::from(self.queued_entries) * room / u128::from(most.max(1));
        let part = u64::try_from(part).unwrap_or(u64::MAX);
        Self {
            queued_entries: part.max(LEAST_QUEUED.min(self.queued_entries)),
            ..*self
        }
    }
}

/// What a device takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes that are kept.
    pub(super) bytes: u64,
    /// Bytes that count for the day, as they did at `day_at`, in milliseconds since 1970.
    pub(super) day: u64,
    pub(super) day_at: u64,
    /// The turn of its next run, if that is not past.
    pub(super) turn: u64,
    /// Whether its envelopes were ordered to be erased.
    pub(super) is_erased: bool,
}

impl Usage {
    /// Counts a run that comes when the clock of turns stands at `clock`, and gives its turn; or says which quota it exceeds, and
    /// when to come again, if that ends by itself. Then nothing is counted.
    pub(super) fn take(
        &mut self,
        run: &CheckedRun,
        quotas: &Quotas,
        now: u64,
        clock: u64,
    ) -> Result<u64, (Code, Option<Duration>)> {
        // By the time of a clock that was ahead, nothing would fade before that time has come.
        self.day_at = self.day_at.min(now);
        let entries = run.run.entries.len() as u64;
        let size = run.envelopes.len() as u64 + ENTRY * entries;
        let turn = self.next_turn(entries, quotas, clock)?;
        if self.bytes.saturating_add(size) > quotas.bytes {
            return Err((Code::DeviceStorageFull, None));
        }
        let day = self.day_by(now, quotas.bytes_per_day);
        // And who has sent nothing may send a run, whatever its size.
        let excess = day
            .saturating_add(size)
            .saturating_sub(quotas.bytes_per_day);
        if day > 0 && excess > 0 {
            let wait = u128::from(excess.min(day)) * u128::from(DAY)
                / u128::from(quotas.bytes_per_day.max(1));
            let wait = u64::try_from(wait).unwrap_or(DAY).min(DAY);
            return Err((Code::DeviceBytesUsed, Some(Duration::from_millis(wait + 1))));
        }
        *self = Self {
            bytes: self.bytes + size,
            day: day.saturating_add(size).min(quotas.bytes_per_day),
            day_at: now,
            turn: turn + entries,
            is_erased: self.is_erased,
        };
        Ok(turn)
    }

    /// Gives a turn to a run that was refused and is to go to the chain once more. Its bytes were counted when it came first.
    pub(super) fn take_again(
        &mut self,
        run: &CheckedRun,
        quotas: &Quotas,
        clock: u64,
    ) -> Result<u64, (Code, Option<Duration>)> {
        let entries = run.run.entries.len() as u64;
        let turn = self.next_turn(entries, quotas, clock)?;
        self.turn = turn + entries;
        Ok(turn)
    }

    /// The turn of a run of so many entries, if they may wait.
    fn next_turn(
        &self,
        entries: u64,
        quotas: &Quotas,
        clock: u64,
    ) -> Result<u64, (Code, Option<Duration>)> {
        let turn = self.turn.max(clock);
        // Who has nothing waiting may send a run, whatever its length.
        let waiting = turn - clock;
        if waiting > 0 && waiting + entries > quotas.queued_entries {
            return Err((Code::DeviceQueueFull, Some(QUEUE_WAIT)));
        }
        Ok(turn)
    }

    /// What still counts of what counted: a quota less each day.
    fn day_by(&self, now: u64, quota: u64) -> u64 {
        let since = u128::from(now.saturating_sub(self.day_at));
        let faded = since * u128::from(quota) / u128::from(DAY);
        let faded = u64::try_from(faded).unwrap_or(u64::MAX);
        self.day.saturating_sub(faded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDevice;

    const QUOTAS: Quotas = Quotas {
        rivals: 0,
        bytes_per_day: 1_000,
        bytes: 3_000,
        queued_entries: 300,
    };

    fn size(run: &CheckedRun) -> u64 {
        run.envelopes.len() as u64 + ENTRY * run.run.entries.len() as u64
    }

    #[test]
    fn what_was_sent_counts_less_as_the_day_goes_by_and_the_wait_that_is_told_is_enough() {
        let mut device = TestDevice::new(1);
        let mut usage = Usage::default();
        let (mut now, mut sent) = (1_000_000, 0);
        let refused = loop {
            let run = device.checked(1);
            match usage.take(&run, &QUOTAS, now, sent) {
                Ok(_) => sent += 1,
                Err((code, wait)) => {
                    assert_eq!(code, Code::DeviceBytesUsed);
                    break (run, wait.unwrap());
                }
            }
        };
        assert!(sent * size(&refused.0) <= QUOTAS.bytes_per_day);
        let before = usage;
        now += refused.1.as_millis() as u64 - 1_000;
        assert!(usage.take(&refused.0, &QUOTAS, now, sent).is_err());
        assert_eq!(usage, before);
        now += 1_000;
        usage.take(&refused.0, &QUOTAS, now, sent).unwrap();
    }

    #[test]
    fn a_run_larger_than_the_day_is_taken_when_nothing_counts() {
        let quotas = Quotas {
            bytes_per_day: 1,
            ..QUOTAS
        };
        let mut device = TestDevice::new(1);
        let mut usage = Usage::default();
        usage.take(&device.checked(2), &quotas, 5, 0).unwrap();
        let again = device.checked(2);
        let (code, wait) = usage.take(&again, &quotas, 5, 2).unwrap_err();
        assert_eq!(code, Code::DeviceBytesUsed);
        assert_eq!(wait.unwrap().as_secs(), 86_400);
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_away_and_takes_nothing() {
        let mut device = TestDevice::new(1);
        let mut usage = Usage::default();
        let run = device.checked(1);
        usage.take(&run, &QUOTAS, 10 * DAY, 0).unwrap();
        usage.take(&device.checked(1), &QUOTAS, DAY, 1).unwrap();
        assert_eq!(usage.day_at, DAY);
        assert!(usage.day > size(&run));
    }

    #[test]
    fn a_clock_that_was_ahead_blocks_nobody_until_its_time_has_come() {
        let mut device = TestDevice::new(1);
        let mut usage = Usage::default();
        let mut now = 9_000 * DAY;
        let refused = loop {
            let run = device.checked(1);
            if usage.take(&run, &QUOTAS, now, usage.turn).is_err() {
                break run;
            }
        };
        // The clock is set right, and what is told to wait is enough.
        now = DAY;
        let (code, wait) = usage.take(&refused, &QUOTAS, now, usage.turn).unwrap_err();
        assert_eq!(code, Code::DeviceBytesUsed);
        now += wait.unwrap().as_millis() as u64;
        usage.take(&refused, &QUOTAS, now, usage.turn).unwrap();
    }

    #[test]
    fn what_is_kept_has_a_bound_that_no_waiting_ends() {
        let mut device = TestDevice::new(1);
        let mut usage = Usage::default();
        let (mut now, mut turn) = (0, 0);
        let refused = loop {
            now += DAY;
            match usage.take(&device.checked(1), &QUOTAS, now, turn) {
                Ok(given) => turn = given + 1,
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, (Code::DeviceStorageFull, None));
        assert!(usage.bytes <= QUOTAS.bytes);
    }

    #[test]
    fn the_fuller_the_queue_the_less_of_it_may_one_device_have() {
        let quotas = Quotas {
            queued_entries: 16_384,
            ..QUOTAS
        };
        let at = |queued| quotas.at(queued, 1_000_000).queued_entries;
        assert_eq!(at(0), 16_384);
        assert_eq!(at(500_000), 8_192);
        assert_eq!(at(1_000_000), LEAST_QUEUED);
        assert_eq!(at(2_000_000), LEAST_QUEUED);
        assert_eq!(QUOTAS.at(0, 0).queued_entries, LEAST_QUEUED);
        // A thousand phones that send whatever they may do not fill it.
        let (mut queued, mut each) = (0, [0_u64; 1_000]);
        loop {
            let before = queued;
            for sent in &mut each {
                if *sent + 256 <= at(queued) {
                    *sent += 256;
                    queued += 256;
                }
            }
            if queued == before {
                break;
            }
        }
        assert!(queued < 960_000, "{queued}");
    }
}
