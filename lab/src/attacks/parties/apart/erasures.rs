// SPDX-License-Identifier: Apache-2.0

//! A participant wants out: a relay keeps what it was ordered to erase, or passes off as erased what it lost; a sponsor writes a
//! receipt for what nobody ordered; somebody who is not the holder of the keys orders.

mod scene;

use anyhow::{ensure, Result};
use axum::http::Method;
use axum::response::IntoResponse;
use ed25519_dalek::SigningKey;
use hashchain::DeviceId;
use mhealth_api::{ErasureOrder, ErasureOutcome, ExportedRun, Hash, Key};
use mhealth_chain_client::{Account, ChainClient};
use mhealth_testing::audit::{Device, Party};
use mhealth_testing::export::Signer;
use mhealth_testing::front::{conduct, honest, Conduct, Told};
use mhealth_testing::handset::{self, Handset};
use mhealth_testing::topology::RELAYS;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::scene::{Scene, ORDERS, STUDY};
use super::super::exports::{export, read};
use crate::attack::Attack;
use crate::judge::{Fate, Named, Verdict};
use crate::play::Tried;

/// Entries of a phone.
const ENTRIES: usize = 2;

/// How an attempt ended.
type Outcome = (Fate, Option<Named>, String);

impl Scene {
    async fn attempt(&self, row: Attack, seed: u64) -> Result<Tried> {
        let mut phone = Handset::enrol(&self.door, StdRng::seed_from_u64(seed)).await?;
        let pass = phone.token(&self.door).await?;
        let run = phone.record(ENTRIES);
        handset::deliver(&self.front.url(), &pass, &run).await?;
        let device = phone.device();
        let played = match row {
            Attack::KeepsErased => self.keep(device).await,
            Attack::LosesAsErased => self.lose(device).await,
            Attack::ReceiptUnasked => self.write_unasked(device, seed).await,
            _ => self.forge(device, seed).await,
        };
        self.front.play(honest());
        let (fate, named, about) = played?;
        Ok(Tried {
            attack: row,
            verdict: Verdict { fate, named },
            after: None,
            waited: None,
            about: format!("device {device}: {about}"),
        })
    }

    /// The relay says that it obeyed, and keeps everything. The receipt is written on its word.
    async fn keep(&self, device: DeviceId) -> Result<Outcome> {
        self.front.play(conduct(|asked, behind| async move {
            if !asked.is(Method::POST, ORDERS) {
                return Ok(behind.pass(&asked).await?.into_response());
            }
            let order: ErasureOrder = asked.message()?;
            let done = ErasureOutcome {
                receipt: order.receipt(),
                erased: ENTRIES as u64,
                kept: 0,
                on_their_way: 0,
                scrubbed: true,
            };
            Ok(Told::message_of(200, &done)?.into_response())
        }));
        let order = self.order(device, &self.holder);
        for relay in &self.relays {
            let answer = self.bring(relay, &relay.eraser, &order).await?;
            let outcome: ErasureOutcome = answer.message()?;
            ensure!(outcome.is_complete(), "a relay does not obey: {outcome:?}");
        }
        self.write_receipt(device, order.receipt()).await?;
        let judged = self.audit(device, Some(&order)).await?;
        let parties = found(&judged, "held_after_erasure");
        let about = format!("{judged:?}");
        Ok(match (is(&judged, "erased"), parties) {
            (true, Some(parties)) => (Fate::Detected, Some(named(parties)?), about),
            _ => (Fate::Unseen, None, about),
        })
    }

    /// The relay shows its runs without data. Nobody ordered that; then the holder has, and the sponsor has written no receipt.
    async fn lose(&self, device: DeviceId) -> Result<Outcome> {
        self.front.play(empties(&self.chain, device));
        let bare = self.audit(device, None).await?;
        let parties = found(&bare, "emptied_without_receipt");
        let order = self.order(device, &self.holder);
        let on_file = self.audit(device, Some(&order)).await?;
        let excuses_nobody = on_file.entries.iter().all(|entry| {
            let mut reasons = entry.uncovered.iter();
            entry.parties.is_empty() && reasons.any(|it| it.reason == "erasure_not_on_chain")
        });
        let held = is(&bare, "missing")
            && is(&on_file, "not_covered")
            && excuses_nobody
            && on_file.findings.is_empty();
        let about = format!("{bare:?}; with an order on file: {on_file:?}");
        Ok(match (held, parties) {
            (true, Some(parties)) => (Fate::Detected, Some(named(parties)?), about),
            _ => (Fate::Unseen, None, about),
        })
    }

