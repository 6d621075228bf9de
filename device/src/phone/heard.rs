// SPDX-License-Identifier: Apache-2.0

//! The host's transport, with a note of when somebody answered.

use alloc::sync::Arc;
use core::time::Duration;

use crate::{
    host::{Answer, Clock, Request, Transport, TransportFault},
    lock::Mutex,
};

pub(super) struct Heard<T> {
    transport: Arc<T>,
    clock: Arc<dyn Clock>,
    /// In seconds since 1970.
    last: Arc<Mutex<Option<i64>>>,
}

impl<T> Heard<T> {
    pub(super) fn new(transport: T, clock: Arc<dyn Clock>) -> Self {
        Self {
            transport: Arc::new(transport),
            clock,
            last: Arc::default(),
        }
    }

    /// When somebody answered last, since the phone was opened.
    pub(super) fn last(&self) -> Option<i64> {
        *self.last.lock()
    }
}

impl<T> Clone for Heard<T> {
    fn clone(&self) -> Self {
        Self {
            transport: self.transport.clone(),
            clock: self.clock.clone(),
            last: self.last.clone(),
        }
    }
}

impl<T: Transport> Transport for Heard<T> {
    async fn send(&self, request: Request) -> Result<Answer, TransportFault> {
        let answer = self.transport.send(request).await?;
        *self.last.lock() = Some(self.clock.now().unix_timestamp());
        Ok(answer)
    }

    async fn sleep(&self, time: Duration) {
        self.transport.sleep(time).await;
    }
}
