// SPDX-License-Identifier: Apache-2.0

//! FHIR R5, as bulk data: one file for each type of resource, a resource a line.
//!
//! An Observation is a record of a night; its Provenance says where it stands on the chain, within which bounds of time it was sealed, and
//! who brought it. What was corrected is withdrawn (`entered-in-error`), and its correction is `corrected`, so who takes `final` and
//! `corrected` takes every record that counts once. Of a night's, one has the tag `main`: who takes these takes every night once.

use std::collections::HashSet;

use hashchain::{DeviceId, StudyId};
use mhealth_api::Hash;
use mhealth_auditor::Verdict;
use serde_json::{json, Map, Value};
use sha2::{Digest, Sha256};

use super::{Device, Writer};
use crate::audit::Heading;
use crate::columns::{iso, rfc3339_of, Kind, Origin, Value as Cell, COLUMNS};
use crate::error::DataError;
use crate::folder::{Out, Unfinished};
use crate::row::{InParts, Row};

pub(crate) const PROVENANCE: &str = "fhir/Provenance.ndjson";

/// The system of codes that are names of columns.
const COLUMN: &str = "urn:mhealth-chain:column";

/// What was collected and has a member of its own in an observation. All else that was collected is a component.
const MEMBERS: [&str; 4] = [
    "night",
    "total_sleep_time_min",
    "sleep_onset",
    "final_awakening",
];

pub(super) struct Fhir {
    observations: Out,
    provenances: Out,
    devices: Out,
    subjects: Out,
    participants: HashSet<String>,
    ids: Ids,
    /// When the audit's block was made: from then on the provenance is on record.
    recorded: u64,
}

impl Fhir {
    pub(super) fn begin(folder: &Unfinished, heading: &Heading) -> Result<Self, DataError> {
        let ids = Ids {
            chain: heading.chain,
            study: heading.study,
        };
        let mut studies = folder.file("fhir/ResearchStudy.ndjson")?;
        studies.json(&json!({
            "resourceType": "ResearchStudy", "id": ids.study(), "status": "active", "title": heading.title,
            "identifier": [identifier("study", format!("{}/{}", heading.chain, heading.study))],
        }))?;
        studies.end()?;
        Ok(Fhir {
            observations: folder.file("fhir/Observation.ndjson")?,
            provenances: folder.file(PROVENANCE)?,
            devices: folder.file("fhir/Device.ndjson")?,
            subjects: folder.file("fhir/ResearchSubject.ndjson")?,
            participants: HashSet::new(),
            ids,
            recorded: heading.block_time.unwrap_or(heading.run_at),
        })
    }

    fn subject(&mut self, participant: &str) -> Result<(), DataError> {
        if !self.participants.insert(participant.to_owned()) {
            return Ok(());
        }
        self.subjects.json(&json!({
            "resourceType": "ResearchSubject", "id": self.ids.subject(participant), "status": "active",
            "identifier": [identifier("participant", participant)],
            "study": { "reference": format!("ResearchStudy/{}", self.ids.study()) },
            "subject": patient(participant),
        }))
    }
}

impl Writer for Fhir {
    fn device(&mut self, device: Device<'_>) -> Result<(), DataError> {
        self.devices.json(&json!({
            "resourceType": "Device", "id": self.ids.device(device.number),
            "identifier": [identifier("device", device.number), identifier("device-key", device.key)],
            "type": [{ "text": "Phone of a participant of the study" }],
        }))
    }

    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        if let Some(participant) = &row.participant {
            self.subject(participant)?;
        }
        self.observations.json(&observation(row, &self.ids))?;
        let provenance = provenance(row, &self.ids, self.recorded);
        self.provenances.json(&provenance)
    }

    fn end(self: Box<Self>) -> Result<(), DataError> {
        self.observations.end()?;
        self.provenances.end()?;
        self.devices.end()?;
        self.subjects.end()
    }
}

fn identifier(what: &str, value: impl ToString) -> Value {
    json!({ "system": format!("urn:mhealth-chain:{what}"), "value": value.to_string() })
}

fn patient(participant: &str) -> Value {
    json!({ "type": "Patient", "identifier": identifier("participant", participant) })
}

/// The ids of resources. A server that has other studies' or an earlier dataset takes what has the same id for the same thing, so
/// an id has nothing of what else is in the dataset. None is longer than 64 characters, and all of them are letters, digits and `-`.
struct Ids {
    chain: Hash,
    study: StudyId,
}

impl Ids {
    /// Eight digits of the chain.
    fn chain(&self) -> String {
        hex::encode(&self.chain.0[..4])
    }

    fn study(&self) -> String {
        format!("study-{}-{}", self.chain(), self.study)
    }

    fn device(&self, device: DeviceId) -> String {
        format!("device-{}-{device}", self.chain())
    }

    fn entry(&self, device: DeviceId, sequence: u64) -> String {
        format!("{}-entry-{sequence}", self.device(device))
    }

    fn observation(&self, row: &Row) -> String {
        match row.registered {
            true => self.entry(row.device, row.sequence),
            // Several may claim one place.
            false => format!("link-{}-{}", self.chain(), &row.link.to_string()[2..34]),
        }
    }

    /// Pseudonyms may have characters that an id must not have, and two studies the same ones.
    fn subject(&self, participant: &str) -> String {
        let whole = format!("{}/{}/{participant}", self.chain, self.study);
        format!("subject-{}", hex::encode(&Sha256::digest(whole)[..8]))
    }
}

