// SPDX-License-Identifier: Apache-2.0

//! The parts of a server, without each of which it does not work.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// What goes on beside the answers to requests, and what it is called.
pub(crate) type Task = (&'static str, Pin<Box<dyn Future<Output = ()> + Send>>);

/// The server ended because a part of it did, without which it does not work. Which one, and why, is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server ended because its part {0:?} did")]
pub struct PartDied(pub &'static str);

/// What a server does beside answering, and the first part of it that died.
pub(crate) struct Parts {
    tasks: JoinSet<()>,
    names: HashMap<task::Id, &'static str>,
    stop: CancellationToken,
    pub(crate) died: Option<PartDied>,
}

impl Parts {
    pub(crate) fn of(tasks: Vec<Task>, stop: CancellationToken) -> Self {
        let (mut set, mut names) = (JoinSet::new(), HashMap::new());
        for (name, task) in tasks {
            names.insert(set.spawn(task).id(), name);
        }
        Self {
            tasks: set,
            names,
            stop,
            died: None,
        }
    }

    /// Answers until that ends, and ends it when a part dies.
    pub(crate) async fn watch<T>(&mut self, mut answering: Pin<&mut impl Future<Output = T>>) -> T {
        loop {
            tokio::select! {
                answered = &mut answering => return answered,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
            }
        }
    }

    fn ended(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let part = self.names.get(&id).copied().unwrap_or_default();
        match ended {
            Ok(_) if self.stop.is_cancelled() => return,
            Ok(_) => tracing::error!(part, "a part of the server ended; the server ends, too"),
            Err(error) => {
                tracing::error!(part, %error, "a part of the server died; the server ends, too");
            }
        }
        self.died.get_or_insert(PartDied(part));
        self.stop.cancel();
    }

    /// Waits for those that are left.
    pub(crate) async fn end(&mut self, patience: Duration) {
        let ending = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.ended(ended);
            }
        };
        if tokio::time::timeout(patience, ending).await.is_err() {
            tracing::warn!("parts of the server did not end in time");
            self.tasks.shutdown().await;
        }
    }
}
