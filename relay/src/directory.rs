// SPDX-License-Identifier: Apache-2.0

//! Devices and studies as they stand on the chain, remembered so that an upload need not ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use mhealth_api::{Code, Hash, Head, Key, Policy, Problem};
use mhealth_chain_client::{ChainEvent, DeviceState, FinalisedBlock};
use mhealth_server::{ApiError, SharedClock};

use crate::ledger::Ledger;

/// Devices that are remembered; about 150 bytes each.
const DEVICES: usize = 200_000;
/// Studies that are remembered.
const STUDIES: usize = 1_000;
/// How long what is remembered counts, in seconds: long while finalised blocks are read here, which tell of every change,
/// and short while another process does.
const WATCHED: u64 = 600;
const UNWATCHED: u64 = 30;

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its study.
    pub study: u32,
    /// Its key.
    pub key: Key,
    /// Whether it may register entries.
    pub state: DeviceState,
    /// Its finalised head, if it was read just now.
    pub head: Option<Head>,
}

/// A study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Study {
    /// What the chain demands of its runs.
    pub policy: Policy,
    /// Whether it takes entries.
    pub open: bool,
}

struct Remembered<T> {
    value: T,
    since: u64,
}

/// What is remembered of the chain. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    ledger: Arc<dyn Ledger>,
    clock: SharedClock,
    devices: Arc<Mutex<HashMap<u32, Remembered<Device>>>>,
    studies: Arc<Mutex<HashMap<u32, Remembered<Study>>>>,
    watched: Arc<AtomicBool>,
}

impl Directory {
    /// Nothing is remembered yet.
    pub fn new(ledger: Arc<dyn Ledger>, clock: SharedClock) -> Self {
        Self {
            ledger,
            clock,
            devices: Arc::default(),
            studies: Arc::default(),
            watched: Arc::default(),
        }
    }

    /// A device; `unknown_device` if the chain has none of this number.
    pub async fn device(&self, device: u32) -> Result<Device, ApiError> {
        if let Some(known) = self.remembered(&mut lock(&self.devices), device) {
            return Ok(known);
        }
        let view = self.ledger.device(device).await?;
        let (view, _) = view.ok_or_else(|| Problem::new(Code::UnknownDevice))?;
        let value = Device {
            study: view.study,
            key: Key(view.key),
            state: view.state,
            head: None,
        };
        self.remember(&mut lock(&self.devices), device, value, DEVICES);
        let head = Head {
            length: view.length,
            hash: Hash(view.head.0),
        };
        Ok(Device {
            head: Some(head),
            ..value
        })
    }

    /// A study; `unknown_study` if the chain has none of this number.
    pub async fn study(&self, study: u32) -> Result<Study, ApiError> {
        if let Some(known) = self.remembered(&mut lock(&self.studies), study) {
            return Ok(known);
        }
        let view = self.ledger.study(study).await?;
        let view = view.ok_or_else(|| Problem::new(Code::UnknownStudy))?;
        let value = Study {
            policy: policy(view.device_signed),
            open: view.open,
        };
        self.remember(&mut lock(&self.studies), study, value, STUDIES);
        Ok(value)
    }

    /// Forgets what a finalised block has changed.
    pub fn observe(&self, block: &FinalisedBlock) {
        for (_, event) in block.all_events() {
            match event {
                ChainEvent::DeviceSuspended { device, .. }
                | ChainEvent::DeviceResumed { device }
                | ChainEvent::DeviceRetired { device, .. } => {
                    lock(&self.devices).remove(device);
                }
                ChainEvent::StudyClosed { study } | ChainEvent::StudyReopened { study } => {
                    lock(&self.studies).remove(study);
                }
                _ => {}
            }
        }
    }

    /// Says whether finalised blocks are read here. What was remembered meanwhile may be out of date.
    pub fn watch(&self, watched: bool) {
        if self.watched.swap(watched, Ordering::AcqRel) != watched {
            lock(&self.devices).clear();
            lock(&self.studies).clear();
        }
    }

    fn remembered<T: Copy>(&self, map: &mut HashMap<u32, Remembered<T>>, key: u32) -> Option<T> {
        let limit = if self.watched.load(Ordering::Acquire) {
            WATCHED
        } else {
            UNWATCHED
        };
        let known = map.get(&key)?;
        (self.clock.now() < known.since + limit).then_some(known.value)
    }

    fn remember<T>(&self, map: &mut HashMap<u32, Remembered<T>>, key: u32, value: T, most: usize) {
        if map.len() >= most && !map.contains_key(&key) {
            map.clear();
        }
        map.insert(
            key,
            Remembered {
                value,
                since: self.clock.now(),
            },
        );
    }
}

/// The policy of a study.
pub fn policy(device_signed: bool) -> Policy {
    if device_signed {
        Policy::DeviceSigned
    } else {
        Policy::HashchainOnly
    }
}

fn lock<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().expect("no holder of this lock panics; qed")
}
