// SPDX-License-Identifier: Apache-2.0

//! What an auditor and a relay write of an entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use mhealth_api::{Base64, ExportedRun, Hash, Key, RunState, RunStatus};
use serde_json::{json, Value};

use super::{Device, Made, World, BLOCK_TIME, STUDY};

impl World {
    /// The report of an audit of the study, which has no device of any other.
    pub(crate) fn write_audit(&self, path: &Path, block: u64) {
        let mut file = BufWriter::new(File::create(path).unwrap());
        let heading = json!({
            "auditor": "a test", "program": "mhealth-auditor 0.1.0", "run_at": BLOCK_TIME + 60, "chain": self.genesis(),
            "study": STUDY, "title": "Sleep & <insomnia>", "policy": "device_signed", "auditor_key": Key([1; 32]),
            "block": block, "block_hash": Hash([2; 32]), "block_time": BLOCK_TIME, "no_export": [],
            "standing": { "finality": null, "words": [], "trusted": false },
        });
        write!(file, "{{\n\"schema\": \"mhealth-audit/1\",\n\"audit\": {heading},\n\"relays\": [],\n\"devices\": [").unwrap();
        let (mut entries, mut verdicts) = (0, BTreeMap::<&str, u64>::new());
        let devices = || self.devices.iter().filter(|device| device.study == STUDY);
        for (device, number) in devices().zip(0..) {
            let comma = if number == 0 { "" } else { "," };
            for made in &device.made {
                entries += 1;
                *verdicts.entry(made.verdict).or_default() += 1;
            }
            write!(file, "{comma}\n{}", judged(device)).unwrap();
        }
        // The auditor counts what there is none of, too.
        verdicts.entry("erased").or_default();
        let summary = json!({
            "devices": devices().count(), "registered": entries, "entries": entries, "verdicts": verdicts,
            "findings": 0, "conflicts": 0, "unaccounted": 0, "outcome": "right",
        });
        writeln!(file, "\n],\n\"summary\": {summary}\n}}").unwrap();
        file.flush().unwrap();
    }
}

fn judged(device: &Device) -> Value {
    let mut made: Vec<&Made> = device.made.iter().collect();
    made.sort_by_key(|made| (made.sequence, !made.registered, made.link));
    let entries = made.iter().map(|made| {
        let mut entry = json!({
            "sequence": made.sequence, "link": made.link, "digest": made.run.entries[0].digest,
            "registered": made.registered, "verdict": made.verdict, "content": "sealed",
            "submitter": Key([4; 32]), "received_at": BLOCK_TIME - 5_000,
        });
        if made.registered {
            entry["block"] = json!(block_of(made.sequence));
        }
        if made.shown {
            entry["held_by"] = json!(["dave"]);
        }
        entry
    });
    let blocks: BTreeSet<u64> = made.iter().map(|made| block_of(made.sequence)).collect();
    let time = |block: u64| (block.to_string(), json!(BLOCK_TIME - 10_000 + 10 * block));
    let mut times: serde_json::Map<String, Value> = blocks.into_iter().map(time).collect();
    times.extend([time(1)]);
    json!({
        "device": device.phone.device(), "key": Key(device.phone.public_key()), "status": "active", "enrolled_at": 1,
        "predecessor": null, "successor": null, "length": device.phone.length(), "head": device.phone.head(),
        "trusted_length": null, "outcome": "right", "trusted_to": 0, "trusted_head": device.link_zero, "erasure": null,
        "uncovered": [], "findings": [], "conflicts": [], "conflicts_not_stored": 0, "block_times": times,
        "entries": entries.collect::<Vec<_>>(),
    })
}

fn block_of(sequence: u64) -> u64 {
    2 + sequence % 90
}

pub(super) fn exported(made: &Made, cursor: u64) -> ExportedRun {
    let run = &made.run;
    ExportedRun {
        cursor,
        status: RunStatus {
            run: Hash([0; 32]),
            device: run.device,
            sequence: made.sequence,
            entries: 1,
            head: made.link,
            state: RunState::Finalised,
            block: None,
            extrinsic_index: None,
            reason: None,
        },
        study: STUDY,
        previous: run.previous,
        entries: vec![mhealth_api::RunEntry {
            digest: run.entries[0].digest,
            tag: run.entries[0].tag,
            envelope: Base64(made.envelope.clone()),
        }],
        signature: None,
        received_at: BLOCK_TIME - 5_000,
    }
}