    /// The sponsor writes a receipt for what no holder ordered. The participant's key lives on, and honest relays hold everything.
    async fn write_unasked(&self, device: DeviceId, seed: u64) -> Result<Outcome> {
        let receipt = Hash(StdRng::seed_from_u64(!seed).random());
        self.write_receipt(device, receipt).await?;
        let order = self.order(device, &self.holder);
        let mut named = Named::Among;
        let mut about = String::new();
        // Whether the auditor has the holder's orders or not: none is behind the receipt.
        for on_file in [None, Some(&order)] {
            let judged = self.audit(device, on_file).await?;
            about += &format!("{judged:?}; ");
            let Some(parties) = found(&judged, "receipt_without_order") else {
                return Ok((Fate::Unseen, None, about));
            };
            let sponsor = Key(self.sponsor.account().0);
            let is_sponsor =
                |party: &Party| party.party == "account" && party.account == Some(sponsor);
            let alone = judged.findings.len() == 1 && parties.iter().any(is_sponsor);
            if !(alone && is(&judged, "erased")) {
                named = Named::Wrong;
            }
        }
        Ok((Fate::Detected, Some(named), about))
    }

    /// Orders that the holder did not sign, with a genuine credential; and the holder's own, with one for something else.
    async fn forge(&self, device: DeviceId, seed: u64) -> Result<Outcome> {
        let [dave, _] = &self.relays;
        let thief = SigningKey::from_bytes(&StdRng::seed_from_u64(!seed).random());
        let genuine = self.order(device, &self.holder);
        let of_thief = self.order(device, &thief);
        let mut in_the_holders_name = of_thief.clone();
        in_the_holders_name.holder = genuine.holder;
        let mut of_another = self.order(DeviceId(device.0 + 1), &self.holder);
        of_another.devices = vec![device];
        let mut of_an_old_one = genuine.clone();
        of_an_old_one.erased_at += 1;
        let mut obeyed = Vec::new();
        for (order, credential) in [
            (&of_thief, &dave.eraser),
            (&in_the_holders_name, &dave.eraser),
            (&of_another, &dave.eraser),
            (&of_an_old_one, &dave.eraser),
            (&genuine, &dave.monitor),
        ] {
            let answer = self.bring(dave, credential, order).await?;
            if !(400..500).contains(&answer.status) {
                obeyed.push(format!("{}: {}", answer.status, answer.body));
            }
        }
        let runs = self.shown(dave).await?;
        let mut runs = runs.iter().filter(|run| run.status.device == device);
        let is_whole = |run: &ExportedRun| {
            let mut entries = run.entries.iter();
            run.entries.len() == ENTRIES && entries.all(|entry| !entry.envelope.0.is_empty())
        };
        let is_kept = runs.next().is_some_and(is_whole);
        let fate = match obeyed.is_empty() && is_kept {
            true => Fate::Prevented,
            false => Fate::Unseen,
        };
        Ok((fate, None, format!("kept {is_kept}, obeyed {obeyed:?}")))
    }
}

/// The first relay shows a device's runs without data, and signs that with its account.
fn empties(chain: &ChainClient, device: DeviceId) -> Conduct {
    let chain = chain.clone();
    conduct(move |asked, behind| {
        let chain = chain.clone();
        async move {
            if !asked.is(Method::GET, "/v1/export") {
                return Ok(behind.pass(&asked).await?.into_response());
            }
            let mut runs = read(&behind.pass(&asked).await?)?;
            let own = runs.iter_mut().filter(|run| run.status.device == device);
            for entry in own.flat_map(|run| &mut run.entries) {
                entry.envelope.0.clear();
            }
            let account = Account::from_secret_uri(RELAYS[0])?;
            let signer = Signer::now(&chain, STUDY, account).await?;
            Ok(export(&signer, &asked, runs)?.into_response())
        }
    })
}

/// Whether the audit says this of every entry.
fn is(judged: &Device, verdict: &str) -> bool {
    let mut entries = judged.entries.iter();
    judged.entries.len() == ENTRIES && entries.all(|entry| entry.verdict == verdict)
}

/// Whom the audit names on this ground.
fn found<'a>(judged: &'a Device, ground: &str) -> Option<&'a [Party]> {
    let mut findings = judged.findings.iter();
    let finding = findings.find(|finding| finding.ground == ground)?;
    Some(&finding.parties)
}

/// Whether nobody but the first relay is named.
fn named(parties: &[Party]) -> Result<Named> {
    let dave = Key(Account::from_secret_uri(RELAYS[0])?.public_key());
    let is_dave = |party: &Party| party.party == "relay" && party.account == Some(dave);
    Ok(match parties.iter().all(is_dave) {
        true => Named::Alone,
        false => Named::Wrong,
    })
}

pub(super) async fn play(row: Attack, seed: u64, attempts: u32) -> Result<Vec<Tried>> {
    let scene = Scene::set(seed).await?;
    let mut all = Vec::new();
    for number in 0..attempts {
        let seed = (seed << 24) ^ ((row as u64) << 16) ^ u64::from(number) ^ (1 << 43);
        all.push(scene.attempt(row, seed).await?);
    }
    Ok(all)
}
