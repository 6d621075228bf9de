// SPDX-License-Identifier: Apache-2.0

//! What the server cannot do without.

use std::sync::Arc;

use mhealth_server::readiness::{chain_answers, chain_clock, disk, not_ready, queue};
use mhealth_server::{Lease, Readiness, ServerOptions};

use crate::app::App;

/// All parts of the server, to be looked at.
pub(crate) fn parts(
    readiness: Readiness,
    app: &Arc<App>,
    options: &ServerOptions,
) -> anyhow::Result<Readiness> {
    let age = readiness.head_age();
    let (oldest, least) = (options.ready_head_age, options.ready_free_disk);
    let queue_age = options.ready_queue_age;
    let place = options.database_folder()?;
    let of_app = || app.clone();
    let (database, chain, clock, leads, behind) =
        (of_app(), of_app(), of_app(), of_app(), of_app());
    let waiting = of_app();
    Ok(readiness
        .part("database", move || {
            let app = database.clone();
            async move { app.store.database().check().await }
        })
        .part("chain", move || {
            let app = chain.clone();
            async move {
                let block = async { app.chain.client()?.finalised().await };
                chain_answers(block).await.map(drop)
            }
        })
        .part("clock", move || {
            let (app, age) = (clock.clone(), age.clone());
            async move {
                let head = async { app.chain.client()?.finalised_time().await };
                let head = chain_answers(head).await?;
                chain_clock(head, app.now(), oldest, &age)
            }
        })
        .part("leadership", move || {
            let app = leads.clone();
            async move {
                match Lease::is_held(app.store.database()).await? {
                    true => Ok(()),
                    false => Err(not_ready("No process does what is ordered on the chain.")),
                }
            }
        })
        .part("node", move || {
            let behind = behind.metrics.behind.get();
            async move {
                match behind {
                    0 => Ok(()),
                    blocks => Err(not_ready(format!(
                        "It lacks {blocks} blocks of the chain that were seen; orders wait until it has caught up."
                    ))),
                }
            }
        })
        .part("queue", move || {
            let app = waiting.clone();
            async move {
                let ordered = app.store.oldest_pending_order().await?;
                let age = ordered.map_or(0, |ordered| app.now().saturating_sub(ordered));
                queue("An order", age, queue_age)
            }
        })
        .part("disk", move || {
            let left = place
                .as_ref()
                .map_or(Ok(()), |folder| disk(folder, least));
            async move { left }
        }))
}
