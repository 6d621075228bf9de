// SPDX-License-Identifier: Apache-2.0

//! What people ask first, in the way in which tools find it in the metadata: by the pallet's name.

use codec::{Decode, DecodeAll, Encode};
use frame_support::view_functions::{ViewFunction, ViewFunctionDispatchError, ViewFunctionId};
use pallet_client_hashchain::{DeviceViewFunction, HeadViewFunction, StudyViewFunction};

use crate::{admission::tests::enrol, testing::development, ClientHashchain, Runtime};

/// Asks as a client does: by the number that the metadata has, with bytes for the arguments.
fn ask<F: ViewFunction>(number: u32) -> F::ReturnType
where
    F::ReturnType: Decode,
{
    let answer = Runtime::execute_view_function(F::id(), number.encode());
    let answer = answer.expect("the runtime has it");
    F::ReturnType::decode_all(&mut &answer[..]).expect("it has this type")
}

#[test]
fn a_view_function_answers_what_the_runtime_api_does() {
    development().execute_with(|| {
        let study = ask::<StudyViewFunction<Runtime>>(0);
        assert!(study.is_some());
        assert_eq!(study, ClientHashchain::study_view(0));
        assert_eq!(ask::<StudyViewFunction<Runtime>>(99), None);
        assert_eq!(ask::<HeadViewFunction<Runtime>>(0), None);
        assert_eq!(ask::<DeviceViewFunction<Runtime>>(0), None);
        enrol(1);
        let device = ask::<DeviceViewFunction<Runtime>>(0);
        assert!(device.is_some());
        assert_eq!(device, ClientHashchain::device_view(0));
        let head = ask::<HeadViewFunction<Runtime>>(0);
        assert!(head.is_some());
        assert_eq!(head, ClientHashchain::head_view(0));
    });
}

#[test]
fn a_view_function_that_is_not_there_and_arguments_that_are_none_are_refused() {
    development().execute_with(|| {
        let nobodys = ViewFunctionId {
            suffix: [0; 16],
            ..HeadViewFunction::<Runtime>::id()
        };
        let refused = Runtime::execute_view_function(nobodys, 0u32.encode());
        assert!(matches!(
            refused,
            Err(ViewFunctionDispatchError::NotFound(_))
        ));
        let head = HeadViewFunction::<Runtime>::id();
        let refused = Runtime::execute_view_function(head, vec![1, 2]);
        assert!(matches!(refused, Err(ViewFunctionDispatchError::Codec)));
    });
}
