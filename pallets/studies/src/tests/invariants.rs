// SPDX-License-Identifier: Apache-2.0

//! The check of the invariants sees every kind of damage, and none where there is none.

use frame_support::assert_ok;
use sp_runtime::TryRuntimeError;

use crate::{
    mock::*, AuthenticationServers, NextStudyId, Relays, RoleCount, RoleCounts, ServerCounts,
    Studies as Stored,
};

fn complaint_after(damage: impl FnOnce()) -> Result<(), TryRuntimeError> {
    ExtBuilder::default().build().execute_with(|| {
        assert_ok!(Studies::do_try_state());
        damage();
        Studies::do_try_state()
    })
}

#[test]
fn damage_to_studies_is_seen() {
    assert_eq!(
        complaint_after(|| Stored::<Test>::remove(STUDY)),
        Err("a study is missing".into())
    );
    assert_eq!(
        complaint_after(NextStudyId::<Test>::kill),
        Err("a study has a number that was not given yet".into())
    );
    assert_eq!(
        complaint_after(|| Stored::<Test>::mutate_extant(STUDY, |study| study.title = title(""))),
        Err("a study has no title".into())
    );
    assert_eq!(
        complaint_after(|| Stored::<Test>::mutate_extant(STUDY, |study| {
            study.auditor_key = [0; 32];
        })),
        Err("a study has a weak auditor key".into())
    );
}

#[test]
fn damage_to_servers_is_seen() {
    assert_eq!(
        complaint_after(|| AuthenticationServers::<Test>::remove(STUDY, AUTHENTICATION_SERVER)),
        Err("servers are miscounted".into())
    );
    assert_eq!(
        complaint_after(|| ServerCounts::<Test>::remove(STUDY)),
        Err("servers are not counted".into())
    );
    assert_eq!(
        complaint_after(|| Relays::<Test>::insert(NO_STUDY, RELAY, ())),
        Err("a server belongs to no study".into())
    );
    assert_eq!(
        complaint_after(|| MaxServers::set(0)),
        Err("a study has too many servers".into())
    );
}

#[test]
fn damage_to_roles_is_seen() {
    assert_eq!(
        complaint_after(|| {
            let relay = RoleCounts {
                relay: 2,
                ..Default::default()
            };
            RoleCount::<Test>::insert(RELAY, relay);
        }),
        Err("the roles of an account are miscounted".into())
    );
    assert_eq!(
        complaint_after(|| RoleCount::<Test>::insert(STRANGER, RoleCounts::default())),
        Err("the roles of an account are miscounted".into())
    );
    assert_eq!(
        complaint_after(|| RoleCount::<Test>::remove(RELAY)),
        Err("an account holds an uncounted role".into())
    );
    assert_eq!(
        complaint_after(|| {
            assert_ok!(System::dec_providers(&RELAY));
        }),
        Err("an account with a role has no place on the chain".into())
    );
}
