// SPDX-License-Identifier: Apache-2.0

//! How often a validator may change its session keys.
//!
//! Each change makes another set of authorities. Every phone, evidence file and node has to follow it, for ever, and nobody but the
//! validator needs it. So one a day is taken, and none that leaves nobody to make blocks.

use pallet_session::Call;

use crate::{AccountId, Consortium, RuntimeCall};

/// The custom error of a validator that has changed its session keys within a day, and has some.
pub const SESSION_KEYS_CHANGED_TODAY: u8 = 110;

/// The custom error of the last validator with session keys, when it would purge them.
pub const LAST_SESSION_KEYS: u8 = 111;

/// Refuses a change of session keys that comes too soon, or that would leave nobody with any.
pub(super) fn ensure_may_change(who: &AccountId, call: &RuntimeCall) -> Result<(), u8> {
    let is_purge = match call {
        RuntimeCall::Session(Call::set_keys { .. }) => false,
        RuntimeCall::Session(Call::purge_keys { .. }) => true,
        _ => return Ok(()),
    };
    if !Consortium::may_change_session_keys(who) {
        return Err(SESSION_KEYS_CHANGED_TODAY);
    }
    if is_purge && Consortium::has_last_session_keys(who) {
        return Err(LAST_SESSION_KEYS);
    }
    Ok(())
}
