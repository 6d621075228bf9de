// SPDX-License-Identifier: Apache-2.0

//! How many ayes a motion of the council asks for.
//!
//! The proposer of a motion names them. With too few it is closed before it has those that the call needs, and fails; with
//! too many it never is. And while it is open, the others cannot propose the same call. So the chain knows the right
//! number for each kind of call, and takes no other.

use pallet_collective::Call as Council;
use pallet_studies::Call as Studies;

use super::MOTION_NEEDS_ANOTHER_THRESHOLD;
use crate::{Members, RuntimeCall};

/// What share of the members a call needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Share {
    MoreThanHalf,
    TwoThirds,
}

impl Share {
    /// As `MoreThanHalf` and `TwoThirds` of the runtime's configuration have it; everything that is not named needs two thirds.
    fn of(call: &RuntimeCall) -> Self {
        match call {
            RuntimeCall::Studies(
                Studies::create_study { .. }
                | Studies::replace_sponsor { .. }
                | Studies::set_allowance { .. },
            )
            | RuntimeCall::Council(Council::kill { .. } | Council::disapprove_proposal { .. }) => {
                Self::MoreThanHalf
            }
            _ => Self::TwoThirds,
        }
    }

    /// The least number of members that is such a share.
    fn least(self, members: u32) -> u32 {
        match self {
            Self::MoreThanHalf => members / 2 + 1,
            Self::TwoThirds => members.saturating_mul(2).div_ceil(3),
        }
    }
}

/// How many ayes a motion to make this call has to ask for at present.
pub(super) fn threshold(call: &RuntimeCall) -> u32 {
    Share::of(call).least(Members::members().len() as u32)
}

/// Refuses a motion that asks for more or for fewer ayes than its call needs.
pub(super) fn ensure_threshold(call: &RuntimeCall) -> Result<(), u8> {
    match call {
        RuntimeCall::Council(Council::propose {
            threshold: asked,
            proposal,
            ..
        }) if *asked != threshold(proposal) => Err(MOTION_NEEDS_ANOTHER_THRESHOLD),
        _ => Ok(()),
    }
}
