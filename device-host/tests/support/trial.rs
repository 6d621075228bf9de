// SPDX-License-Identifier: Apache-2.0

//! A phone, an authentication server and relays.

use std::time::Duration;

use hashchain::DeviceId;
use mhealth_device_host::{
    fleet::{enrol_all, upload_all, Refused},
    servers::{Address, Patience, Servers, Settings},
    Device, EnrolmentCode, Store,
};

use super::{clock, device, fakes::Fake, seal, store_in_memory, terms, world::World};

/// Short waits, so that tests are fast; long patience where giving up is not what is tested.
pub(crate) fn patience() -> Patience {
    Patience {
        shortest_wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(50),
        usual_finality: Duration::ZERO,
        ..Patience::default()
    }
}

pub(crate) fn impatience() -> Patience {
    Patience {
        give_up: Duration::from_millis(100),
        ..patience()
    }
}

pub(crate) fn settings(office: &Fake, relays: &[&Fake], copies: u32) -> Settings {
    let mut settings = Settings::new(terms(), address(office), clock());
    settings.device.relays = relays.iter().map(|relay| address(relay)).collect();
    settings.device.copies = copies;
    settings.device.patience = patience();
    settings
}

pub(crate) fn address(fake: &Fake) -> Address {
    fake.address.parse().expect("an address")
}

pub(crate) fn through(settings: Settings) -> Servers {
    Servers::new(settings).expect("a client")
}

pub(crate) fn code(code: &str) -> EnrolmentCode {
    super::world::code(code)
}

/// A study with an office, some relays, and a phone that is enrolled and has sealed some nights.
pub(crate) struct Trial {
    pub(crate) world: World,
    pub(crate) office: Fake,
    pub(crate) relays: Vec<Fake>,
    pub(crate) store: Store,
}

impl Trial {
    pub(crate) async fn with_relays(relays: usize) -> Self {
        let world = World::with_codes(&["CODE"]);
        let office = Fake::office(&world).await;
        let mut running = Vec::new();
        for _ in 0..relays {
            running.push(Fake::relay(&world).await);
        }
        let trial = Self {
            world,
            office,
            relays: running,
            store: store_in_memory(),
        };
        let phone = trial.phone();
        trial
            .store
            .set_code(phone.id(), Some(&code("CODE")))
            .expect("kept");
        let refused = enrol_all(&trial.store, &trial.servers(1), |_| ()).await;
        assert_eq!(refused.expect("enrolled"), []);
        trial
    }

    pub(crate) fn phone(&self) -> Device<'_> {
        device(&self.store, "P-1")
    }

    pub(crate) fn settings(&self, copies: u32) -> Settings {
        settings(
            &self.office,
            &self.relays.iter().collect::<Vec<_>>(),
            copies,
        )
    }

    pub(crate) fn servers(&self, copies: u32) -> Servers {
        through(self.settings(copies))
    }

    pub(crate) fn seal(&self, nights: std::ops::Range<u32>) {
        let phone = self.phone();
        for night in nights {
            seal(&phone, &format!("night {night}"));
        }
    }

    /// Uploads everything in runs of two, with fresh caches.
    pub(crate) async fn upload(&self, copies: u32) -> Result<Vec<Refused>, String> {
        self.upload_through(&self.servers(copies)).await
    }

    pub(crate) async fn upload_through(&self, servers: &Servers) -> Result<Vec<Refused>, String> {
        let uploaded = upload_all(&self.store, servers, 2, |_| ()).await;
        uploaded.map_err(|error| error.code().to_owned())
    }

    /// The chain has exactly what the phone sealed, and the phone knows it.
    pub(crate) fn assert_level(&self) {
        let record = self.phone().record().expect("a record");
        let state = self.world.state();
        let on_chain = &state.devices[0];
        assert_eq!(on_chain.head().length, record.length);
        assert_eq!(on_chain.head().hash, record.head);
        assert_eq!((record.confirmed, record.queued()), (record.length, 0));
        assert_eq!(record.frozen, None);
    }

    /// Each of these relays holds each envelope.
    pub(crate) fn assert_held_by(&self, relays: &[usize]) {
        let phone = self.phone();
        let length = phone.record().expect("a record").length;
        for (relay, sequence) in relays
            .iter()
            .flat_map(|r| (1..=length).map(move |s| (*r, s)))
        {
            let held = self.relays[relay]
                .set()
                .envelopes
                .get(&(DeviceId(0), sequence))
                .cloned();
            let own = self.store.envelope(phone.id(), sequence).expect("read");
            assert_eq!(held, own, "relay {relay}, entry {sequence}");
        }
    }
}
