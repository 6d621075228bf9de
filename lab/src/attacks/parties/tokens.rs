// SPDX-License-Identifier: Apache-2.0

//! A relay that serves a phone hands the phone's credentials on to another relay, with data of its own.

use anyhow::{Context, Result};
use axum::http::{HeaderName, Method};
use axum::response::IntoResponse;
use mhealth_api::{RunState, RunStatus, RunUpload};
use mhealth_testing::front::{conduct, Asked, Told};
use mhealth_testing::handset::{self, links};
use mhealth_testing::played_relay::alter;
use rand::rngs::StdRng;
use rand::Rng;

use super::arena::SharedArena;
use crate::attack::Attack;
use crate::truth::{Culprit, Effect, Planted};

/// The phone hands its run to the hostile relay, which keeps it and goes to an honest one: with the phone's headers word for word,
/// an entry of its own, and the phone's own tag.
pub(crate) async fn replayed(arena: &SharedArena, mut random: StdRng) -> Result<Planted> {
    let relay = arena.hostile(Attack::ReplaysTokens)?;
    let [dave, eve] = [&arena.honest[0], &arena.honest[1]];
    let mut victim = arena.victim(eve, &mut random).await?;
    let genuine = victim.phone.record(random.random_range(2..=4));
    // It says 202, as if it were going to bring it.
    handset::upload(&relay.url(), &victim.token, &genuine).await?;
    let seen = relay.front.seen();
    let of_the_phone = |asked: &&Asked| {
        let run = asked.message::<RunUpload>();
        run.is_ok_and(|run| run == genuine)
    };
    let seen = seen.iter().rev().find(of_the_phone);
    let mut asked = seen.context("the phone has sent nothing")?.clone();
    let mut forged = genuine.clone();
    let place = random.random_range(0..forged.entries.len());
    alter(&mut forged, place, handset::envelope(&mut random));
    if random.random() {
        forged.signature = None;
    }
    asked.body = serde_json::to_vec(&forged)?.into();
    // Word for word, or with a proof by a key of the relay's own.
    if random.random() {
        let thief = victim.phone.another_device();
        let thief = thief.pass(victim.token.token.clone());
        for (name, value) in thief.headers(&format!("{}/v1/runs", dave.url())) {
            let name: HeaderName = name.parse()?;
            asked.headers.insert(name, value.parse()?);
        }
    }
    let told = dave.front.behind().pass(&asked).await?;
    if let Ok(status) = told.message::<RunStatus>() {
        handset::settled(&dave.url(), status.run).await?;
    }
    // Entries before the altered one are the phone's own.
    let own = links(&genuine);
    let illegal = links(&forged)
        .into_iter()
        .filter(|link| !own.contains(link));
    let planted = Planted {
        attack: Attack::ReplaysTokens,
        device: victim.phone.device(),
        effect: Effect::Illegal(illegal.collect()),
        culprits: vec![Culprit::Relay(relay.key)],
        honest_to: victim.honest_to,
        block: arena.chain.finalised().await?.number,
        at: std::time::Instant::now(),
    };
    // Half of the phones get to another relay before the audit.
    if !told.status.is_success() || random.random() {
        victim.send(&eve.url(), &genuine).await?;
    }
    Ok(planted)
}

/// Takes every run and brings none.
pub(crate) fn takes(arena: &SharedArena) {
    let Ok(relay) = arena.hostile(Attack::ReplaysTokens) else {
        return;
    };
    relay.front.play(conduct(|asked, behind| async move {
        if !asked.is(Method::POST, "/v1/runs") {
            return Ok(behind.pass(&asked).await?.into_response());
        }
        let run: RunUpload = asked.message()?;
        Ok(Told::message_of(202, &pending(&run))?.into_response())
    }));
}

/// What a relay says of a run that it has just taken.
pub(crate) fn pending(run: &RunUpload) -> RunStatus {
    RunStatus {
        run: handset::name(run),
        device: run.device,
        sequence: run.sequence,
        entries: run.entries.len() as u32,
        head: run.run().last_link(),
        state: RunState::Pending,
        block: None,
        extrinsic_index: None,
        reason: None,
    }
}
