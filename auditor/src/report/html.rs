// SPDX-License-Identifier: Apache-2.0

//! The report for people: one page that needs nothing else, on screen and on paper.

use maud::{html, Markup, PreEscaped, DOCTYPE};
use mhealth_api::{Key, Policy};

use super::digest::DeviceDigest;
use super::style::STYLE;
use super::{clauses, day, moment, nights, plot, Digest, Heading};
use crate::audit::StoreReport;
use crate::chain::Standing;
use crate::export::Holder;
use crate::verdict::{
    Finding, Ground, JudgedConflict, JudgedEntry, Maker, Outcome, Party, Verdict,
};

/// The page, as text.
pub fn page(heading: &Heading, relays: &[StoreReport], digest: &Digest) -> String {
    let summary = &digest.summary;
    let outcome = summary.outcome();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Audit of study " (heading.study) ": " (heading.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Audit of study " (heading.study) }
                p.soft { (heading.title) }
                div.banner.(outcome.as_str()) { strong { (headline(outcome)) } " " (explained(digest)) }
                (about(heading))
                h2 { "Verdicts" }
                (verdicts(digest))
                h2 { "What was found" }
                (found(digest, relays))
                h2 { "Participants and nights" }
                (nights::nights(digest))
                h2 { "Relays" }
                (stores(heading, relays))
                h2 { "Registrations over time" }
                (plot::registrations(digest))
                h2 { "From the relay's receipt, as it says, to the block" }
                (plot::delays(digest))
                h2 { "Devices" }
                @for line in digest.lineages() { (lineage(&line, relays)) }
                h2 { "Clauses and checks" }
                (clauses::table(heading, &digest.summary))
                h2 { "What this audit cannot see" }
                (limits())
            }
        }
    };
    markup.into_string()
}

fn headline(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Right => "Everything was checked, and is right.",
        Outcome::Wrong => "Something is wrong.",
        Outcome::NotProved => "What was read is right, but some of it is only the node's word.",
        Outcome::NotCovered => "Nothing was found wrong, but not everything could be checked.",
    }
}

fn explained(digest: &Digest) -> String {
    let summary = &digest.summary;
    let right = summary.count(Verdict::Valid) + summary.count(Verdict::Erased);
    let mut text = format!(
        "{right} of {} entries of {} devices are valid.",
        summary.entries, summary.devices
    );
    if summary.unaccounted > 0 {
        let count = summary.unaccounted;
        text += &format!(" No extrinsic of any block accounts for {count} registered entries.");
    }
    text
}

fn about(heading: &Heading) -> Markup {
    html! {
        table {
            tr { th { "Run by" } td { (heading.auditor) ", " (moment(Some(heading.run_at))) } }
            tr { th { "With" } td { (heading.program) } }
            tr { th { "Signature" } td { (signature(heading)) } }
            tr { th { "Block" } td { (heading.block) " of " (moment(heading.block_time)) br; span.hash { (heading.block_hash) } } }
            tr { th { "Chain" } td { span.hash { (heading.chain) } } }
            tr { th { "Proof" } td { (standing(&heading.standing)) } }
            tr { th { "Policy" } td { @match heading.policy {
                Policy::DeviceSigned => "every run carries the device's signature (DeviceSigned)",
                Policy::HashchainOnly => "hashchain only (HashchainOnly): forged entries are detected, not prevented",
            } } }
        }
    }
}

fn signature(heading: &Heading) -> Markup {
    html! {
        @match &heading.report_key {
            Some(key) => {
                "in the file of this page's name and .sig, with the report key " span.hash { (key) }
                p.soft { "mhealth-auditor verify-report checks it. Take the key from the auditor, not from this page." }
            },
            None => "not signed: whether this page was changed cannot be told",
        }
    }
}

/// What is proved of all that was read from the chain, and what is not.
fn standing(standing: &Standing) -> Markup {
    html! {
        @if let Some(finality) = &standing.finality {
            "final by " (finality.authorities) " authorities, traced over " (finality.handovers) " handovers from "
            @match finality.checkpoint {
                Some(block) => { "the checkpoint at block " (block) },
                None => "the first block",
            }
            "; state and extrinsics are proved"
        }
        @for runtime in &standing.runtimes {
            p.soft { "from block " (runtime.from) " on by the rules of version " (runtime.spec_version) ", code " span.hash { (runtime.code) } }
        }
        @for word in &standing.words {
            p { strong { "only the node says" } " " (word) }
        }
        @if !standing.words.is_empty() && standing.trusted {
            p.soft { "Whoever ran the audit is content with the node's word." }
        }
    }
}

fn chip(verdict: Verdict) -> Markup {
    html! { span.chip.(verdict.as_str()) { (verdict) } }
}

