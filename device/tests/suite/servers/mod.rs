// SPDX-License-Identifier: Apache-2.0
//! The way through an authentication server and relays, with servers that misbehave.

mod enrolling;
mod fakes;
#[cfg(feature = "cli")]
mod program;
mod storms;
mod trust;
mod uploading;
mod world;

use std::time::Duration;

use mhealth_device::{
    servers::{Patience, Servers, Settings},
    store::EnrolmentCode,
    upload::{enrol_all, upload_all, Refused},
    Device, Store,
};

use crate::{clock, device, seal, store_in_memory};
use fakes::Fake;
use world::World;

/// Short waits, so that tests are fast; long patience where giving up is not what is tested.
fn patience() -> Patience {
    Patience {
        shortest_wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(50),
        ..Patience::default()
    }
}

fn impatience() -> Patience {
    Patience {
        give_up: Duration::from_millis(100),
        ..patience()
    }
}

fn settings(office: &Fake, relays: &[&Fake], copies: u32) -> Settings {
    let mut settings = Settings::new(crate::terms(), address(office), clock());
    settings.relays = relays.iter().map(|relay| address(relay)).collect();
    settings.copies = copies;
    settings.patience = patience();
    settings
}

fn address(fake: &Fake) -> mhealth_device::servers::Address {
    fake.address.parse().expect("an address")
}

fn through(settings: Settings) -> Servers {
    Servers::new(settings).expect("a client")
}

fn code(code: &str) -> EnrolmentCode {
    EnrolmentCode::from(code.to_owned())
}

/// A study with an office, some relays, and a phone that is enrolled and has sealed some nights.
struct Trial {
    world: World,
    office: Fake,
    relays: Vec<Fake>,
    store: Store,
}

impl Trial {
    async fn with_relays(relays: usize) -> Self {
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

    fn phone(&self) -> Device<'_> {
        device(&self.store, "P-1")
    }

    fn settings(&self, copies: u32) -> Settings {
        settings(
            &self.office,
            &self.relays.iter().collect::<Vec<_>>(),
            copies,
        )
    }

    fn servers(&self, copies: u32) -> Servers {
        through(self.settings(copies))
    }

    fn seal(&self, nights: std::ops::Range<u32>) {
        let phone = self.phone();
        for night in nights {
            seal(&phone, &format!("night {night}"));
        }
    }

    /// Uploads everything in runs of two, with fresh caches.
    async fn upload(&self, copies: u32) -> Result<Vec<Refused>, String> {
        self.upload_through(&self.servers(copies)).await
    }

    async fn upload_through(&self, servers: &Servers) -> Result<Vec<Refused>, String> {
        let uploaded = upload_all(&self.store, servers, 2, |_| ()).await;
        uploaded.map_err(|error| error.code().to_owned())
    }

    /// The chain has exactly what the phone sealed, and the phone knows it.
    fn assert_level(&self) {
        let record = self.phone().record().expect("a record");
        let state = self.world.state();
        let on_chain = &state.devices[0];
        assert_eq!(on_chain.head().length, record.length);
        assert_eq!(on_chain.head().hash.0, record.head.0);
        assert_eq!((record.confirmed, record.queued()), (record.length, 0));
        assert_eq!(record.frozen, None);
    }

    /// Each of these relays holds each envelope.
    fn assert_held_by(&self, relays: &[usize]) {
        let phone = self.phone();
        let length = phone.record().expect("a record").length;
        for (relay, sequence) in relays
            .iter()
            .flat_map(|r| (1..=length).map(move |s| (*r, s)))
        {
            let held = self.relays[relay]
                .set()
                .envelopes
                .get(&(0, sequence))
                .cloned();
            let own = self.store.envelope(phone.id(), sequence).expect("read");
            assert_eq!(held, own, "relay {relay}, entry {sequence}");
        }
    }
}
