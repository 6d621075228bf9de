// SPDX-License-Identifier: Apache-2.0

//! Figure 5: stolen keys without the secret, against phones that chain.

use anyhow::Result;
use mhealth_testing::handset::{self, links};
use rand::rngs::StdRng;
use rand::Rng;

use crate::attack::Attack;
use crate::stage::Stage;
use crate::truth::{Culprit, Effect, Planted};

pub(crate) async fn attempt(stage: &Stage, attack: Attack, mut random: StdRng) -> Result<Planted> {
    let mut victim = stage.victim(&mut random).await?;
    let device = victim.phone.device();
    // The phone may be left with the relay that the thief wrote to.
    let [thiefs, phones] = [(); 2].map(|()| &stage.relays[random.random_range(0..2)]);
    let (mut thief, token, culprit) = match attack {
        Attack::AuthenticationKey => {
            let thief = victim.phone.another_device();
            let token = thief.pass(victim.token.token.clone());
            (thief, token, Culprit::AuthenticationKeyHolder)
        }
        Attack::ServerKey => {
            let thief = victim.phone.another_device();
            // Bound to the key that the chain has, or to one that the thief has.
            let bound_to = [victim.phone.public_key(), thief.public_key()];
            let bound_to = &bound_to[random.random_range(0..2)];
            let token = thief.pass(stage.server_keys[0].token(device, bound_to)?);
            (thief, token, Culprit::AuthenticationKeyHolder)
        }
        _ => {
            let thief = victim.phone.with_another_secret();
            let token = thief.token(&stage.doors[0]).await?;
            (thief, token, Culprit::SigningKeyHolder)
        }
    };
    let mut forged = thief.record(random.random_range(1..=3));
    if attack != Attack::SigningKey && random.random() {
        forged.signature = None;
    }
    let phone_first = random.random_ratio(1, 3);
    if phone_first {
        let genuine = victim.phone.record(1);
        victim.send(phones, &genuine).await?;
        victim.honest_to = victim.phone.head().length;
        // Whoever reads the chain can copy a tag, which must not make it the relay's.
        // It does not fit the signature then.
        if attack != Attack::SigningKey && random.random() {
            forged.entries[0].tag = genuine.entries[0].tag;
        }
    }
    let answer = handset::upload(thiefs, &token, &forged).await?;
    let taken = (200..300).contains(&answer.status);
    if taken {
        handset::settled(thiefs, handset::name(&forged)).await?;
    }
    let effect = Effect::Illegal(links(&forged));
    let planted = stage.planted(attack, &victim, effect, culprit).await?;
    // The phone itself writes on, sooner or later.
    if !phone_first && (!taken || random.random()) {
        let genuine = victim.phone.record(1);
        victim.send(phones, &genuine).await?;
    }
    Ok(planted)
}
