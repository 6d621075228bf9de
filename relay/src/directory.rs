// SPDX-License-Identifier: Apache-2.0

//! Devices and studies as they stand on the chain, remembered so that an upload need not ask.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hashchain::{DeviceId, StudyId};
use mhealth_api::{Code, DeviceStatus, Head, Key, Policy, Problem};
use mhealth_chain_client::{ChainEvent, FinalisedBlock};
use mhealth_server::{ApiError, SharedClock};

use crate::ledger::Ledger;

/// Devices that are remembered; about 150 bytes each.
const DEVICES: usize = 200_000;
/// Studies that are remembered.
const STUDIES: usize = 1_000;
/// How long what is remembered counts: long while finalised blocks are read here, which tell of every change, and short while
/// another process does.
const WATCHED: Duration = Duration::from_secs(600);
const UNWATCHED: Duration = Duration::from_secs(30);

/// A device. Its head is not part of it: every run changes that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its study.
    pub study: StudyId,
    /// Its key.
    pub key: Key,
    /// Whether it may register entries.
    pub status: DeviceStatus,
}

/// A device that was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub number: DeviceId,
    /// The device.
    pub device: Device,
    /// Its finalised head, if the chain was asked just now; none if the device was remembered.
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

/// What is remembered of devices, or of studies.
struct Memory<K, T> {
    values: HashMap<K, Remembered<T>>,
    /// Most values that are remembered.
    most: usize,
    /// How often something was forgotten that blocks had changed. What was read before the latest of these changes may be
    /// out of date, and is not remembered.
    generation: u64,
}

struct Remembered<T> {
    value: T,
    /// By the time that passes: the machine's clock may be set.
    since: Duration,
}

impl<K: Eq + Hash, T> Memory<K, T> {
    fn of(most: usize) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            values: HashMap::new(),
            most,
            generation: 0,
        }))
    }

    fn forget(&mut self, key: K) {
        self.values.remove(&key);
        self.generation += 1;
    }

    fn forget_all(&mut self) {
        self.values.clear();
        self.generation += 1;
    }
}

/// What is remembered of the chain. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    ledger: Arc<dyn Ledger>,
    clock: SharedClock,
    devices: Arc<Mutex<Memory<DeviceId, Device>>>,
    studies: Arc<Mutex<Memory<StudyId, Study>>>,
    watched: Arc<AtomicBool>,
}

impl Directory {
    /// Nothing is remembered yet.
    pub fn new(ledger: Arc<dyn Ledger>, clock: SharedClock) -> Self {
        Self {
            ledger,
            clock,
            devices: Memory::of(DEVICES),
            studies: Memory::of(STUDIES),
            watched: Arc::default(),
        }
    }

    /// A device; `unknown_device` if the chain has none of this number.
    pub async fn device(&self, number: DeviceId) -> Result<Found, ApiError> {
        let (known, generation) = self.recall(&self.devices, number);
        if let Some(device) = known {
            return Ok(Found {
                number,
                device,
                head: None,
            });
        }
        let view = self.ledger.device(number).await?;
        let (view, _) = view.ok_or_else(|| Problem::new(Code::UnknownDevice))?;
        let value = Device {
            study: view.study,
            key: Key(view.key),
            status: view.status,
        };
        self.remember(&self.devices, number, value.clone(), generation);
        let head = Head {
            length: view.length,
            hash: view.head,
        };
        Ok(Found {
            number,
            device: value,
            head: Some(head),
        })
    }

    /// A study; `unknown_study` if the chain has none of this number.
    pub async fn study(&self, study: StudyId) -> Result<Study, ApiError> {
        let (known, generation) = self.recall(&self.studies, study);
        if let Some(known) = known {
            return Ok(known);
        }
        let view = self.ledger.study(study).await?;
        let view = view.ok_or_else(|| Problem::new(Code::UnknownStudy))?;
        let value = Study {
            policy: view.policy,
            open: view.open,
        };
        self.remember(&self.studies, study, value, generation);
        Ok(value)
    }

