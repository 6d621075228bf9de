// SPDX-License-Identifier: Apache-2.0

//! Figure 6: malware copied key and secret off the phone.

use anyhow::Result;
use mhealth_testing::handset::{self, links, Handset};
use rand::rngs::StdRng;
use rand::Rng;

use crate::attack::Attack;
use crate::stage::{Stage, Victim};
use crate::truth::{Culprit, Effect, Planted};

pub(crate) async fn attempt(stage: &Stage, attack: Attack, mut random: StdRng) -> Result<Planted> {
    let mut victim = stage.victim(&mut random).await?;
    if attack == Attack::RewritePast {
        return rewrite(stage, victim).await;
    }
    let mut thief = victim.phone.stolen_copy();
    let stolen = thief.record(random.random_range(1..=3));
    let genuine = victim.phone.record(random.random_range(1..=3));
    let token = thief.token(&stage.doors[0]).await?;
    let thief = Victim {
        phone: thief,
        token,
        honest_to: 0,
    };
    let [first, second] = [(); 2].map(|()| &stage.relays[random.random_range(0..2)]);
    let effect = Effect::Illegal(links(&stolen));
    match attack {
        Attack::PhoneFirst => {
            victim.send(second, &genuine).await?;
            thief.send(first, &stolen).await?;
            stage
                .planted(attack, &victim, effect, Culprit::SecretHolder)
                .await
        }
        Attack::BothAtOnce => {
            let (thiefs, phones) =
                tokio::join!(thief.send(first, &stolen), victim.send(second, &genuine));
            thiefs?;
            phones?;
            stage
                .planted(attack, &victim, effect, Culprit::SecretHolder)
                .await
        }
        _ => {
            thief.send(first, &stolen).await?;
            let planted = stage.planted(attack, &victim, effect, Culprit::SecretHolder);
            let planted = planted.await?;
            if attack == Attack::ThiefFirst {
                victim.send(second, &genuine).await?;
            }
            Ok(planted)
        }
    }
}

/// The thief puts another entry in the place of the phone's last one. The key that made it is gone from the phone.
async fn rewrite(stage: &Stage, mut victim: Victim) -> Result<Planted> {
    let before = victim.phone.head();
    let last = victim.phone.record(1);
    victim.send(&stage.relays[1], &last).await?;
    victim.honest_to = victim.phone.head().length;
    let mut thief: Handset = victim.phone.set_back_to(before);
    let stolen = thief.record(2);
    let token = thief.token(&stage.doors[0]).await?;
    let answer = handset::upload(&stage.relays[0], &token, &stolen).await?;
    if (200..300).contains(&answer.status) {
        handset::settled(&stage.relays[0], handset::name(&stolen)).await?;
    }
    let effect = Effect::Illegal(links(&stolen));
    let planted = stage.planted(Attack::RewritePast, &victim, effect, Culprit::SecretHolder);
    let mut planted = planted.await?;
    // Of the entries before the theft the thief has the key and not the secret.
    planted.culprits.push(Culprit::SigningKeyHolder);
    Ok(planted)
}
