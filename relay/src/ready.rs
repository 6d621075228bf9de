// SPDX-License-Identifier: Apache-2.0

//! What the relay cannot do without.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mhealth_server::readiness::{chain_answers, chain_clock, disk, not_ready, queue};
use mhealth_server::{Lease, Readiness, ServerOptions, SharedClock};

use crate::http::App;
use crate::issuers::Issuers;
use crate::metrics::Metrics;

/// How long an upload may take to be stored, as when another has the lock for so long.
const STORED_WITHIN: Duration = Duration::from_secs(10);

/// From when on something is amiss.
pub(crate) struct Bounds {
    /// Seconds that the latest final block may be old; 0: however old.
    pub(crate) head_age: u64,
    /// Seconds that a run may wait; 0: however long.
    pub(crate) queue_age: u64,
    /// Where the database is, when that can be looked at, and how many bytes it must have left.
    pub(crate) disk: Option<(PathBuf, u64)>,
}

impl Bounds {
    pub(crate) fn of(options: &ServerOptions) -> anyhow::Result<Self> {
        let folder = options.database_folder()?;
        Ok(Self {
            head_age: options.ready_head_age,
            queue_age: options.ready_queue_age,
            disk: folder.map(|folder| (folder, options.ready_free_disk)),
        })
    }
}

/// All parts of the relay, to be looked at.
pub(crate) fn parts(
    readiness: Readiness,
    app: &Arc<App>,
    issuers: &Issuers,
    metrics: &Metrics,
    clock: &SharedClock,
    bounds: Bounds,
) -> Readiness {
    let age = readiness.head_age();
    let Bounds {
        head_age,
        queue_age,
        disk: place,
    } = bounds;
    let of_app = || app.clone();
    let (database, chain, clock_of, leads) = (of_app(), of_app(), of_app(), of_app());
    let writer = of_app();
    let (behind, waiting, clock) = (metrics.clone(), metrics.clone(), clock.clone());
    let issuers = issuers.clone();
    readiness
        .part("database", move || {
            let app = database.clone();
            async move { app.store.database().check().await }
        })
        .part("writer", move || {
            let stored_for = writer.intake.storing_for();
            async move {
                match stored_for > STORED_WITHIN {
                    true => Err(not_ready(format!(
                        "Uploads have waited for the database for {} seconds.",
                        stored_for.as_secs()
                    ))),
                    false => Ok(()),
                }
            }
        })
        .part("chain", move || {
            let app = chain.clone();
            async move { chain_answers(app.ledger.finalised()).await.map(drop) }
        })
        .part("clock", move || {
            let (app, clock, age) = (clock_of.clone(), clock.clone(), age.clone());
            async move {
                let head = chain_answers(app.ledger.finalised_time()).await?;
                chain_clock(head, clock.now(), head_age, &age)
            }
        })
        .part("leadership", move || {
            let app = leads.clone();
            async move {
                match Lease::is_held(app.store.database()).await? {
                    true => Ok(()),
                    false => Err(not_ready("No process brings runs to the chain.")),
                }
            }
        })
        .part("node", move || {
            let behind = behind.blocks_behind();
            async move {
                match behind {
                    0 => Ok(()),
                    blocks => Err(not_ready(format!(
                        "It lacks {blocks} blocks that it had; nothing new is submitted until it has caught up."
                    ))),
                }
            }
        })
        .part("queue", move || {
            let age = u64::try_from(waiting.oldest_queued()).unwrap_or(0);
            async move { queue("A run", age, queue_age) }
        })
        .part("keys", move || {
            let unknown = issuers.unknown().join(", ");
            async move {
                match unknown.is_empty() {
                    true => Ok(()),
                    false => Err(not_ready(format!("Those of {unknown} cannot be read."))),
                }
            }
        })
        .part("disk", move || {
            let left = place
                .as_ref()
                .map_or(Ok(()), |(folder, least)| disk(folder, *least));
            async move { left }
        })
}
