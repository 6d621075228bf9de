// SPDX-License-Identifier: Apache-2.0

//! Of which study a device is, the evidence says, and neither the holder nor a report.

use std::fs;

use hashchain::{DeviceId, SealingKey, StudyId};
use mhealth_dataset::keys::{KeyFolder, Whose};
use mhealth_dataset::{export, verify};

use crate::support::nights::study;
use crate::verifying::sign_again;

const OTHER: StudyId = StudyId(5);

/// Each row is registered, in its place, and it is not of the study that the holder signed.
#[test]
fn a_dataset_of_another_studys_devices_is_refused_whoever_signed_it() {
    let mut world = study();
    let genuine = world.export(&world.job("out")).unwrap();
    let mut manifest = genuine.clone();
    manifest.study = OTHER;
    let holder = world.keys.holder().unwrap();
    sign_again(&world, manifest, &holder);
    let refused = verify(&world.path("out"), &world.trusted()).unwrap_err();
    assert_eq!(refused.code(), "bad_row");
    assert!(refused.to_string().contains("another study"), "{refused}");
    sign_again(&world, genuine, &holder);
    verify(&world.path("out"), &world.trusted()).unwrap();
}

#[test]
fn a_report_of_another_studys_devices_makes_no_dataset() {
    let world = study();
    let mut job = world.job("out");
    job.allow_missing_keys = true;
    let report = fs::read_to_string(&job.audit).unwrap();
    let own = "\"study\":0";
    assert!(report.contains(own));
    fs::write(&job.audit, report.replace(own, "\"study\":5")).unwrap();
    let whose = Whose {
        chain: world.genesis(),
        study: OTHER,
    };
    let mut keys = KeyFolder::create(&world.path("other keys"), whose).unwrap();
    let refused = export(&job, &mut keys, &mut |_| ()).unwrap_err();
    assert_eq!(refused.code(), "not_an_audit");
    assert!(refused.to_string().contains("of study 0"), "{refused}");
    assert!(!job.out.exists());
}

/// Evidence may be of all devices of a chain, and somebody may take part in two of its studies with one key.
#[test]
fn a_device_of_another_study_is_nobodys_in_this_one() {
    let mut world = study();
    let before = world.export(&world.job("before")).unwrap();
    let key = {
        let mut keys = world.keys.public_keys();
        let (_, key) = keys.find(|(known, _)| *known == "P-ada").unwrap();
        SealingKey(key.0)
    };
    let phone = world.phone_of(OTHER, Some(("P-ada".into(), key)));
    world.night(phone, "P-ada", 20, 300, 320);
    let manifest = world.export(&world.job("out")).unwrap();
    assert_eq!(manifest.not_audited, before.not_audited);
    let counts = (manifest.rows, manifest.devices);
    assert_eq!(counts, (before.rows, before.devices));
    verify(&world.path("out"), &world.trusted()).unwrap();
    // Nor does it come into a record of this study, and so into an order that no relay carries out.
    let device = DeviceId(phone as u32);
    assert_eq!(world.keys.owner(device), None);
    let mut job = world.job("mine");
    job.participant = Some("P-ada".into());
    job.devices = vec![device];
    let refused = world.export(&job).unwrap_err();
    assert_eq!(refused.code(), "device_of_another");
}
