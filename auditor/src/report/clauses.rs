// SPDX-License-Identifier: Apache-2.0

//! Which clauses of regulations and guidelines the checks of an audit bear on. A table for a monitor's file, not a certificate:
//! what a clause asks of people and procedures is beyond a program.
//!
//! Only sections are named whose text was read. Each is given in few words of our own.

use maud::{html, Markup};

use super::{Heading, Summary};
use crate::verdict::Verdict;

/// What an audit checked, the clauses that it bears on, and what came out.
struct Check {
    clauses: &'static [&'static str],
    check: &'static str,
    result: String,
}

/// The table, with this audit's figures.
pub(super) fn table(heading: &Heading, summary: &Summary) -> Markup {
    html! {
        p.soft {
            "What the checks of this audit bear on. What a clause asks of people and procedures is not theirs to show. CFR: Code of "
            "Federal Regulations of the United States, title 21, part 11. EMA: Guideline on computerised systems and electronic "
            "data in clinical trials, EMA/INS/GCP/112288/2023. ICH: Guideline for good clinical practice E6(R3), with annex 1."
        }
        table.long {
            thead { tr { th { "Clauses" } th { "Checked" } th { "Here" } } }
            @for row in checks(heading, summary) {
                tr {
                    td { @for (index, clause) in row.clauses.iter().enumerate() { @if index > 0 { br; } (clause) } }
                    td { (row.check) }
                    td { (row.result) }
                }
            }
        }
    }
}

fn checks(heading: &Heading, summary: &Summary) -> Vec<Check> {
    let row = |clauses, check, result| Check {
        clauses,
        check,
        result,
    };
    let count = |verdict| summary.count(verdict);
    let judged = summary.entries - count(Verdict::NotCovered);
    let (forged, uncovered) = (count(Verdict::Forged), count(Verdict::NotCovered));
    vec![
        row(
            &[
                "21 CFR 11.10(a): invalid or altered records are discerned",
                "EMA 6.2.1: audit trails are protected against change and deletion",
                "ICH E6(R3) 4.2.2(b): audit trails are not disabled or modified",
            ],
            "Every link, tag, digest and, where the study asks for it, signature was recomputed.",
            format!(
                "{} altered, {forged} forged, {} disputed of {} entries",
                count(Verdict::Altered),
                count(Verdict::Disputed),
                summary.entries
            ),
        ),
        row(
            &[
                "21 CFR 11.10(b): accurate and complete copies",
                "ICH E6(R3) 4.2.5: data moved between systems are reconciled",
            ],
            "Every relay's copy was compared with the registered digest; what is on the chain and in no relay was looked for.",
            format!("{} missing, {uncovered} not covered", count(Verdict::Missing)),
        ),
        row(
            &[
                "21 CFR 11.10(e): time-stamped audit trail that obscures nothing recorded before",
                "EMA 6.2.1: the first entry and each change, by whom and when",
                "ICH E6(R3) 4.2.2(a)(ii): first entries and later changes are documented",
                "ICH E6(R3) 4.2.2(d): times are unambiguous, such as UTC",
            ],
            "Positions run without a gap from 1 to the chain's head; for each, an extrinsic was looked for that brought it, and its \
             block is named.",
            format!(
                "{} registered entries, {} of them unaccounted for; conflicts on record: {}",
                summary.registered, summary.unaccounted, summary.conflicts
            ),
        ),
        row(
            &[
                "EMA 6.2.2: audit trails are reviewed",
                "ICH E6(R3) 4.2.3: data, audit trails and other metadata are reviewed as planned",
            ],
            "This audit is such a review, of all entries. How often there is one, and of what else, is in the study's plan.",
            format!("made of block {}", heading.block),
        ),
        row(
            &[
                "21 CFR 11.10(d), (g): access limited to authorised individuals",
                "ICH E6(R3) 4.3.3: breaches of security are prevented, detected or mitigated",
            ],
            "What was written without the device's secret or key is told apart, whether it was registered or refused.",
            format!("findings: {}", summary.findings),
        ),
        row(
            &["21 CFR 11.70: signatures linked to their records"],
            "The device's signature binds the last link of a run, which binds all entries before it.",
            format!("{judged} entries judged"),
        ),
        row(
            &["21 CFR 11.50(a), 11.70: who signed, when, as what, and what"],
            "The signature file of this report names its signer, the time, the meaning, and the report's SHA-256.",
            match &heading.report_key {
                Some(key) => format!("to be signed with the report key {key}"),
                None => "this report is not signed".into(),
            },
        ),
        row(
            &["ALCOA++ (EMA 4.5; ICH E6(R3) 2.12.2): attributable"],
            "The tag shows whether the device's own secret made an entry; the party at fault is named with the ground.",
            format!(
                "{} of {} registered entries",
                summary.registered.saturating_sub(forged + uncovered),
                summary.registered
            ),
        ),
        row(
            &["ALCOA++: contemporaneous"],
            "The block's time says: registered not later than. When the participant wrote it down is not proved.",
            "see the delays above".into(),
        ),
        row(
            &["ALCOA++: original, enduring, available"],
            "The bytes that relays hold have the digest that the phone registered.",
            format!("{} valid, {} erased on record", count(Verdict::Valid), count(Verdict::Erased)),
        ),
        row(
            &["ALCOA++: complete, consistent, traceable"],
            "Nothing is lacking between a device's first entry and its head, and each is linked to the one before it.",
            format!(
                "{} of {} registered entries are judged",
                summary.registered.saturating_sub(uncovered),
                summary.registered
            ),
        ),
        row(
            &["ALCOA++: legible, accurate"],
            "Not checked: whether what the phone measured is true is beyond any audit of records.",
            "outside this audit".into(),
        ),
    ]
}
