// SPDX-License-Identifier: Apache-2.0

//! Figure 5: stolen keys without the secret, against phones that chain.

use anyhow::Result;
use mhealth_tests::handset::{self, links};
use rand::rngs::StdRng;
use rand::Rng;

use crate::attack::Attack;
use crate::stage::Stage;
use crate::truth::{Culprit, Effect, Planted};

pub(crate) async fn attempt(stage: &Stage, attack: Attack, mut random: StdRng) -> Result<Planted> {
    let mut victim = stage.victim(&mut random).await?;
    let device = victim.phone.device;
    let public = victim.phone.public_key();
    let (mut thief, token, culprit) = match attack {
        Attack::AuthenticationKey => (
            victim.phone.another_device(),
            victim.token.clone(),
            Culprit::AuthenticationKeyHolder,
        ),
        Attack::ServerKey => (
            victim.phone.another_device(),
            stage.server_keys[0].token(device, &public)?,
            Culprit::AuthenticationKeyHolder,
        ),
        _ => {
            let mut thief = victim.phone.with_another_secret();
            let token = thief.token(&stage.doors[0]).await?;
            (thief, token, Culprit::SigningKeyHolder)
        }
    };
    let mut forged = thief.record(random.random_range(1..=3));
    if attack != Attack::SigningKey && random.random() {
        forged.signature = None;
    }
    let answer = handset::upload(&stage.relays[0], &token, &forged).await?;
    let taken = (200..300).contains(&answer.status);
    if taken {
        handset::settled(&stage.relays[0], handset::name(&forged)).await?;
    }
    let effect = Effect::Illegal(links(&forged));
    let planted = stage.planted(attack, &victim, effect, culprit).await?;
    // The phone itself writes on, sooner or later.
    if !taken || random.random() {
        let genuine = victim.phone.record(1);
        victim.send(&stage.relays[1], &genuine).await?;
    }
    Ok(planted)
}
