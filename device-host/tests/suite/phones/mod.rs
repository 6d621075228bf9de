// SPDX-License-Identifier: Apache-2.0

//! The phone of the core, as an app holds it, over a store that can be killed at any write and servers over real HTTP.

mod chains;
mod crashes;
mod deadlines;
mod enrolling;
mod files;
mod foreign;
mod kept;
mod memory;
mod secrets;
mod standing;
mod wrong;

use std::{path::Path, sync::Arc, time::Duration};

use hashchain::DeviceId;
use mhealth_api::Predecessor;
use mhealth_device_host::{
    host::{Clock, Entropy, Host, PhoneStore},
    servers::{Certificates, Patience},
    Change, Error, FileKeystore, HttpTransport, Options, Phone, Record, Sealed, SystemEntropy,
};
use tempfile::TempDir;

use crate::support::{
    clock,
    fakes::Fake,
    trial::{code, impatience, patience},
    world::World,
};
use memory::Memory;

/// Long enough for everything that ends by itself.
const LONG: Duration = Duration::from_secs(30);

type TestPhone<S> = Phone<S, HttpTransport>;

/// A study with an office and a relay, and a phone's store and key store.
struct Desk {
    world: World,
    office: Fake,
    relay: Fake,
    memory: Memory,
    folder: TempDir,
}

impl Desk {
    async fn new() -> Self {
        let world = World::with_codes(&["CODE", "SECOND"]);
        let (office, relay) = (Fake::office(&world).await, Fake::relay(&world).await);
        office.set().relays = vec![relay.address.clone()];
        Self {
            world,
            office,
            relay,
            memory: Memory::default(),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Staff say that the code of this name is for a device that goes on from what the chain has of another one.
    fn succeed(&self, device: DeviceId, name: &str) {
        let mut state = self.world.state();
        let head = state.devices[device.0 as usize].head().hash;
        let issued = state.codes.get_mut(&*code(name).reveal());
        issued.expect("it is issued").predecessor = Some(Predecessor { device, head });
    }

    /// A further relay, which comes after the others.
    async fn add_relay(&self) -> Fake {
        let relay = Fake::relay(&self.world).await;
        self.office.set().relays.push(relay.address.clone());
        relay
    }

    fn keystore(&self) -> FileKeystore {
        keystore(self.folder.path(), "own")
    }

    async fn open(&self) -> Result<TestPhone<Memory>, Error> {
        let entropy = Arc::new(SystemEntropy);
        open(self.memory.clone(), &self.keystore(), entropy).await
    }

    /// A phone that gives up soon.
    async fn open_impatient(&self) -> TestPhone<Memory> {
        self.open_that_waits(impatience()).await
    }

    /// A phone with this patience.
    async fn open_that_waits(&self, patience: Patience) -> TestPhone<Memory> {
        let (store, entropy) = (self.memory.clone(), Arc::new(SystemEntropy));
        let keystore = self.keystore();
        let opened = open_with(patience, clock(), store, &keystore, entropy);
        opened.await.expect("opened")
    }

    async fn enrolled(&self) -> TestPhone<Memory> {
        let phone = self.open().await.expect("opened");
        self.enrol(&phone, "CODE").await.expect("enrolled");
        phone
    }

    /// A phone that was set up from a copy of itself. The chain has two nights more.
    async fn restored(&mut self) -> TestPhone<Memory> {
        let phone = self.enrolled().await;
        seal(&phone, "night 1").expect("sealed");
        phone.sync(LONG).await.expect("sent");
        let copy = self.memory.revived(None);
        for night in ["night 2", "night 3"] {
            seal(&phone, night).expect("sealed");
        }
        phone.sync(LONG).await.expect("sent");
        drop(phone);
        self.memory = copy;
        self.open().await.expect("it is whole")
    }

    async fn enrol<S: PhoneStore>(&self, phone: &TestPhone<S>, name: &str) -> Result<u32, String> {
        let code = code(name).reveal().to_string();
        let enrolled = phone.enrol(&self.office.address, &code, LONG).await;
        let enrolled = enrolled.map(|number| number.0);
        enrolled.map_err(|error| error.code().to_owned())
    }

    /// Entries that the chain has of the device of this number.
    fn on_chain(&self, device: usize) -> usize {
        let state = self.world.state();
        state.devices.get(device).map_or(0, |it| it.entries.len())
    }
}

fn keystore(folder: &Path, name: &str) -> FileKeystore {
    FileKeystore::open_or_create(&folder.join(name)).expect("a key store")
}

async fn open<S: PhoneStore>(
    store: S,
    keystore: &FileKeystore,
    entropy: Arc<dyn Entropy>,
) -> Result<TestPhone<S>, Error> {
    open_with(patience(), clock(), store, keystore, entropy).await
}

/// The same with another patience, or another clock.
async fn open_with<S: PhoneStore>(
    patience: Patience,
    clock: Arc<dyn Clock>,
    store: S,
    keystore: &FileKeystore,
    entropy: Arc<dyn Entropy>,
) -> Result<TestPhone<S>, Error> {
    let host = Host {
        store,
        transport: HttpTransport::new(LONG, &Certificates::default(), 8).expect("a client"),
        clock,
        entropy,
    };
    let options = Options {
        patience,
        ..Options::default()
    };
    Phone::open(host, keystore, options).await
}

fn seal<S: PhoneStore>(phone: &TestPhone<S>, source: &str) -> Result<Sealed, Error> {
    let payload = format!("payload of {source}");
    let record = Record {
        source,
        media_type: "text/plain",
        payload: payload.as_bytes(),
    };
    phone.seal(&record, Change::Refuse)
}
