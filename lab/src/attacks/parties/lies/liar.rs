// SPDX-License-Identifier: Apache-2.0

//! The front: what the relay has seen, and what it says once it has turned.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use hashchain::{DeviceId, LinkHash};
use mhealth_api::{
    BlockRef, ChainHead, DeviceHeads, DeviceOnChain, Hash, Head, RunState, RunStatus, RunUpload,
};
use mhealth_testing::front::{conduct, Asked, Behind, Conduct, Told};
use mhealth_testing::phone;

use crate::attack::Attack;

/// A relay's front that turns.
pub(super) struct Liar {
    row: Attack,
    eyes: Mutex<Eyes>,
}

/// What it has seen and said.
#[derive(Default)]
struct Eyes {
    turned: bool,
    /// Devices that it lied to.
    met: BTreeSet<DeviceId>,
    /// Runs that it took and did not pass on, as it talks of them.
    kept: HashMap<Hash, RunStatus>,
    /// The head that it pretends.
    heads: HashMap<DeviceId, Head>,
    /// The first answer to each question of before it turned, genuine, and by now old.
    old: HashMap<String, Told>,
}

impl Liar {
    pub(super) fn of(row: Attack) -> Self {
        Liar {
            row,
            eyes: Mutex::default(),
        }
    }

    fn eyes(&self) -> MutexGuard<'_, Eyes> {
        self.eyes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turn(&self) {
        self.eyes().turned = true;
    }

    pub(super) fn met(&self, device: DeviceId) -> bool {
        self.eyes().met.contains(&device)
    }

    pub(super) fn conduct(self: Arc<Self>) -> Conduct {
        conduct(move |asked, behind| self.clone().answer(asked, behind))
    }

    async fn answer(self: Arc<Self>, asked: Asked, behind: Behind) -> Result<Response> {
        if !self.eyes().turned {
            let told = behind.pass(&asked).await?;
            if asked.method == Method::GET && told.status.is_success() {
                let question = question(&asked).to_owned();
                self.eyes()
                    .old
                    .entry(question)
                    .or_insert_with(|| told.clone());
            }
            return Ok(told.into_response());
        }
        let told = match self.row {
            Attack::SaysFinalised | Attack::KeepsBack => self.keep(&asked, &behind).await?,
            Attack::OldHead => self.old(&asked, &behind).await?,
            _ => self.foreign(&asked, &behind).await?,
        };
        Ok(told.into_response())
    }

    /// Takes runs, says of them what it likes, and brings none.
    async fn keep(&self, asked: &Asked, behind: &Behind) -> Result<Told> {
        if asked.is(Method::POST, "/v1/runs") {
            let run: RunUpload = asked.message()?;
            let status = self.status(&run, behind).await?;
            let mut eyes = self.eyes();
            eyes.met.insert(run.device);
            eyes.kept.insert(status.run, status.clone());
            let head = Head {
                length: run.sequence + run.entries.len() as u64 - 1,
                hash: status.head,
            };
            eyes.heads.insert(run.device, head);
            let code = match self.row {
                Attack::SaysFinalised => 200,
                _ => 202,
            };
            return Told::message_of(code, &status);
        }
        if let Some(run) = asked.after("/v1/runs/") {
            let kept = run
                .parse()
                .ok()
                .and_then(|run| self.eyes().kept.get(&run).cloned());
            if let Some(status) = kept {
                return Told::message_of(200, &status);
            }
        }
        if self.row == Attack::KeepsBack {
            return behind.pass(asked).await;
        }
        let is_proof = question(asked).ends_with("/proof");
        if is_proof {
            return self.anything_but_a_new_proof(asked, behind).await;
        }
        let told = behind.pass(asked).await?;
        self.with_head(asked, told, |device, _| {
            self.eyes().heads.get(&device).copied()
        })
    }

    async fn status(&self, run: &RunUpload, behind: &Behind) -> Result<RunStatus> {
        let (state, block) = match self.row {
            Attack::KeepsBack => (RunState::Pending, None),
            _ => (RunState::Finalised, block_of(run.device, behind).await.ok()),
        };
        Ok(RunStatus {
            extrinsic_index: block.map(|_| 2),
            block,
            ..phone::status(run, state)
        })
    }

