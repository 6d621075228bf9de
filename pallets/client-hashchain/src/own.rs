// SPDX-License-Identifier: Apache-2.0

//! The device whose account submits.

use crate::{Config, DeviceByKey, DeviceId};
use sp_runtime::AccountId32;

/// The device that is the submitter itself. Looked up once a call at most: who is no relay of a study is asked for every run.
#[derive(Default)]
pub(crate) struct OwnDevice(Option<Option<DeviceId>>);

#[cfg(test)]
std::thread_local! {
    static LOOKUPS: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
}

/// How many times this thread has looked for the device of an account, for the test that bounds it.
#[cfg(test)]
pub(crate) fn lookups() -> u64 {
    LOOKUPS.get()
}

impl OwnDevice {
    /// Whether the submitter is this device.
    pub(crate) fn is<T: Config>(&mut self, submitter: &AccountId32, device: DeviceId) -> bool {
        let own = self.0.get_or_insert_with(|| {
            #[cfg(test)]
            LOOKUPS.set(LOOKUPS.get() + 1);
            DeviceByKey::<T>::get(AsRef::<[u8; 32]>::as_ref(submitter))
        });
        *own == Some(device)
    }
}