fn status(row: &Row) -> &'static str {
    match (row.verdict, row.problem) {
        (Verdict::Valid, None) if !row.current => "entered-in-error",
        (Verdict::Valid, None) if row.corrects.is_some() => "corrected",
        (Verdict::Valid, None) => "final",
        _ => "unknown",
    }
}

fn observation(row: &Row, ids: &Ids) -> Value {
    let mut tags =
        vec![json!({ "system": "urn:mhealth-chain:verdict", "code": row.verdict.as_str() })];
    if let Some(problem) = row.problem {
        tags.push(json!({ "system": "urn:mhealth-chain:problem", "code": problem.as_str() }));
    }
    if row.main {
        tags.push(json!({ "system": COLUMN, "code": "main" }));
    }
    let mut observation = json!({
        "resourceType": "Observation", "id": ids.observation(row), "meta": { "tag": tags },
        "status": status(row), "device": { "reference": format!("Device/{}", ids.device(row.device)) },
        "code": {
            "coding": [{ "system": "http://loinc.org", "code": "93832-4", "display": "Sleep duration" }],
            "text": "Sleep of a night",
        },
    });
    if let Some(participant) = &row.participant {
        observation["subject"] = patient(participant);
    }
    let period = period(row.measures.asleep.clone());
    match (period, row.night) {
        (Some(period), _) => observation["effectivePeriod"] = period,
        (None, Some(night)) => observation["effectiveDateTime"] = iso(night).into(),
        _ => {}
    }
    if let Some(night) = row.night {
        observation["identifier"] = json!([identifier("night", iso(night))]);
    }
    match row.measures.total_sleep_time {
        Some(minutes) => observation["valueQuantity"] = quantity(minutes.into(), "min"),
        None => {
            let system = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
            observation["dataAbsentReason"] =
                json!({ "coding": [{ "system": system, "code": "unknown" }] });
        }
    }
    let values = COLUMNS
        .iter()
        .filter(|column| column.origin == Origin::Collected && !MEMBERS.contains(&column.name));
    let components = values.filter_map(|column| {
        let mut component = json!({ "code": {
            "coding": [{ "system": COLUMN, "code": column.name }], "text": column.label,
        } });
        let (member, value) = match (column.kind, (column.value)(row)) {
            (_, Cell::Absent) => return None,
            (Kind::Number | Kind::Integer, value) => match column.unit {
                Some(unit) => ("valueQuantity", quantity(value.to_json(), unit)),
                None => ("valueInteger", value.to_json()),
            },
            (Kind::Boolean, value) => ("valueBoolean", value.to_json()),
            (Kind::Time, value) => ("valueDateTime", value.to_json()),
            (_, value) => ("valueString", value.to_json()),
        };
        component[member] = value;
        Some(component)
    });
    let components: Vec<Value> = components.collect();
    if !components.is_empty() {
        observation["component"] = components.into();
    }
    observation
}

/// A period, if one of its ends is known.
fn period([start, end]: [Option<String>; 2]) -> Option<Value> {
    let ends = [("start", start), ("end", end)];
    let known = ends
        .into_iter()
        .filter_map(|(name, time)| Some((name.to_owned(), time?.into())));
    let period: Map<String, Value> = known.collect();
    (!period.is_empty()).then(|| period.into())
}

fn quantity(value: Value, unit: &str) -> Value {
    json!({ "value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit })
}

fn provenance(row: &Row, ids: &Ids, recorded: u64) -> Value {
    let id = ids.observation(row);
    let kind = |code: &str| {
        let system = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
        json!({ "coding": [{ "system": system, "code": code }] })
    };
    let mut agents = vec![json!({
        "type": kind("author"), "who": { "reference": format!("Device/{}", ids.device(row.device)) },
    })];
    if let Some(account) = row.submitter {
        agents.push(json!({
            "type": kind("custodian"), "who": { "identifier": identifier("account", account) },
        }));
    }
    let source = |what: &str, value: String| json!({ "role": "source", "what": { "identifier": identifier(what, value) } });
    let mut entities = vec![
        source("entry", format!("{}/{}", row.device, row.sequence)),
        source("link", row.link.to_string()),
        source("digest", row.digest.to_string()),
        source("verdict", row.verdict.as_str().into()),
        source("registered", row.registered.to_string()),
    ];
    if let Some(block) = row.block {
        entities.push(source("block", block.to_string()));
    }
    if let Some(InParts { first, last, .. }) = row.in_parts {
        entities.push(source("parts", format!("{first}-{last}")));
    }
    if let Some(corrected) = row.corrects {
        let other = format!("Observation/{}", ids.entry(row.device, corrected));
        entities.push(json!({ "role": "revision", "what": { "reference": other } }));
    }
    let mut provenance = json!({
        "resourceType": "Provenance", "id": id, "target": [{ "reference": format!("Observation/{id}") }],
        "recorded": rfc3339_of(recorded), "agent": agents, "entity": entities,
    });
    if let Some(bounds) = period([row.not_before, row.not_after].map(|it| it.map(rfc3339_of))) {
        provenance["occurredPeriod"] = bounds;
    }
    provenance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_member_of_its_own_is_a_column_that_is_collected() {
        for name in MEMBERS {
            let found = COLUMNS.iter().find(|column| column.name == name);
            let found = found.unwrap_or_else(|| panic!("{name} is no column"));
            assert_eq!(found.origin, Origin::Collected, "{name}");
        }
    }
}