    /// Brings runs as an honest relay does, and afterwards shows what the chain had before.
    async fn old(&self, asked: &Asked, behind: &Behind) -> Result<Told> {
        self.meets(asked);
        let of_a_device =
            asked.is(Method::GET, "/v1/devices/") || asked.is(Method::GET, "/v1/keys/");
        let old = self.eyes().old.get(question(asked)).cloned();
        match old {
            Some(old) if of_a_device => {
                let told: Option<serde_json::Value> = serde_json::from_slice(&old.body).ok();
                let told = told.and_then(|told| told["device"].as_u64());
                let asked = asked.after("/v1/devices/").and_then(|it| it.parse().ok());
                let device = told.or(asked).and_then(|device| device.try_into().ok());
                self.eyes().met.extend(device.map(DeviceId));
                Ok(old)
            }
            _ => behind.pass(asked).await,
        }
    }

    /// Brings runs as an honest relay does, and says of every head that it is another one.
    async fn foreign(&self, asked: &Asked, behind: &Behind) -> Result<Told> {
        self.meets(asked);
        if question(asked).ends_with("/proof") {
            return self.anything_but_a_new_proof(asked, behind).await;
        }
        let told = behind.pass(asked).await?;
        self.with_head(asked, told, |device, head| {
            let mut hash = LinkHash([0xab; 32]);
            hash.0[0] = device.0 as u8;
            Some(match device.0 % 2 {
                0 => Head {
                    length: head.length + 1,
                    hash,
                },
                _ => Head { hash, ..head },
            })
        })
    }

    fn meets(&self, asked: &Asked) {
        if asked.is(Method::POST, "/v1/runs") {
            if let Ok(run) = asked.message::<RunUpload>() {
                self.eyes().met.insert(run.device);
            }
        }
    }

    /// Puts another head into an answer about a device.
    fn with_head(
        &self,
        asked: &Asked,
        told: Told,
        head: impl Fn(DeviceId, Head) -> Option<Head>,
    ) -> Result<Told> {
        let put = |chain: &mut ChainHead, device| {
            if let Some(head) = head(device, chain.head) {
                chain.head = head;
            }
        };
        if asked.path.ends_with("/head") {
            if let Ok(mut heads) = told.message::<DeviceHeads>() {
                put(&mut heads.chain, heads.device);
                self.eyes().met.insert(heads.device);
                return Told::message_of(200, &heads);
            }
        }
        if asked.is(Method::GET, "/v1/keys/") || asked.is(Method::GET, "/v1/devices/") {
            if let Ok(mut device) = told.message::<DeviceOnChain>() {
                put(&mut device.chain, device.device);
                self.eyes().met.insert(device.device);
                return Told::message_of(200, &device);
            }
        }
        Ok(told)
    }

    /// The relay has no proof of what it says. It may have an old one, one of another device, pieces, or nothing.
    async fn anything_but_a_new_proof(&self, asked: &Asked, behind: &Behind) -> Result<Told> {
        let device = asked
            .after("/v1/devices/")
            .and_then(|device| device.parse().ok());
        let device: u32 = device.unwrap_or_default();
        let old = self.eyes().old.get(question(asked)).cloned();
        let genuine = behind.pass(asked).await?;
        match (device / 2 % 5, old) {
            (0, Some(old)) => Ok(old),
            (1, _) => {
                let other = if device == 0 { 1 } else { device - 1 };
                let query = asked.path.split_once('?').map_or("", |(_, query)| query);
                behind
                    .get(&format!("/v1/devices/{other}/proof?{query}"))
                    .await
            }
            (2, _) => {
                let mut broken = genuine.body.to_vec();
                let place = broken.len() / 2;
                if let Some(byte) = broken.get_mut(place) {
                    *byte ^= 1;
                }
                Told::bytes(200, "application/octet-stream", broken)
            }
            (3, _) => Told::problem(404, "not_found"),
            _ => {
                let half = genuine.body.len() / 2;
                Told::bytes(200, "application/octet-stream", genuine.body.slice(..half))
            }
        }
    }
}

/// The path without its query.
fn question(asked: &Asked) -> &str {
    asked.path.split('?').next().unwrap_or_default()
}

/// A block that is really final.
async fn block_of(device: DeviceId, behind: &Behind) -> Result<BlockRef> {
    let told = behind.get(&format!("/v1/devices/{device}/head")).await?;
    let heads: DeviceHeads = told.message()?;
    Ok(heads.chain.block)
}
