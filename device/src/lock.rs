// SPDX-License-Identifier: Apache-2.0

//! A lock that is held for a moment and never while something is awaited. The operating system's where there is one and the feature
//! `std` asks for it; it spins otherwise, which is for programs with one phone.

#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
use std::sync::{Mutex as Inner, MutexGuard, PoisonError};

#[cfg(not(feature = "std"))]
use spin::{Mutex as Inner, MutexGuard};

/// Lets one at a time at what it holds.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(Inner<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(held: T) -> Self {
        Self(Inner::new(held))
    }

    /// Whatever is changed under the lock is changed last, and at once: a panic leaves nothing half done.
    #[cfg(feature = "std")]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else is at it.
    #[cfg(not(feature = "std"))]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock()
    }
}
