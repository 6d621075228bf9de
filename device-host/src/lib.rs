// SPDX-License-Identifier: Apache-2.0

//! What the device library stands on beside a phone: one [`Store`] in SQLite with as many devices as are wanted, HTTPS by reqwest, and
//! the clock and the random numbers of the system. The simulator, the laboratory and tests go through it.
//!
//! All rules are those of [`mhealth_device`], which this crate hands on: a [`Store`] is a [`Book`](book::Book).
//!
//! ```
//! use std::sync::Arc;
//! use mhealth_device_host::{
//!     payload::Participant,
//!     servers::{Address, Servers, Settings},
//!     Device, EnrolmentCode, Recipient, Record, Sealed, Standing, Store, SystemClock, Terms,
//! };
//!
//! # let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
//! # let auditor_key = hashchain::OpeningKey::from_bytes(&[7; 32]).sealing_key().0;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("state.db");
//! // Once. `AuthenticationServer::code_terms` says what the code that staff handed out is for.
//! let clock = Arc::new(SystemClock);
//! let study = hashchain::StudyId(0);
//! let terms = Terms { chain: [1; 32], study, auditor_key, auditor_epoch: 0 };
//! let store = Store::open_or_create(&path, &terms, clock.clone(), &mut rng)?;
//! let device = Device::of(&store, &Participant("P-17".into()), &mut rng)?;
//!
//! // Every morning, online or not:
//! let record = Record { source: "2026-01-06", media_type: "application/json", payload: b"{}" };
//! assert!(matches!(device.seal(&record, Recipient::Anybody, &mut rng)?, Sealed::New(_)));
//! assert_eq!(device.seal(&record, Recipient::Anybody, &mut rng)?, Sealed::Before(1));
//!
//! // What will be sent; the same bytes until the chain has them:
//! let runs = device.runs(16)?;
//! assert_eq!(runs, device.runs(16)?);
//!
//! // Online, again and again: whatever fails in between, nothing is lost or sent twice.
//! async fn online(
//!     device: &Device<'_>,
//!     servers: &Servers,
//!     code: &EnrolmentCode,
//! ) -> Result<(), mhealth_device_host::SyncError> {
//!     let number = device.enrol(servers, code).await?;
//!     match device.upload(servers).await? {
//!         Standing::Level => println!("the chain has all that device {number} sealed"),
//!         Standing::Queued(entries) => println!("{entries} entries are sent next time"),
//!         Standing::Frozen(reason) => println!("stopped: {reason}"),
//!         Standing::Unenrolled => println!("the chain does not know this device"),
//!     }
//!     // Nothing to send, and still worth asking: does somebody else write in its name?
//!     assert_eq!(device.sync(servers).await?, Standing::Level);
//!     Ok(())
//! }
//! let authentication: Address = "https://auth.example.org".parse()?;
//! let servers = Servers::new(Settings::new(terms, authentication, clock))?;
//! let code: EnrolmentCode = "00000-00000-00000-00000-NT18T-B2ZW3-QZWY7-4SQ46".parse()?;
//! let life = online(&device, &servers, &code); // Awaited by the app.
//! # drop(life);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clock;
mod device;
mod durable;
mod keystore;
mod phones;
pub mod servers;
pub mod store;
mod transport;

pub use clock::{SystemClock, SystemEntropy};
pub use device::Device;
pub use keystore::FileKeystore;
pub use mhealth_device::{
    book, chain, fleet, host, payload, seal, Advice, Change, Checkpoint, EnrolmentCode, Error,
    FreezeReason, Options, Phone, PublicKey, Recipient, Record, Sealed, Senses, Standing, Status,
    SyncError, Terms,
};
pub use phones::{PhoneFile, PhonePart};
pub use store::Store;
pub use transport::HttpTransport;
