// SPDX-License-Identifier: Apache-2.0

//! Attacks that the paper does not have, against phones that chain.

use anyhow::{Context, Result};
use mhealth_chain_client::calls;
use mhealth_testing::handset::{self, links, Newcomer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::attack::Attack;
use crate::stage::{Stage, Victim};
use crate::truth::{Culprit, Effect, Planted};

pub(crate) async fn attempt(stage: &Stage, attack: Attack, random: StdRng) -> Result<Planted> {
    match attack {
        Attack::SquatKey => squatted(stage, random).await,
        _ => signed_oddly(stage, random).await,
    }
}

/// Here the phone is the attacker: it brings its run itself, since relays check strictly.
async fn signed_oddly(stage: &Stage, mut random: StdRng) -> Result<Planted> {
    let mut victim = stage.victim(&mut random).await?;
    let mut run = victim.phone.record(random.random_range(1..=3));
    victim.phone.sign_oddly(&mut run);
    let phone = stage.chain.submitter(victim.phone.account());
    let brought = phone.submit_and_wait(calls::submit_batch(vec![run.run()]));
    let registered = brought.await?.succeeded();
    registered.context("the phone could not bring its run")?;
    // So that nobody lacks the data: all that there is to say is about the signature.
    stage.hacked.keep_settled(&run);
    let effect = Effect::SignedOddly(links(&run));
    let planted = stage.planted(Attack::OddSignature, &victim, effect, Culprit::Device);
    planted.await
}

/// The server has all that stands in the phone's enrolment, and its transaction is in a block first.
async fn squatted(stage: &Stage, mut random: StdRng) -> Result<Planted> {
    let newcomer = Newcomer::with_code(&stage.doors[0], StdRng::from_rng(&mut random)).await?;
    let key = newcomer.public_key();
    let call = newcomer.seen_in_the_pool(stage.column.other_study());
    let squatted = stage
        .foreign_server
        .submit_and_wait(call)
        .await?
        .succeeded();
    if squatted.is_ok() {
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
