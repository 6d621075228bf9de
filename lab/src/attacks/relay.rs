// SPDX-License-Identifier: Apache-2.0

//! Figure 4: a hacked relay, against phones that chain.

use anyhow::{ensure, Result};
use hashchain::Tag;
use mhealth_api::{RunState, RunUpload};
use mhealth_testing::handset::{self, links};
use mhealth_testing::played_relay::alter;
use rand::rngs::StdRng;
use rand::Rng;

use crate::attack::Attack;
use crate::stage::{Stage, Victim};
use crate::truth::{Culprit, Effect, Planted};

pub(crate) async fn attempt(stage: &Stage, attack: Attack, mut random: StdRng) -> Result<Planted> {
    let mut victim = stage.victim(&mut random).await?;
    match attack {
        Attack::BringLateFirst => late_first(stage, victim).await,
        Attack::Drop => dropped(stage, victim).await,
        Attack::Withhold => {
            let run = victim.phone.record(random.random_range(1..=3));
            stage.hacked.keep_back(&run, handset::now());
            let effect = Effect::Missing(links(&run));
            stage.planted(attack, &victim, effect, hacked(stage)).await
        }
        Attack::AlterKept | Attack::LoseKept => kept(stage, attack, victim, &mut random).await,
        _ => altered(stage, attack, victim, &mut random).await,
    }
}

fn hacked(stage: &Stage) -> Culprit {
    Culprit::Relay(stage.hacked.account)
}

/// The relay brings something else than the phone sent. The phone finds a foreign head, or no receipt, and sends what it
/// has through an honest relay.
async fn altered(
    stage: &Stage,
    attack: Attack,
    mut victim: Victim,
    random: &mut StdRng,
) -> Result<Planted> {
    let genuine = victim.phone.record(random.random_range(2..=4));
    let mut forged = genuine.clone();
    let last = genuine.entries.len() - 1;
    match attack {
        Attack::Alter => {
            let place = random.random_range(0..=last);
            alter(&mut forged, place, handset::envelope(random));
            if random.random() {
                forged.entries[place].tag = Tag(random.random());
            }
        }
        Attack::Reorder => forged.entries.swap(last - 1, last),
        Attack::LeaveOut => {
            forged.entries.remove(random.random_range(0..last));
        }
        _ => {
            let mut added = forged.entries[last].clone();
            added.tag = Tag(random.random());
            let place = random.random_range(0..=last + 1);
            forged.entries.insert(place, added);
            alter(&mut forged, place, handset::envelope(random));
        }
    }
    if random.random() {
        forged.signature = None;
    }
    // It shows what it brought, what it got, both, or nothing.
    let brought = stage.hacked.bring(&forged).await?;
    if random.random() {
        stage.hacked.keep_back(&genuine, handset::now());
    }
    if random.random() {
        stage.hacked.keep(&forged, brought.clone());
    }
    let own = links(&genuine);
    let illegal = links(&forged)
        .into_iter()
        .filter(|link| !own.contains(link));
    let effect = Effect::Illegal(illegal.collect());
    let mut planted = stage
        .planted(attack, &victim, effect, hacked(stage))
        .await?;
    planted.block = brought.block;
    // Half of the phones cannot reach another relay before the audit, unless nothing of theirs is registered yet.
    if brought.refused.is_some() || random.random() {
        let sent = victim.send(&stage.relays[1], &genuine).await?;
        let registered = sent.is_some_and(|status| status.state == RunState::Finalised);
        ensure!(
            registered || brought.refused.is_none(),
            "an attempt that was refused kept the phone from writing on"
        );
    }
    Ok(planted)
}

async fn late_first(stage: &Stage, mut victim: Victim) -> Result<Planted> {
    let runs: Vec<RunUpload> = (0..2).map(|_| victim.phone.record(1)).collect();
    let early = stage.hacked.bring(&runs[1]).await?;
    let registered = early.refused.is_none();
    let effect = Effect::OutOfOrder(registered);
    let planted = stage.planted(Attack::BringLateFirst, &victim, effect, hacked(stage));
    let planted = planted.await?;
    for run in &runs {
        stage.hacked.relay(run).await?;
    }
    Ok(planted)
}

/// The relay answers that all is well. The phone asks another one for its head.
async fn dropped(stage: &Stage, mut victim: Victim) -> Result<Planted> {
    let runs: Vec<RunUpload> = (0..2).map(|_| victim.phone.record(1)).collect();
    let effect = Effect::Missing(runs.iter().flat_map(links).collect());
    let planted = stage.planted(Attack::Drop, &victim, effect, hacked(stage));
    let planted = planted.await?;
    stage.hacked.bring(&runs[1]).await?;
    let other = &stage.relays[1];
    let head = handset::chain_head(other, victim.phone.device()).await?;
    if head != victim.phone.head() {
        for run in &runs {
            victim.send(other, run).await?;
        }
    }
    Ok(planted)
}

/// The attacker is in the database of a real relay.
async fn kept(
    stage: &Stage,
    attack: Attack,
    mut victim: Victim,
    random: &mut StdRng,
) -> Result<Planted> {
    let run = victim.phone.record(random.random_range(1..=3));
    handset::deliver(&stage.relays[1], &victim.token, &run).await?;
    stage.tamper(handset::name(&run), attack == Attack::LoseKept)?;
    let places: Vec<u64> = links(&run).iter().map(|(sequence, _)| *sequence).collect();
    let effect = match attack {
        Attack::LoseKept => Effect::Kept(places),
        // One digit of the last entry.
        _ => Effect::Kept(places.last().copied().into_iter().collect()),
    };
    let culprit = Culprit::Relay(stage.accounts[1]);
    stage.planted(attack, &victim, effect, culprit).await
}
