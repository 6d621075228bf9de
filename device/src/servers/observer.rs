// SPDX-License-Identifier: Apache-2.0

//! Watching uploads.

use alloc::boxed::Box;
use core::time::Duration;

use futures_util::future::{self, BoxFuture};

/// Watches uploads and may hold them back: for programs that measure servers with many devices. An app has none, which
/// is `()`.
pub trait Observer: Send + Sync {
    /// Ends when the next upload may begin.
    fn turn(&self) -> BoxFuture<'_, ()> {
        Box::pin(future::ready(()))
    }

    /// A relay accepted so many entries in one upload, and took this long to answer.
    fn accepted(&self, _entries: usize, _took: Duration) {}

    /// An upload has to be sent again.
    fn repeated(&self) {}

    /// This long after an upload was sent, the device learned that it is finalised.
    fn finalised(&self, _took: Duration) {}
}

impl Observer for () {}
