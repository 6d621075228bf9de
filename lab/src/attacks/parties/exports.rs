// SPDX-License-Identifier: Apache-2.0

//! What a relay shows an auditor: it has a real store, and shows another one.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{bail, Context, Result};
use axum::http::Method;
use axum::response::IntoResponse;
use hashchain::StudyId;
use mhealth_api::{ClosingLine, ExportedRun, Refusal, RunState, RunUpload, CLOSING_PREFIX};
use mhealth_testing::export::{closing_line, lines, Signer};
use mhealth_testing::front::{conduct, Asked, Told};
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
pub(crate) const ROWS: [Attack; 8] = [
    Attack::CopiesReceipts,
    Attack::AltersExport,
    Attack::WritesRefused,
    Attack::WritesTime,
    Attack::ShowsLess,
    Attack::ShowsNothing,
    Attack::BorrowsExport,
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

/// What the hostile relay of a row shows.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    runs: Arc<Mutex<Vec<ExportedRun>>>,
    /// In which of a row's ways it shows what is not its own. It shows all that it has while there is none, so that audits of other
    /// rows are whole.
    way: Arc<Mutex<Option<u32>>>,
}

impl Shown {
    fn add(&self, mut run: ExportedRun) {
        let mut shown = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        run.cursor = shown.len() as u64 + 1;
        shown.push(run);
    }

    /// From now on it goes this way.
    pub(crate) fn go(&self, way: Option<u32>) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }

    fn way(&self) -> Option<u32> {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> Vec<ExportedRun> {
        let shown = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        shown.clone()
    }
}

/// In how many ways a row shows an auditor what is not its own. Each takes an audit by itself: of a study of which one relay shows
/// nothing that it answers for, no audit is whole.
pub(crate) fn ways(row: Attack) -> u32 {
    match row {
        Attack::CopiesReceipts | Attack::ShowsNothing => 2,
        Attack::BorrowsExport => WAYS_TO_BORROW,
        Attack::NotAsked => 1,
        _ => 0,
    }
}

/// In this one of a row's ways nobody has signed what is shown, so that nobody but whoever made it answers for it.
const UNSIGNED: u32 = 1;
/// Ways to show what another relay has signed.
const WAYS_TO_BORROW: u32 = 6;
/// In this one it is shown beside the relay's own runs, which an audit then finds unaltered, whoever signed what.
const BESIDE_ITS_OWN: u32 = 4;

/// Another relay's export, shown as one's own.
fn borrowed(way: u32, others: &str, own: &str) -> Result<String> {
    let (lines, closing) = match others.rfind(CLOSING_PREFIX) {
        Some(place) => others.split_at(place),
        None => (others, ""),
    };
    let mut told: Vec<&str> = lines.lines().collect();
    let mut signed: ClosingLine = serde_json::from_str(closing)?;
    match way % WAYS_TO_BORROW {
        1 if !told.is_empty() => told = told.split_off(1),
        2 => told.reverse(),
        3 => {
            let own = own.rfind(CLOSING_PREFIX).map(|place| &own[place..]);
            let own: ClosingLine = serde_json::from_str(own.unwrap_or_default())?;
            signed.closing.account = own.closing.account;
        }
        BESIDE_ITS_OWN => return Ok([own, others].concat()),
        5 => signed.closing.study.0 ^= 1,
        _ => {}
    }
    let lines: String = told.iter().flat_map(|line| [line, "\n"]).collect();
    Ok(lines + &closing_line(signed.closing))
}

/// How the relay of a row treats phones and auditors. What it shows it signs with its own account.
pub(crate) fn turn(arena: &SharedArena, row: Attack, shown: &Shown) {
    let Ok(relay) = arena.hostile(row) else {
        return;
    };
    let (shown, weak) = (shown.clone(), Arc::downgrade(arena));
    relay.front.play(conduct(move |asked, behind| {
        let (shown, weak) = (shown.clone(), weak.clone());
        async move {
            let keeps_back = matches!(row, Attack::WritesRefused | Attack::WritesTime);
            if keeps_back && asked.is(Method::POST, "/v1/runs") {
                let run: RunUpload = asked.message()?;
                return Ok(Told::message_of(202, &pending(&run))?.into_response());
            }
            if !asked.is(Method::GET, "/v1/export") {
                return Ok(behind.pass(&asked).await?.into_response());
            }
            let lines = match (row, shown.way()) {
                (Attack::CopiesReceipts | Attack::ShowsNothing | Attack::BorrowsExport, None) => {
                    return Ok(behind.pass(&asked).await?.into_response());
                }
                (Attack::CopiesReceipts, Some(UNSIGNED)) => {
                    let told = lines(&shown.lines());
                    return Ok(Told::bytes(200, NDJSON, told)?.into_response());
                }
                (Attack::ShowsNothing, Some(0)) => {
                    return Ok(Told::problem(403, "invalid_credentials")?.into_response());
                }
                (Attack::ShowsNothing, Some(_)) => bail!("it hangs up"),
                (Attack::BorrowsExport, Some(way)) => {
                    let own = std::str::from_utf8(&behind.pass(&asked).await?.body)?.to_owned();
                    let arena = weak.upgrade().context("all is over")?;
                    let others = arena.honest[0].exported(&asked).await?;
                    let told = borrowed(way, std::str::from_utf8(&others.body)?, &own)?;
                    return Ok(Told::bytes(200, NDJSON, told)?.into_response());
                }
                (Attack::AltersExport | Attack::ShowsLess, _) => {
                    let genuine = read(&behind.pass(&asked).await?)?;
                    differently(row, genuine, &shown.lines())
                }
                _ => shown.lines(),
            };
            let arena = weak.upgrade().context("all is over")?;
            let signer = arena.hostile(row)?.signer(&arena).await?;
            Ok(export(&signer, &asked, lines)?.into_response())
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

/// The runs of an answer.
pub(super) fn read(told: &Told) -> Result<Vec<ExportedRun>> {
    let text = std::str::from_utf8(&told.body)?;
    let lines = text
        .lines()
        .filter(|line| !line.starts_with(CLOSING_PREFIX));
    lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The answer with these runs, or those of them that are asked for.
pub(super) fn export(signer: &Signer, asked: &Asked, mut lines: Vec<ExportedRun>) -> Result<Told> {
    let mut query = asked.path.split(['?', '&']);
    let after: u64 = match query.find_map(|part| part.strip_prefix("after=")) {
        Some(cursor) => cursor.parse()?,
        None => 0,
    };
    lines.retain(|line| line.cursor > after);
    Told::bytes(200, NDJSON, signer.answer(after, &lines, false))
}

/// Makes one attempt.
pub(crate) async fn attempt(
    arena: &SharedArena,
    row: Attack,
    number: u32,
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
    let (effect, relay) = match row {
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
            let beside = number % WAYS_TO_BORROW == BESIDE_ITS_OWN;
            let effect = match row == Attack::BorrowsExport && beside {
                true => Effect::Missing(links(&run)),
                false => Effect::NotShown(places),
            };
            (effect, relay)
        }
    };
    let is_unsigned = row == Attack::CopiesReceipts && number % ways(row) == UNSIGNED;
    let culprit = match is_unsigned {
        true => Culprit::Export(relay.name.clone()),
        false => Culprit::Relay(relay.key),
    };
    Ok(Planted {
        attack: row,
        device: victim.phone.device(),
        effect,
        culprits: vec![culprit],
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
