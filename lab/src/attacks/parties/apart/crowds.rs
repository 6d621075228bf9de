// SPDX-License-Identifier: Apache-2.0

//! Three hundred hostile connections of one address, with the limits that servers have when nobody says otherwise.

use std::time::Duration;

use anyhow::Result;
use mhealth_testing::crowd::Site;
use mhealth_testing::databases::Kind;

use super::super::rights::tried;
use crate::attack::Attack;
use crate::play::Tried;

pub(super) async fn play(row: Attack, seed: u64, attempts: u32) -> Result<Vec<Tried>> {
    let site = Site::start(Kind::Sqlite).await?;
    let mut all = Vec::new();
    for number in 0..u64::from(attempts) {
        let seed = (seed << 16) + number;
        let outcome = match row {
            Attack::CrowdAtServer => site.strangers_at_the_office(seed).await.map(|it| {
                let longest = it.tokens.leaned.max(it.changes.leaned);
                (it.check(), longest, format!("{it:?}"))
            }),
            row => {
                let measured = match row {
                    Attack::CrowdWithToken => site.thieves_at_the_relay(seed).await,
                    _ => site.strangers_at_the_relay(seed).await,
                };
                measured.map(|it| {
                    let longest = it.uploads.leaned.max(it.probes.leaned);
                    (it.check(), longest, format!("{it:?}"))
                })
            }
        };
        // Whoever is refused or cut off because of a crowd is kept out.
        let (held, waited, about): (bool, Option<Duration>, String) = match outcome {
            Ok((Ok(()), waited, about)) => (true, Some(waited), about),
            Ok((Err(why), waited, _)) => (false, Some(waited), format!("{why:#}")),
            Err(error) => (false, None, format!("{error:#}")),
        };
        all.push(tried(row, held, waited, about));
    }
    Ok(all)
}
