// SPDX-License-Identifier: Apache-2.0

//! The same attacks where phones do not chain (Figures 2a and 2b).

use anyhow::{ensure, Context, Result};
use hashchain::{data_digest, Native, Tag};
use mhealth_api::{Base64, RunEntry, RunState, RunStatus, RunUpload};
use mhealth_testing::handset::{self, links, Handset};
use rand::rngs::StdRng;
use rand::SeedableRng;

use crate::attack::{Attack, Column};
use crate::stage::{Stage, Victim};
use crate::truth::{Culprit, Effect, Planted};

/// A thief takes counts that the phone will never come to, so that the relay does not find two records with one count.
const FAR: u64 = 1 << 40;

pub(crate) async fn attempt(stage: &Stage, attack: Attack, mut random: StdRng) -> Result<Planted> {
    // The second relay's database is in the attacker's reach, the first one's devices are not.
    let place = usize::from(matches!(attack, Attack::AlterKept | Attack::LoseKept));
    let office = match stage.column {
        Column::OfficePerRelay => place,
        _ => 0,
    };
    let door = &stage.doors[office];
    let mut phone = Handset::enrol(door, StdRng::from_rng(&mut random)).await?;
    let token = phone.token(door).await?;
    let relay = &stage.relays[place];
    let first = handset::deliver_bare(relay, &token, &phone.bare_record(1)).await?;
    let victim = Victim {
        phone,
        token,
        honest_to: 1,
    };
    match attack {
        Attack::AlterKept | Attack::LoseKept => {
            stage.tamper(first.run, attack == Attack::LoseKept)?;
            let culprit = Culprit::Relay(stage.accounts[1]);
            let mut planted = stage
                .planted(attack, &victim, Effect::Kept(vec![1]), culprit)
                .await?;
            planted.honest_to = 0;
            Ok(planted)
        }
        Attack::Alter | Attack::Reorder | Attack::Invent | Attack::Drop => {
            hacked(stage, attack, victim, &first, &mut random).await
        }
        _ => thief(stage, attack, victim, office, relay).await,
    }
}

/// The phone hands its data to the hacked relay, which chains what it likes.
async fn hacked(
    stage: &Stage,
    attack: Attack,
    mut victim: Victim,
    first: &RunStatus,
    random: &mut StdRng,
) -> Result<Planted> {
    let culprit = Culprit::Relay(stage.hacked.account);
    let sent: Vec<Vec<u8>> = (2..4)
        .map(|count| victim.phone.bare_record(count).envelope.0)
        .collect();
    let brought = match attack {
        Attack::Drop => {
            return stage
                .planted(attack, &victim, Effect::Vanished, culprit)
                .await;
        }
        Attack::Reorder => vec![sent[1].clone(), sent[0].clone()],
        Attack::Alter => vec![handset::envelope(random)],
        // Beside the phone's own.
        _ => vec![sent[0].clone(), handset::envelope(random)],
    };
    let entries = brought.into_iter().map(|envelope| RunEntry {
        digest: data_digest::<Native>(&envelope),
        tag: Tag([0; 32]),
        envelope: Base64(envelope),
    });
    let run = RunUpload {
        device: victim.phone.device(),
        sequence: first.sequence + u64::from(first.entries),
        previous: first.head,
        entries: entries.collect(),
        signature: None,
    };
    stage.hacked.relay(&run).await?;
    let mut illegal = links(&run);
    if attack == Attack::Invent {
        illegal.remove(0);
    }
    stage
        .planted(attack, &victim, Effect::Illegal(illegal), culprit)
        .await
}

/// Another device sends data in the phone's name. There is no secret to steal: who has the key has it all.
async fn thief(
    stage: &Stage,
    attack: Attack,
    mut victim: Victim,
    office: usize,
    relay: &str,
) -> Result<Planted> {
    let device = victim.phone.device();
    let (token, culprit) = match attack {
        Attack::AuthenticationKey => {
            let thief = victim.phone.another_device();
            let token = thief.pass(victim.token.token.clone());
            (token, Culprit::AuthenticationKeyHolder)
        }
        Attack::ServerKey => {
            let thief = victim.phone.another_device();
            let token = stage.server_keys[office].token(device, &thief.public_key())?;
            (thief.pass(token), Culprit::AuthenticationKeyHolder)
        }
        _ => {
            let thief = victim.phone.stolen_copy();
            let token = thief.token(&stage.doors[office]).await?;
            (token, Culprit::SigningKeyHolder)
        }
    };
    let record = victim.phone.bare_record(FAR);
    let answer = token.post(&format!("{relay}/v1/records"), &record).await?;
    let has_key = culprit == Culprit::SigningKeyHolder;
    ensure!(
        has_key || answer.status >= 300,
        "the relay takes a token without the key that it is bound to"
    );
    let illegal = match has_key {
        true => {
            let status: RunStatus = answer.message().context("the relay refuses the thief")?;
            let status = handset::settled(relay, status.run).await?;
            match status.state {
                RunState::Finalised => vec![(status.sequence, status.head)],
                _ => Vec::new(),
            }
        }
        false => Vec::new(),
    };
    let planted = stage.planted(attack, &victim, Effect::Illegal(illegal), culprit);
    let planted = planted.await?;
    if attack != Attack::Silenced {
        let record = victim.phone.bare_record(2);
        handset::deliver_bare(relay, &victim.token, &record).await?;
    }
    Ok(planted)
}
