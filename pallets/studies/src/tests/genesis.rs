// SPDX-License-Identifier: Apache-2.0

use frame_support::traits::{GetStorageVersion, StorageVersion};
use sp_core::H256;

use crate::{mock::*, GenesisConfig, GenesisStudy, Pallet, Study, StudyPolicy, StudyStatus};

#[test]
fn a_study_of_the_genesis_is_ready_in_the_first_block() {
    ExtBuilder::default().build_and_execute(|| {
        assert_eq!(
            Studies::study(STUDY),
            Some(Study {
                sponsor: SPONSOR,
                policy: StudyPolicy::DeviceSigned,
                status: StudyStatus::Open,
                auditor_key: AUDITOR_KEY,
                title: title("Insomnia"),
                former_auditor_keys: Default::default(),
            })
        );
        for who in [SPONSOR, AUTHENTICATION_SERVER, RELAY] {
            assert!(Studies::has_role(&who));
            assert_eq!(System::providers(&who), 1);
        }
        assert!(!Studies::has_role(&CONSORTIUM));
        assert!(!Studies::has_role(&STRANGER));
    });
}

#[test]
fn the_storage_version_is_written_at_genesis() {
    ExtBuilder::default().build_and_execute(|| {
        assert_eq!(Pallet::<Test>::on_chain_storage_version(), 1);
        assert_eq!(
            Pallet::<Test>::in_code_storage_version(),
            StorageVersion::new(1)
        );
    });
}

#[test]
#[should_panic(expected = "is refused")]
fn a_genesis_with_a_title_that_is_too_long_does_not_build() {
    let study = GenesisStudy {
        title: "x".repeat(33),
        ..genesis_study()
    };
    ExtBuilder::default().studies(vec![study]).build();
}

#[test]
#[should_panic(expected = "WeakAuditorKey")]
fn a_genesis_with_a_weak_auditor_key_does_not_build() {
    let study = GenesisStudy {
        auditor_key: H256::zero(),
        ..genesis_study()
    };
    ExtBuilder::default().studies(vec![study]).build();
}

#[test]
#[should_panic(expected = "AlreadyRelay")]
fn a_genesis_that_names_a_relay_twice_does_not_build() {
    let study = GenesisStudy {
        relays: vec![RELAY, RELAY],
        ..genesis_study()
    };
    ExtBuilder::default().studies(vec![study]).build();
}

#[test]
fn the_genesis_reads_as_a_person_would_write_it() {
    let written = r#"{
        "studies": [{
            "title": "Insomnia",
            "sponsor": 2,
            "auditorKey": "0x0707070707070707070707070707070707070707070707070707070707070707",
            "authenticationServers": [3],
            "relays": [4]
        }]
    }"#;
    let genesis: GenesisConfig<Test> =
        serde_json::from_str(written).expect("this is the documented form");
    assert_eq!(genesis.studies, [genesis_study()]);
}

#[test]
fn a_misspelt_field_of_the_genesis_is_refused() {
    let written = r#"{ "studies": [{ "title": "x", "sponsor": 2, "relay": [4],
        "auditorKey": "0x0707070707070707070707070707070707070707070707070707070707070707" }] }"#;
    assert!(serde_json::from_str::<GenesisConfig<Test>>(written).is_err());
}
