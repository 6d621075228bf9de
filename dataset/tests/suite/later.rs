// SPDX-License-Identifier: Apache-2.0

//! A later dataset of the same study, for a project of REDCap or a server of FHIR that has the one before.

use std::collections::BTreeMap;

use hashchain::OpeningKey;

use crate::support::nights::study;
use crate::support::table::{csv, lines};
use crate::support::{destruction, World};

/// The entry of each instance of each record.
fn instances(world: &World, dataset: &str) -> BTreeMap<(String, String), (String, String)> {
    let rows = csv(&world.path(dataset).join("redcap/nights.csv"));
    let mut instances = BTreeMap::new();
    for row in rows {
        let cell = |name: &str| row[name].clone();
        let instance = (cell("record_id"), cell("redcap_repeat_instance"));
        let before = instances.insert(instance, (cell("device"), cell("link")));
        assert_eq!(before, None, "an instance is there twice");
    }
    instances
}

#[test]
fn an_instance_of_a_later_dataset_is_the_same_entry() {
    let mut world = study();
    // P-ada has three phones, of which the second has no entry yet.
    let second = world.phone(Some("P-ada"));
    let third = world.phone(Some("P-ada"));
    world.night(third, "P-ada", 30, 300, 320);
    world.export(&world.job("october")).unwrap();
    world.correction(0, "P-ada", 3, (222, 333), 4);
    world.night(second, "P-ada", 31, 301, 321);
    world.judge(0, 2, "altered", true);
    world.attempt(1, b"whatever somebody showed".to_vec());
    world.export(&world.job("november")).unwrap();
    let mut job = world.job("flagged");
    job.include_flagged = true;
    world.export(&job).unwrap();
    let october = instances(&world, "october");
    for (dataset, gone) in [("november", 1), ("flagged", 0)] {
        let later = instances(&world, dataset);
        let there: Vec<_> = october
            .iter()
            .filter_map(|(instance, entry)| Some((later.get(instance)?, entry)))
            .collect();
        assert_eq!(there.len(), october.len() - gone, "{dataset}");
        assert!(there.iter().all(|(now, entry)| now == entry), "{dataset}");
    }
}

/// A phone that seals to nobody may name anybody.
#[test]
fn what_is_nobodys_is_in_no_record_of_a_participant() {
    let mut world = study();
    let somebody = OpeningKey::from_bytes(&[3; 32]).sealing_key();
    let unknown = world.phone_sealing_to(Some(("P-gus".into(), somebody)));
    world.night(unknown, "P-gus", 0, 300, 320);
    let plain = world.phone(None);
    let names = [format!("device-{unknown}"), format!("device{unknown}")];
    for name in &names {
        world.night(plain, name, 0, 300, 320);
    }
    let mut job = world.job("out");
    job.allow_missing_keys = true;
    world.export(&job).unwrap();
    let unknown = unknown.to_string();
    for ((record, _), (device, _)) in instances(&world, "out") {
        assert_eq!(device == unknown, record == format!("device {unknown}"));
        assert!(device != unknown || !names.contains(&record));
    }
}

#[test]
fn a_resource_of_a_later_dataset_is_the_same_person() {
    let mut world = study();
    let subjects = |world: &World, dataset: &str| {
        let subjects = lines(world, &format!("{dataset}/fhir/ResearchSubject.ndjson"));
        let name = |it: &serde_json::Value| it["identifier"][0]["value"].to_string();
        let named = subjects.iter().map(|it| (name(it), it["id"].to_string()));
        named.collect::<BTreeMap<_, _>>()
    };
    world.export(&world.job("before")).unwrap();
    let destruction = destruction("P-ada", &[]);
    world.keys.destroy(&destruction).unwrap();
    world.export(&world.job("after")).unwrap();
    let mut before = subjects(&world, "before");
    before.remove("\"P-ada\"").unwrap();
    assert_eq!(subjects(&world, "after"), before);
    // Another chain has a device 1 and a study 0, too.
    let chain = world.genesis().to_string()[2..10].to_owned();
    for file in ["Device", "ResearchStudy", "Observation"] {
        for resource in lines(&world, &format!("after/fhir/{file}.ndjson")) {
            let id = resource["id"].as_str().unwrap();
            assert!(id.contains(&chain) && id.len() <= 64, "{id}");
        }
    }
}
