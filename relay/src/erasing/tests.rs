// SPDX-License-Identifier: Apache-2.0

use super::*;

#[test]
fn a_holder_is_a_study_and_a_key() {
    let key = Key([0xab; 32]);
    let text = format!("study=3, key={key}");
    let study = StudyId(3);
    assert_eq!(text.parse::<HolderKey>().unwrap(), HolderKey { study, key });
    for bad in [
        "study=3",
        "key=0xab",
        &format!("study=x,key={key}"),
        &format!("study=3,key={key},days=1"),
        "3",
    ] {
        assert!(bad.parse::<HolderKey>().is_err(), "{bad}");
    }
}

#[test]
fn a_rule_of_retention_is_a_study_and_days() {
    let (study, days) = (StudyId(0), 3_650);
    let rule = "study=0,days=3650".parse::<Retention>().unwrap();
    assert_eq!(rule, Retention { study, days });
    for bad in [
        "study=0",
        "days=1",
        "study=0,days=0",
        "study=0,days=36501",
        "study=0,days=-1",
        "study=0,days=1,key=2",
    ] {
        assert!(bad.parse::<Retention>().is_err(), "{bad}");
    }
}
