// SPDX-License-Identifier: Apache-2.0

use frame_support::{
    assert_noop, assert_ok,
    dispatch::{DispatchClass, GetDispatchInfo},
    weights::Weight,
};
use sp_runtime::DispatchError;

use super::{decided, last_event};
use crate::{mock::*, Call, Error, Event, WeightInfo};

#[test]
fn a_call_is_dispatched_as_root() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(Consortium::dispatch_as_root(decided(), write()));
        assert!(sp_io::storage::exists(b"key"));
        assert_eq!(
            last_event(),
            Some(Event::DispatchedAsRoot {
                pallet: "System".into(),
                call: "set_storage".into(),
            })
        );
    });
}

#[test]
fn a_call_that_fails_fails_with_its_own_error_and_leaves_nothing() {
    ExtBuilder.build_and_execute(|| {
        // A purge of keys must be signed, and root signs nothing.
        let purge = RuntimeCall::Session(pallet_session::Call::purge_keys {});
        let before = System::events().len();
        let result = Consortium::dispatch_as_root(decided(), Box::new(purge));
        assert_eq!(
            result.map(|_| ()).map_err(|refused| refused.error),
            Err(DispatchError::BadOrigin)
        );
        assert_eq!(System::events().len(), before);
    });
}

#[test]
fn a_call_that_another_with_more_checks_stands_for_is_refused_however_it_is_wrapped() {
    ExtBuilder.build_and_execute(|| {
        let guarded = RuntimeCall::System(frame_system::Call::kill_storage {
            keys: vec![b"key".to_vec()],
        });
        let wrapped = RuntimeCall::Consortium(Call::dispatch_as_root {
            call: Box::new(guarded.clone()),
        });
        assert_ok!(Consortium::dispatch_as_root(decided(), write()));
        for call in [guarded, wrapped] {
            let result = Consortium::dispatch_as_root(decided(), Box::new(call));
            assert_eq!(
                result.map(|_| ()).map_err(|refused| refused.error),
                Err(Error::<Test>::Guarded.into())
            );
        }
        assert!(sp_io::storage::exists(b"key"));
    });
}

#[test]
fn the_weight_and_class_are_those_of_the_call_inside_with_ours_on_top() {
    let inner = write();
    let inside = inner.get_dispatch_info();
    assert_ne!(inside.call_weight, Weight::zero());
    assert_eq!(inside.class, DispatchClass::Operational);

    let call = RuntimeCall::Consortium(Call::dispatch_as_root {
        call: inner.clone(),
    });
    let info = call.get_dispatch_info();
    let expected = inside.call_weight + <() as WeightInfo>::dispatch_as_root();
    assert_eq!(info.call_weight, expected);
    assert_eq!(info.class, DispatchClass::Operational);

    ExtBuilder.build_and_execute(|| {
        let post = Consortium::dispatch_as_root(decided(), inner).map(|post| post.actual_weight);
        assert_eq!(post, Ok(Some(expected)));
    });
}

#[test]
fn nobody_dispatches_as_root_alone() {
    ExtBuilder.build_and_execute(|| {
        for origin in [
            RuntimeOrigin::signed(1),
            RuntimeOrigin::signed(STRANGER),
            RuntimeOrigin::none(),
            pallet_collective::RawOrigin::Member(1).into(),
            pallet_collective::RawOrigin::Members(2, 4).into(),
        ] {
            assert_noop!(
                Consortium::dispatch_as_root(origin, write()),
                DispatchError::BadOrigin
            );
        }
    });
}

/// A call that only root may make.
fn write() -> Box<RuntimeCall> {
    let items = vec![(b"key".to_vec(), b"value".to_vec())];
    Box::new(RuntimeCall::System(frame_system::Call::set_storage {
        items,
    }))
}
