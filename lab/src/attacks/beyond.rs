// SPDX-License-Identifier: Apache-2.0

//! Attacks that the paper does not have, against phones that chain.

use anyhow::{Context, Result};
use mhealth_chain_client::{calls, Error, PoolRefusal};
use mhealth_testing::handset::{self, links, Newcomer};
use mhealth_testing::played_relay::alter;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::attack::Attack;
use crate::stage::{Stage, Victim};
use crate::truth::{Culprit, Effect, Planted};

pub(crate) async fn attempt(stage: &Stage, attack: Attack, mut random: StdRng) -> Result<Planted> {
    if attack == Attack::SquatKey {
        return squatted(stage, random).await;
    }
    let victim = stage.victim(&mut random).await?;
    match attack {
        Attack::Wraps => wraps(stage, victim, &mut random).await,
        _ => odd_signature(stage, victim, &mut random).await,
    }
}

/// The relay alters what the phone sent and brings it within another call. The phone sends through an honest relay.
async fn wraps(stage: &Stage, mut victim: Victim, random: &mut StdRng) -> Result<Planted> {
    let genuine = victim.phone.record(random.random_range(1..=3));
    let mut forged = genuine.clone();
    alter(&mut forged, 0, handset::envelope(random));
    for call in calls::batches_within(&[forged.run()]) {
        match stage.hacked.submitter.submit_and_wait(call).await {
            // A relay may make no call that holds others.
            Err(Error::Refused(PoolRefusal::NotItsCall)) => {}
            outcome => {
                outcome.context(
                    "the wrapped call failed for another reason than that it is refused",
                )?;
            }
        }
    }
    let effect = Effect::Illegal(links(&forged));
    let culprit = Culprit::Relay(stage.hacked.account);
    let planted = stage
        .planted(Attack::Wraps, &victim, effect, culprit)
        .await?;
    victim.send(&stage.relays[1], &genuine).await?;
    Ok(planted)
}

/// Here the phone is the attacker: it brings its run itself, since relays check strictly.
async fn odd_signature(stage: &Stage, mut victim: Victim, random: &mut StdRng) -> Result<Planted> {
    let mut run = victim.phone.record(random.random_range(1..=3));
    victim.phone.sign_oddly(&mut run);
    let phone = stage.chain.submitter(victim.phone.account());
    let brought = phone.submit_and_wait(calls::submit_batch(vec![run.run()]));
    brought.await.context("the phone could not bring its run")?;
    // So that nobody lacks the data: all that there is to say is about the signature.
    stage.hacked.keep_settled(&run);
    let effect = Effect::SignedOddly(links(&run));
    stage
        .planted(Attack::OddSignature, &victim, effect, Culprit::Device)
        .await
}

/// The server has all that stands in the phone's enrolment, and its transaction is in a block first.
async fn squatted(stage: &Stage, mut random: StdRng) -> Result<Planted> {
    let newcomer = Newcomer::with_code(&stage.doors[0], StdRng::from_rng(&mut random)).await?;
    let key = newcomer.public_key();
    let call = newcomer.seen_in_the_pool(stage.column.other_study());
    let squatted = match stage.foreign_server.submit_and_wait(call).await {
        Ok(_) => true,
        Err(Error::Dispatch(_)) => false,
        Err(error) => return Err(error.into()),
    };
    if squatted {
        let device = stage.chain.device_by_key(key.0).await?;
        return Ok(Planted {
            attack: Attack::SquatKey,
            device: device.context("the chain does not know whom it enrolled")?,
            effect: Effect::Missing(Vec::new()),
            culprits: vec![Culprit::ForeignServer],
            honest_to: 0,
            block: stage.block().await?,
            at: std::time::Instant::now(),
        });
    }
    let mut phone = newcomer.enrol(&stage.doors[0]).await?;
    let token = phone.token(&stage.doors[0]).await?;
    let run = phone.record(random.random_range(1..=3));
    handset::deliver(&stage.relays[0], &token, &run).await?;
    let victim = Victim {
        honest_to: phone.head().length,
        phone,
        token,
    };
    let effect = Effect::Missing(links(&run));
    let planted = stage.planted(Attack::SquatKey, &victim, effect, Culprit::ForeignServer);
    planted.await
}
