// SPDX-License-Identifier: Apache-2.0

//! What a relay shows an auditor: it has a real store, and shows another one.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::http::Method;
use axum::response::IntoResponse;
use hashchain::StudyId;
use mhealth_api::{ExportedRun, Refusal, RunState, RunUpload};
use mhealth_testing::front::{conduct, Told};
use mhealth_testing::handset::{self, links};
use mhealth_testing::phone::exported;
use rand::rngs::StdRng;
use rand::Rng;

use super::arena::{Relay, SharedArena};
use super::tokens::pending;
use crate::attack::Attack;
use crate::truth::{Culprit, Effect, Planted};

/// Media type of an export.
const NDJSON: &str = "application/x-ndjson";

/// The rows of this file that one audit judges.
pub(crate) const ROWS: [Attack; 7] = [
    Attack::CopiesReceipts,
    Attack::AltersExport,
    Attack::WritesRefused,
    Attack::WritesTime,
    Attack::ShowsLess,
    Attack::ShowsNothing,
    Attack::NotAsked,
];

/// Words under which a relay may hide that it kept a run back.
const EXCUSES: [Refusal; 5] = [
    Refusal::Gap,
    Refusal::DeviceSuspended,
    Refusal::StudyClosed,
    Refusal::BadSignature,
    Refusal::PreviousIsNotHead,
];

/// What the hostile relays of these rows show, by row.
#[derive(Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<Vec<ExportedRun>>>);

impl Shown {
    fn add(&self, mut run: ExportedRun) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        run.cursor = shown.len() as u64 + 1;
        shown.push(run);
    }

    fn lines(&self) -> Vec<ExportedRun> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.clone()
    }
}

/// How the relay of a row treats phones and auditors.
pub(crate) fn turn(arena: &SharedArena, row: Attack, shown: &Shown) {
    let Ok(relay) = arena.hostile(row) else {
        return;
    };
    let shown = shown.clone();
    relay.front.play(conduct(move |asked, behind| {
        let shown = shown.clone();
        async move {
            let keeps_back = matches!(row, Attack::WritesRefused | Attack::WritesTime);
            if keeps_back && asked.is(Method::POST, "/v1/runs") {
                let run: RunUpload = asked.message()?;
                return Ok(Told::message_of(202, &pending(&run))?.into_response());
            }
            if !asked.is(Method::GET, "/v1/export") {
                return Ok(behind.pass(&asked).await?.into_response());
            }
            let lines = match row {
                Attack::ShowsNothing => {
                    return Ok(Told::problem(403, "invalid_credentials")?.into_response());
                }
                Attack::AltersExport | Attack::ShowsLess => {
                    let genuine = read(&behind.pass(&asked).await?)?;
                    differently(row, genuine, &shown.lines())
                }
                _ => shown.lines(),
            };
            Ok(export(&lines)?.into_response())
        }
    }));
}

/// Its own store, with other envelopes in these runs, or without them.
fn differently(
    row: Attack,
    mut genuine: Vec<ExportedRun>,
    runs: &[ExportedRun],
) -> Vec<ExportedRun> {
    let is_one = |run: &ExportedRun| runs.iter().any(|one| one.status.run == run.status.run);
    match row {
        Attack::ShowsLess => genuine.retain(|run| !is_one(run)),
        _ => genuine
            .iter_mut()
            .filter(|run| is_one(run))
            .for_each(alter_last),
    }
    genuine
}

/// One digit of what was measured last.
fn alter_last(run: &mut ExportedRun) {
    let Some(entry) = run.entries.last_mut() else {
        return;
    };
    let envelope = &mut entry.envelope.0;
    if let Some(place) = envelope.len().checked_sub(2) {
        envelope[place] = if envelope[place] == b'9' { b'1' } else { b'9' };
    }
}

fn read(told: &Told) -> Result<Vec<ExportedRun>> {
    let text = std::str::from_utf8(&told.body)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn export(lines: &[ExportedRun]) -> Result<Told> {
    let mut text = Vec::new();
    for run in lines {
        serde_json::to_writer(&mut text, run)?;
        text.push(b'\n');
    }
    Told::bytes(200, NDJSON, text)
}

/// Makes one attempt.
pub(crate) async fn attempt(
    arena: &SharedArena,
    row: Attack,
    shown: &Shown,
    mut random: StdRng,
) -> Result<Planted> {
    let [dave, eve] = [&arena.honest[0], &arena.honest[1]];
    // What happened before the attack is with an honest relay that is asked.
    let mut victim = arena.victim(eve, &mut random).await?;
    let run = victim.phone.record(random.random_range(1..=3));
    let places: Vec<u64> = links(&run).iter().map(|(sequence, _)| *sequence).collect();
    let last = places.last().copied().into_iter().collect();
    let study = arena.column.study();
    let (effect, culprit) = match row {
        // Another relay's runs with that relay's receipts, and other data.
        Attack::CopiesReceipts => {
            handset::deliver(&dave.url(), &victim.token, &run).await?;
            let mut copy = line_of(dave, &run, study).await?;
            alter_last(&mut copy);
            shown.add(copy);
            (Effect::Kept(last), arena.hostile(row)?)
        }
        Attack::AltersExport | Attack::ShowsLess => {
            let relay = arena.hostile(row)?;
            handset::deliver(&relay.url(), &victim.token, &run).await?;
            shown.add(exported(&run, 0, study, RunState::Finalised));
            let effect = match row {
                Attack::AltersExport => Effect::Kept(last),
                _ => Effect::Kept(places),
            };
            (effect, relay)
        }
        Attack::WritesRefused | Attack::WritesTime => {
            let relay = arena.hostile(row)?;
            handset::upload(&relay.url(), &victim.token, &run).await?;
            let mut line = exported(&run, 0, study, RunState::Pending);
            line.received_at = handset::now();
            if row == Attack::WritesRefused {
                let excuse = &EXCUSES[random.random_range(0..EXCUSES.len())];
                line.status.state = match excuse {
                    Refusal::PreviousIsNotHead => RunState::Conflicting,
                    _ => RunState::Refused,
                };
                line.status.reason = Some(excuse.clone());
            }
            shown.add(line);
            (Effect::Missing(links(&run)), relay)
        }
        _ => {
            let relay = match row {
                Attack::NotAsked => dave,
                _ => arena.hostile(row)?,
            };
            handset::deliver(&relay.url(), &victim.token, &run).await?;
            (Effect::NotShown(places), relay)
        }
    };
    Ok(Planted {
        attack: row,
        device: victim.phone.device(),
        effect,
        culprits: vec![Culprit::Relay(culprit.key)],
        honest_to: victim.honest_to,
        block: arena.chain.finalised().await?.number,
        at: std::time::Instant::now(),
    })
}

/// What a relay shows of a run.
async fn line_of(relay: &Relay, run: &RunUpload, study: StudyId) -> Result<ExportedRun> {
    // Receipts are no secret, and phones bring their runs to several relays.
    let mut line = exported(run, 0, study, RunState::Finalised);
    line.status = handset::settled(&relay.url(), handset::name(run)).await?;
    line.received_at = handset::now();
    Ok(line)
}
