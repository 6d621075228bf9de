// SPDX-License-Identifier: Apache-2.0

//! Which clauses of 21 CFR Part 11 and of ALCOA+ the checks of an audit bear on. A table for a monitor's file, not a
//! certificate: what a clause asks of people and procedures is beyond a program.

use super::Summary;
use crate::verdict::Verdict;

/// A clause, what this audit checked of it, and what came out.
pub(super) struct Clause {
    pub(super) clause: &'static str,
    pub(super) check: &'static str,
    pub(super) result: String,
}

/// The table, with this audit's figures.
pub(super) fn table(summary: &Summary) -> Vec<Clause> {
    let count = |verdict| summary.count(verdict);
    let judged = summary.entries - count(Verdict::NotCovered);
    let row = |clause, check, result| Clause {
        clause,
        check,
        result,
    };
    vec![
        row(
            "21 CFR 11.10(a): ability to discern invalid or altered records",
            "Every link, tag, digest and, where the study asks for it, signature was recomputed.",
            format!(
                "{} altered, {} forged, {} disputed of {} entries",
                count(Verdict::Altered),
                count(Verdict::Forged),
                count(Verdict::Disputed),
                summary.entries
            ),
        ),
        row(
            "21 CFR 11.10(b): accurate and complete copies",
            "Every relay's copy was compared with the registered digest; what is on the chain and in no relay was looked for.",
            format!("{} missing, {} not covered", count(Verdict::Missing), count(Verdict::NotCovered)),
        ),
        row(
            "21 CFR 11.10(e): time-stamped audit trail that obscures nothing recorded before",
            "Positions run without a gap from 1 to the chain's head; for each, an extrinsic was looked for that brought it, and its block is named.",
            format!(
                "{} registered entries, {} of them unaccounted for; conflicts on record: {}",
                summary.registered, summary.unaccounted, summary.conflicts
            ),
        ),
        row(
            "21 CFR 11.10(d), (g): access limited to authorised individuals",
            "What was written without the device's secret or key is told apart, whether it was registered or refused.",
            format!("findings: {}", summary.findings),
        ),
        row(
            "21 CFR 11.70: signatures linked to their records",
            "The device's signature binds the last link of a run, which binds all entries before it.",
            format!("{} entries judged", judged),
        ),
        row(
            "ALCOA+: attributable",
            "The tag shows whether the device's own secret made an entry; the party at fault is named with the ground.",
            format!(
                "{} of {} registered entries",
                summary.registered.saturating_sub(count(Verdict::Forged) + count(Verdict::NotCovered)),
                summary.registered
            ),
        ),
        row(
            "ALCOA+: contemporaneous",
            "The block's time says: registered not later than. When the participant wrote it down is not proved.",
            "see the delays above".into(),
        ),
        row(
            "ALCOA+: original, enduring, available",
            "The bytes that relays hold have the digest that the phone registered.",
            format!("{} valid, {} erased on record", count(Verdict::Valid), count(Verdict::Erased)),
        ),
        row(
            "ALCOA+: legible, accurate",
            "Not checked: whether what the phone measured is true is beyond any audit of records.",
            "outside this audit".into(),
        ),
    ]
}