fn verdicts(digest: &Digest) -> Markup {
    html! {
        table {
            thead { tr { th { "Verdict" } th.number { "Entries" } th { "Meaning" } } }
            @for verdict in Verdict::ALL {
                tr {
                    td { (chip(verdict)) }
                    td.number { (digest.summary.count(verdict)) }
                    td { (meaning(verdict)) }
                }
            }
        }
    }
}

const fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "Made by the device, registered, and held unaltered by a relay.",
        Verdict::Erased => "As valid; the data were erased, by a receipt on the chain or because the study keeps them no longer.",
        Verdict::Altered => "A relay holds something else than what was registered.",
        Verdict::Forged => "Registered, but not made with the device's secret or key.",
        Verdict::Disputed => "Two histories claim the same place, or the study does not trust the entry.",
        Verdict::Missing => "On the chain, but in no relay's store.",
        Verdict::Unregistered => "Seen at a relay or in a block, but not registered.",
        Verdict::NotCovered => "Could not be judged; the reason is given with the device.",
    }
}

fn found(digest: &Digest, relays: &[StoreReport]) -> Markup {
    let findings: Vec<(&DeviceDigest, &Finding)> = digest
        .devices
        .iter()
        .flat_map(|device| device.findings.iter().map(move |finding| (device, finding)))
        .collect();
    html! {
        @if findings.is_empty() { p { "Nothing." } }
        @else {
            table.long {
                thead { tr { th { "Device" } th { "Entries" } th { "Ground" } th { "Held to be at fault" } } }
                @for (device, finding) in findings {
                    tr {
                        td { a href=(format!("#device-{}", device.device)) { (device.device) } }
                        td { (ranges(&finding.sequences)) }
                        td.why { (finding.ground.sentence()) }
                        td { (parties(Some(finding.ground), &finding.parties, relays)) }
                    }
                }
            }
        }
    }
}

