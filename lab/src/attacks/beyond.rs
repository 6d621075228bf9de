// SPDX-License-Identifier: Apache-2.0

//! Attacks that the paper does not have, against phones that chain.

use anyhow::{Context, Result};
use mhealth_chain_client::calls;
use mhealth_testing::handset::links;
use rand::rngs::StdRng;
use rand::Rng;

use crate::attack::Attack;
use crate::stage::Stage;
use crate::truth::{Culprit, Effect, Planted};

pub(crate) async fn attempt(stage: &Stage, attack: Attack, mut random: StdRng) -> Result<Planted> {
    let mut victim = stage.victim(&mut random).await?;
    // Here the phone is the attacker: it brings its run itself, since relays check strictly.
    let mut run = victim.phone.record(random.random_range(1..=3));
    victim.phone.sign_oddly(&mut run);
    let phone = stage.chain.submitter(victim.phone.account());
    let brought = phone.submit_and_wait(calls::submit_batch(vec![run.run()]));
    let registered = brought.await?.succeeded();
    registered.context("the phone could not bring its run")?;
    // So that nobody lacks the data: all that there is to say is about the signature.
    stage.hacked.keep_settled(&run);
    let effect = Effect::SignedOddly(links(&run));
    stage
        .planted(attack, &victim, effect, Culprit::Device)
        .await
}
