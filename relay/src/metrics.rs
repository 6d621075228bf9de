// SPDX-License-Identifier: Apache-2.0

//! What the relay tells Prometheus beside what every server does.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::store::{Fate, Queue, RunRef};

/// From a tenth of a second to an hour.
const SECONDS: [f64; 14] = [
    0.1, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 60.0, 180.0, 600.0, 3600.0,
];

/// What may become of a run.
const OUTCOMES: [&str; 5] = ["accepted", "known", "finalised", "refused", "conflicting"];

/// Days within which devices are counted that sent something.
pub const DAYS: [(&str, u64); 4] = [("1d", 1), ("2d", 2), ("7d", 7), ("30d", 30)];

/// Counters and timings. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    runs: IntCounterVec,
    entries: IntCounterVec,
    queued_runs: IntGauge,
    queued_entries: IntGauge,
    oldest: IntGauge,
    batches: IntGauge,
    leading: IntGauge,
    followed: IntGauge,
    behind: IntGauge,
    unknown: IntGauge,
    heard_of: IntGaugeVec,
    settled_after: Histogram,
    group: Histogram,
    erased: IntCounterVec,
    unscrubbed: IntGauge,
}

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let by_outcome = |name: &str, help: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &["outcome"])?;
            // From the start on: an alarm at the first conflict sees a step from 0 to 1, and none from nothing to 1.
            for outcome in OUTCOMES {
                counter.with_label_values(&[outcome]);
            }
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            prometheus::Result::Ok(histogram)
        };
        let heard_of = IntGaugeVec::new(
            Opts::new(
                "mhealth_relay_devices",
                "Devices that sent something new within so many days. A device that was heard of within seven days and not within \
                 two has become silent.",
            ),
            &["within"],
        )?;
        registry.register(Box::new(heard_of.clone()))?;
        Ok(Self {
            heard_of,
            runs: by_outcome(
                "mhealth_relay_runs_total",
                "Runs, by outcome: accepted, known, finalised, refused, conflicting.",
            )?,
            entries: by_outcome(
                "mhealth_relay_entries_total",
                "Entries of these runs, by outcome.",
            )?,
            queued_runs: gauge(
                "mhealth_relay_queued_runs",
                "Runs that were accepted and are not settled yet.",
            )?,
            queued_entries: gauge("mhealth_relay_queued_entries", "Entries of these runs.")?,
            oldest: gauge(
                "mhealth_relay_oldest_queued_seconds",
                "Age of the oldest run that is not settled yet.",
            )?,
            batches: gauge(
                "mhealth_relay_batches_in_flight",
                "Transactions that may still get into a block.",
            )?,
            leading: gauge(
                "mhealth_relay_leading",
                "1 if this process submits, 0 if another process on the same database does.",
            )?,
            followed: gauge(
                "mhealth_relay_followed_block",
                "Number of the latest finalised block whose outcomes are written down.",
            )?,
            behind: gauge(
                "mhealth_relay_node_behind_blocks",
                "Blocks that the node lacks of those whose outcomes are written down; nothing new is submitted while it does.",
            )?,
            unknown: gauge(
                "mhealth_relay_unknown_transactions",
                "Transactions of the relay's account that its database did not know when this process began to submit.",
            )?,
            erased: {
                let name = "mhealth_relay_erased_envelopes_total";
                let help = "Envelopes that were erased, by why: order, retention.";
                let counter = IntCounterVec::new(Opts::new(name, help), &["why"])?;
                registry.register(Box::new(counter.clone()))?;
                counter
            },
            unscrubbed: gauge(
                "mhealth_relay_unscrubbed",
                "1 while bytes of erased envelopes are still in the files of the database.",
            )?,
            settled_after: histogram(
                "mhealth_relay_finalised_after_seconds",
                "From the acknowledgement of a run to its registration in a finalised block.",
                SECONDS.to_vec(),
            )?,
            group: histogram(
                "mhealth_relay_group_runs",
                "Uploads that were stored by one commit.",
                vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
            )?,
        })
    }

    /// An upload was answered.
    pub fn uploaded(&self, outcome: &str, entries: u32) {
        self.runs.with_label_values(&[outcome]).inc();
        self.entries
            .with_label_values(&[outcome])
            .inc_by(entries.into());
    }

    /// So many uploads went into one commit.
    pub fn grouped(&self, runs: usize) {
        self.group.observe(runs as f64);
    }

    /// A block settled a run.
    pub fn settled(&self, run: &RunRef, fate: &Fate, now: u64) {
        let outcome = match fate {
            Fate::Registered | Fate::RegisteredBefore => "finalised",
            Fate::Refused(_) => "refused",
            Fate::Conflicting(_) => "conflicting",
            Fate::Again => return,
        };
        self.uploaded(outcome, run.entries);
        if outcome == "finalised" {
            let millis = now.saturating_sub(run.received_at);
            self.settled_after.observe(millis as f64 / 1_000.0);
        }
    }

    /// The queue was counted.
    pub fn queue(&self, queue: &Queue, now: u64) {
        let age = queue
            .oldest
            .map_or(0, |since| now.saturating_sub(since) / 1_000);
        self.queued_runs.set(queue.runs as i64);
        self.queued_entries.set(queue.entries as i64);
        self.oldest.set(age as i64);
        self.batches.set(queue.batches as i64);
    }

    /// This process began or ceased to submit.
    pub fn leading(&self, leading: bool) {
        self.leading.set(leading.into());
    }

    /// A block was worked off.
    pub fn followed(&self, number: u64) {
        self.followed.set(number as i64);
        self.behind.set(0);
    }

    /// The node lacks so many blocks of those that were worked off.
    pub fn node_is_behind(&self, blocks: u64) {
        self.behind.set(blocks as i64);
    }

    /// How many blocks the node lacks of those that were worked off, as far as this process follows them.
    pub fn blocks_behind(&self) -> i64 {
        self.behind.get()
    }

    /// The account had sent so many transactions that the database does not know.
    pub fn unknown_transactions(&self, count: u64) {
        self.unknown.set(count as i64);
    }

    /// So many envelopes were erased.
    pub fn erased(&self, why: &str, envelopes: u64) {
        self.erased.with_label_values(&[why]).inc_by(envelopes);
    }

    /// Whether the bytes of what was erased have left the files of the database.
    pub fn scrubbed(&self, scrubbed: bool) {
        self.unscrubbed.set((!scrubbed).into());
    }

    /// So many devices sent something new within a time of [`DAYS`].
    pub fn devices(&self, within: &str, count: u64) {
        self.heard_of.with_label_values(&[within]).set(count as i64);
    }

    /// Age of the oldest run that is not settled yet, in seconds.
    pub fn oldest_queued(&self) -> i64 {
        self.oldest.get()
    }
}
