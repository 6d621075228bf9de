// SPDX-License-Identifier: Apache-2.0

//! What a relay says to phones: real phones of `mhealth-device`, a real relay, and between them a front that lies.
//!
//! A phone goes one of three ways: it knows no other relay (Figure 1b, until it is told of one), it knows another one, or it
//! brings each run to both (Figure 1c). It measures for two nights through an honest relay, then the relay turns.

mod liar;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::future::{try_join_all, BoxFuture};

use super::arena::{Relay, SharedArena};
use super::phones::{Cohort, Phone, Session};
use crate::attack::Attack;
use crate::judge::{Fate, Verdict};
use crate::play::Tried;
use liar::Liar;

/// Nights before the relay turns.
const HONEST_NIGHTS: u32 = 2;
/// Nights when all is over.
const NIGHTS: u32 = 4;
/// So often phones try again, as on other days, if they are not done.
const DAYS: u32 = 5;

/// The rows of this file.
pub(crate) const ROWS: [Attack; 5] = [
    Attack::SaysFinalised,
    Attack::ForeignHead,
    Attack::OldHead,
    Attack::KeepsBack,
    Attack::LagsBehind,
];

/// How a phone knows relays.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The hostile one alone, until it is told of another.
    Alone,
    /// Both; one of them is to hold each run.
    Either,
    /// Both; both are to hold each run.
    Both,
}

impl Way {
    const ALL: [Way; 3] = [Way::Alone, Way::Either, Way::Both];

    fn name(self) -> &'static str {
        match self {
            Way::Alone => "alone",
            Way::Either => "either",
            Way::Both => "both",
        }
    }

    fn copies(self) -> u32 {
        match self {
            Way::Both => 2,
            _ => 1,
        }
    }
}

/// Plays a row in a study: as many attempts as there are phones that meet the relay when it has turned.
pub(crate) async fn play(arena: SharedArena, row: Attack, attempts: u32) -> Result<Vec<Tried>> {
    let relay = arena.hostile(row)?;
    let liar = Arc::new(Liar::of(row));
    if row != Attack::LagsBehind {
        relay.front.play(liar.clone().conduct());
    }
    let mut cohorts = Vec::new();
    for (way, place) in Way::ALL.into_iter().zip(0..) {
        // Of those that know both and choose one, half begin with the honest one.
        let share = (attempts + 2 - place) / 3;
        let phones = match way {
            Way::Either => 2 * share.max(1),
            _ => share.max(1),
        };
        let name = format!("{}-{}", row.name(), way.name());
        cohorts.push((way, Cohort::of(&arena, &name, phones)));
    }
    let spare = arena.honest[1].url();
    let relays = |way: Way| match way {
        Way::Alone => vec![relay.url()],
        _ => vec![relay.url(), spare.clone()],
    };
    match row {
        Attack::LagsBehind => fall_behind(&arena, relay, &cohorts).await?,
        _ => {
            let first = |way: Way| Some((HONEST_NIGHTS, relays(way), way.copies()));
            all_at_once(&cohorts, first).await?;
        }
    }
    liar.turn();
    let turned = |way: Way| Some((NIGHTS, relays(way), way.copies()));
    let mut waited: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut said: BTreeMap<&str, String> = BTreeMap::new();
    for (way, session) in all_at_once(&cohorts, turned).await? {
        // Whoever knows no other relay can only wait until it is told of one.
        let took = match way {
            Way::Alone => Duration::ZERO,
            _ => session.took,
        };
        waited.insert(way.name(), took);
        said.insert(way.name(), session.said);
    }
    for _ in 0..DAYS {
        let mut left = Vec::new();
        for (way, cohort) in &cohorts {
            if !everything_arrived(&arena, cohort).await? {
                left.push(way.name());
            }
        }
        if left.is_empty() {
            break;
        }
        let again = |way: Way| {
            let both = vec![relay.url(), spare.clone()];
            left.contains(&way.name())
                .then(|| (NIGHTS, both, way.copies()))
        };
        for (way, session) in all_at_once(&cohorts, again).await? {
            *waited.entry(way.name()).or_default() += session.took;
            said.insert(way.name(), session.said);
        }
    }
    let mut tried = Vec::new();
    for (way, cohort) in &cohorts {
        for phone in cohort.standing().await? {
            let meets = match row {
                Attack::LagsBehind => !matches!(way, Way::Either) || phone.device.0 % 2 == 0,
                _ => liar.met(phone.device),
            };
            if !meets {
                continue;
            }
            let fate = fate(&arena, &phone).await?;
            tried.push(Tried {
                attack: row,
                verdict: Verdict { fate, named: None },
                after: None,
                waited: waited.get(way.name()).copied(),
                about: format!("{way:?} {phone:?}: {}", last_lines(&said[way.name()])),
            });
        }
    }
    Ok(tried)
}

/// The relay's node stays where it is, and the phones go on. Those that know no other relay are enrolled only afterwards, and
/// are strangers to it.
async fn fall_behind(arena: &SharedArena, relay: &Relay, cohorts: &[(Way, Cohort)]) -> Result<()> {
    let until = |nights: u32| {
        let elsewhere = vec![arena.honest[1].url()];
        move |way: Way| match way {
            Way::Alone => None,
            _ => Some((nights, elsewhere.clone(), 1)),
        }
    };
    all_at_once(cohorts, until(HONEST_NIGHTS)).await?;
    arena.let_lag(relay).await?;
    all_at_once(cohorts, until(HONEST_NIGHTS + 1)).await?;
    Ok(())
}

/// Has the cohorts measure and send at the same time: until which night, through which relays, to how many of them.
async fn all_at_once(
    cohorts: &[(Way, Cohort)],
    plan: impl Fn(Way) -> Option<(u32, Vec<String>, u32)>,
) -> Result<Vec<(Way, Session)>> {
    let mut sessions: Vec<BoxFuture<'_, Result<(Way, Session)>>> = Vec::new();
    for (way, cohort) in cohorts {
        if let Some((nights, relays, copies)) = plan(*way) {
            sessions.push(Box::pin(async move {
                Ok((*way, cohort.session(nights, &relays, copies).await?))
            }));
        }
    }
    try_join_all(sessions).await
}

async fn everything_arrived(arena: &SharedArena, cohort: &Cohort) -> Result<bool> {
    for phone in cohort.standing().await? {
        if fate(arena, &phone).await? != Fate::Prevented {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Prevented: the chain has all that the phone made, and the phone goes on. Anything else is what the relay wanted: entries that
/// the phone has forgotten and the chain never got, or a phone that stands still.
async fn fate(arena: &SharedArena, phone: &Phone) -> Result<Fate> {
    let head = arena.chain.head(phone.device).await?;
    let arrived =
        head.is_some_and(|head| head.length == phone.length && head.hash.to_string() == phone.head);
    Ok(
        match arrived && phone.stopped.is_none() && phone.confirmed <= phone.length {
            true => Fate::Prevented,
            false => Fate::Unseen,
        },
    )
}

fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.trim_end().lines().rev().take(2).collect();
    lines.join(" / ")
}