fn ranges(sequences: &[(u64, u64)]) -> String {
    if sequences.is_empty() {
        return "the device".into();
    }
    let text = |(first, last): &(u64, u64)| match first == last {
        true => first.to_string(),
        false => format!("{first}–{last}"),
    };
    sequences.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn parties(ground: Option<Ground>, parties: &[Party], relays: &[StoreReport]) -> Markup {
    let each = ground.is_some_and(Ground::is_of_each);
    html! {
        @match parties {
            [] => span.soft { "cannot be told" },
            [one] => (party(one, relays)),
            several => {
                @if each { "each of:" } @else { "one of:" }
                @for one in several { br; "– " (party(one, relays)) }
            },
        }
    }
}

/// A party; a relay by the name of its export, where it is one of those.
fn party(party: &Party, relays: &[StoreReport]) -> Markup {
    let Party::Relay { account } = party else {
        return html! { (party) };
    };
    html! { "the relay " (named(*account, relays)) span.hash { (account) } }
}

/// The names of the exports that an account signed.
fn named(account: Key, relays: &[StoreReport]) -> Markup {
    let signed = relays.iter().filter(|relay| relay.account == Some(account));
    html! { @for relay in signed { strong { (relay.name) } " " } }
}

fn stores(heading: &Heading, relays: &[StoreReport]) -> Markup {
    html! {
        @if relays.is_empty() { p { "No export was given, so no entry's data could be compared." } }
        @else {
            table {
                thead { tr { th { "Export" } th { "Signed by" } th.number { "Runs" } th { "Read" } } }
                @for relay in relays {
                    tr {
                        td { (relay.name) }
                        td { (signed_by(relay)) }
                        td.number { (relay.reading.runs) }
                        td {
                            @if relay.reading.is_complete() { "to its end" }
                            @else {
                                (relay.reading.faults) " faults"
                                @for fault in relay.reading.first_faults.iter().take(5) { br; span.soft { (fault) } }
                            }
                        }
                    }
                }
            }
        }
        @for account in &heading.no_export {
            p { strong { "Not covered: " } "no export was given that the relay " span.hash { (account) } " signed." }
        }
    }
}

fn signed_by(relay: &StoreReport) -> Markup {
    html! {
        @match (&relay.account, relay.holder) {
            (Some(account), _) => {
                span.hash { (account) }
                @if !relay.known { br; "which is no relay of this study" }
                @if let Some(block) = relay.reading.block { br; span.soft { "having seen block " (block.number) } }
            },
            (None, Holder::Phone) => span.soft { "a phone's own; each run by the device" },
            (None, Holder::Relay) => "nobody: no account is charged with what it shows",
        }
    }
}

fn lineage(line: &[&DeviceDigest], relays: &[StoreReport]) -> Markup {
    html! {
        section.device {
            @for (index, device) in line.iter().enumerate() {
                @if index > 0 { p.soft { "↳ enrolled anew, from the last trusted entry of the device above" } }
                (one_device(device, relays))
            }
        }
    }
}

fn one_device(device: &DeviceDigest, relays: &[StoreReport]) -> Markup {
    let all: u64 = device.strip.iter().map(|(_, count)| count).sum();
    html! {
        h3 id=(format!("device-{}", device.device)) { "Device " (device.device) " " span.soft { "(" (device.status) ")" } }
        div.strip role="img" aria-label=(format!("{all} entries in order, coloured by verdict")) {
            @for (verdict, count) in &device.strip {
                span.(verdict.as_str()) style=(format!("flex:{count}")) title=(format!("{count} × {verdict}")) {}
            }
        }
        @if device.counts.is_empty() { p.soft { "No entries." } }
        @else {
            p {
                @for (verdict, count) in &device.counts { (chip(*verdict)) " " (count) " " }
                span.soft { (stretch(device.first, device.last)) }
            }
        }
        @if !device.gaps.is_empty() {
            p { strong { "Days without data, by the blocks: " } (device.gaps.iter().take(20).map(|(first, last)| match first == last {
                true => day(*first),
                false => format!("{} – {}", day(*first), day(*last)),
            }).collect::<Vec<_>>().join(", ")) }
        }
        @if device.outcome != Outcome::Right {
            p { "Trusted up to entry " (device.trusted_to) ": " span.hash { (device.trusted_head) } }
        }
        @for uncovered in &device.uncovered { p { strong { "Not covered: " } (uncovered) "." } }
        @if let Some(erasure) = &device.erasure {
            @match &erasure.receipt {
                Some(receipt) => p { strong { "Erased: " } "the chain has the receipt " span.hash { (receipt.receipt) } " since block " (receipt.block) "." },
                None => p { strong { "Not erased: " } "the study has a record of an erasure on file, and the chain has no receipt of it." },
            }
            @if let Some(record) = &erasure.record {
                p { "On file: the participant's key was destroyed on " (record.erased_at) " (" (record.record) ")." }
            }
        }
        @for conflict in &device.conflicts { (sides(conflict, relays)) }
        @if device.conflicts_not_stored > 0 {
            p { "The chain counts " (device.conflicts_not_stored) " more rivals that its record had no place for." }
        }
        @if !device.shown.is_empty() { (exceptions(device, relays)) }
        p.soft { "Key " span.hash { (device.key) } ", " (device.length) " registered entries, head " span.hash { (device.head) } }
    }
}

fn stretch(first: Option<u64>, last: Option<u64>) -> String {
    match first == last {
        true => moment(first),
        false => format!("{} – {}", moment(first), moment(last)),
    }
}

fn sides(conflict: &JudgedConflict, relays: &[StoreReport]) -> Markup {
    html! {
        p { strong { "Two histories from entry " (conflict.sequence) " on" } }
        div.sides {
            div {
                p { "Registered: " (maker(conflict.recorded_by)) }
                p.hash { (conflict.recorded) }
            }
            div {
                p { "Rival, brought in block " (conflict.block) ": " (maker(conflict.rival_by))
                    @if conflict.rival_signed { ", signed by its key" } }
                p.hash { (conflict.rival) }
                p.soft { "brought by " (named(conflict.submitter, relays))
                    span.hash { (conflict.submitter) } }
            }
        }
    }
}

const fn maker(maker: Maker) -> &'static str {
    match maker {
        Maker::Secret => "made with the device's secret",
        Maker::NotTheSecret => "not made with the device's secret",
        Maker::Unknown => "maker not known",
    }
}

fn exceptions(device: &DeviceDigest, relays: &[StoreReport]) -> Markup {
    html! {
        table.long {
            thead { tr { th.number { "Entry" } th { "Verdict" } th { "Why" } th { "Held to be at fault" } th.number { "Block" } } }
            @for entry in &device.shown {
                tr {
                    td.number { (entry.sequence) }
                    td { (chip(entry.verdict))
                        @if !entry.registered && entry.verdict != Verdict::Unregistered { br; span.soft { "not registered" } } }
                    td.why { (why(entry)) }
                    td { @if !entry.grounds.is_empty() { (parties(entry.grounds.first().copied(), &entry.parties, relays)) } }
                    td.number { @if let Some(block) = entry.block { (block) } }
                }
            }
        }
        @if device.hidden > 0 { p.soft { "and " (device.hidden) " more, which the JSON report lists" } }
    }
}

fn why(entry: &JudgedEntry) -> String {
    let grounds = entry
        .grounds
        .iter()
        .map(|ground| ground.sentence().to_string());
    let uncovered = entry
        .uncovered
        .iter()
        .map(|reason| format!("Not covered: {reason}."));
    grounds.chain(uncovered).collect::<Vec<_>>().join(" ")
}

fn limits() -> Markup {
    html! {
        ul {
            li { "Whether what the phone measured is true, and whether it was the participant who held it." }
            li { "A phone that was silenced while a thief with its key and secret wrote in its place. Missed contacts show it." }
            li { "When an entry was made: its block says only that it was not later." }
            li { "Entries that never reached a relay or the chain." }
        }
    }
}