    /// Forgets what a finalised block has changed.
    pub fn observe(&self, block: &FinalisedBlock) {
        for (_, event) in block.all_events() {
            match event {
                ChainEvent::DeviceSuspended { device, .. }
                | ChainEvent::DeviceResumed { device }
                | ChainEvent::DeviceRetired { device, .. } => {
                    lock(&self.devices).forget(*device);
                }
                ChainEvent::StudyClosed { study } | ChainEvent::StudyReopened { study } => {
                    lock(&self.studies).forget(*study);
                }
                _ => {}
            }
        }
    }

    /// Says whether finalised blocks are read here. What was remembered meanwhile may be out of date.
    pub fn watch(&self, watched: bool) {
        if self.watched.swap(watched, Ordering::AcqRel) != watched {
            lock(&self.devices).forget_all();
            lock(&self.studies).forget_all();
        }
    }

    /// What is remembered under a number, if it still counts, and the generation of what is remembered.
    fn recall<K: Eq + Hash, T: Clone>(
        &self,
        memory: &Mutex<Memory<K, T>>,
        key: K,
    ) -> (Option<T>, u64) {
        let limit = if self.watched.load(Ordering::Acquire) {
            WATCHED
        } else {
            UNWATCHED
        };
        let memory = lock(memory);
        let known = memory.values.get(&key);
        let fresh = known.filter(|known| self.clock.passed() < known.since + limit);
        (fresh.map(|known| known.value.clone()), memory.generation)
    }

    /// Remembers what was read since this was the generation.
    fn remember<K: Eq + Hash, T>(
        &self,
        memory: &Mutex<Memory<K, T>>,
        key: K,
        value: T,
        generation: u64,
    ) {
        let since = self.clock.passed();
        let mut memory = lock(memory);
        if generation != memory.generation {
            return;
        }
        if memory.values.len() >= memory.most && !memory.values.contains_key(&key) {
            memory.values.clear();
        }
        memory.values.insert(key, Remembered { value, since });
    }
}

fn lock<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().expect("no holder of this lock panics; qed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::tests::chain::FakeChain;
    use crate::testing::TestDevice;
    use mhealth_chain_client::H256;
    use mhealth_server::ManualClock;

    fn that_resumes(device: DeviceId) -> FinalisedBlock {
        FinalisedBlock {
            number: 1,
            hash: H256::zero(),
            parent_hash: H256::zero(),
            extrinsics: Vec::new(),
            events: vec![ChainEvent::DeviceResumed { device }],
        }
    }

    #[tokio::test]
    async fn what_a_block_changed_while_it_was_read_is_not_remembered() {
        let chain = FakeChain::new();
        chain.enrol(DeviceId(1), TestDevice::new(1).genesis());
        let directory = Directory::new(Arc::new(chain), ManualClock::at(1_000_000));
        let mut reading = std::pin::pin!(directory.device(DeviceId(1)));
        assert!(futures::poll!(&mut reading).is_pending());
        directory.observe(&that_resumes(DeviceId(1)));
        assert!(reading.await.unwrap().head.is_some());
        // The chain is asked again, and then no more.
        assert!(directory.device(DeviceId(1)).await.unwrap().head.is_some());
        assert!(directory.device(DeviceId(1)).await.unwrap().head.is_none());
    }

    #[tokio::test]
    async fn what_is_remembered_grows_old_whatever_the_clock_is_set_to() {
        let chain = FakeChain::new();
        chain.enrol(DeviceId(1), TestDevice::new(1).genesis());
        let clock = ManualClock::at(1_000_000);
        let directory = Directory::new(Arc::new(chain), clock.clone());
        let is_asked = async || directory.device(DeviceId(1)).await.unwrap().head.is_some();
        assert!(is_asked().await);
        for step in [1_000, 9_000_000] {
            clock.set(step);
            assert!(!is_asked().await);
            clock.advance(30);
            assert!(is_asked().await);
        }
    }
}
