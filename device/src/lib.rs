// SPDX-License-Identifier: Apache-2.0

//! The patient's side of mHealth Chain: what a phone app links.
//!
//! Everything that a phone records is chained by hash, with a secret that leaves the phone only sealed to the study's
//! auditor, **before** anything is sent. Whoever alters it on the way — a hacked relay, a thief of credentials — breaks
//! the chain where anybody can see it.
//!
//! A [`Device`] enrols with a code, seals records, uploads them, and compares itself with the chain. Time and randomness
//! are parameters. Errors have stable codes; neither they nor the logs contain patient data or secrets.
//!
//! ```
//! use std::sync::Arc;
//! use mhealth_device::{
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
//! ) -> Result<(), mhealth_device::SyncError> {
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
//!
//! The modules inside, in the order in which a record meets them:
//!
//! 1. `seal`: from a payload to an envelope.
//! 2. [`store`]: the one file in which envelope, entry and the next ratchet key become durable together.
//! 3. `queue`: from entries to signed runs, which never change.
//! 4. `upload`: what is queued, until the chain has finalised it. [`fleet`] does it for several devices at a time.
//! 5. [`chain`]: what a device asks of the chain; the border to every way there. `proof`: what it believes of the answers.
//! 6. [`servers`]: the way through an authentication server and relays (the paper's Figures 1b and 1c).
//! 7. `sync`: whether the chain's head is the device's own, and what to do when it is not. `export`: how what is left on a
//!    stopped device gets to an auditor.
//!
//! Beside them, [`payload`] has what a trial of insomnia records.

extern crate alloc;

pub mod chain;
mod clock;
mod continuation;
mod device;
mod enrol;
mod error;
mod export;
pub mod fleet;
mod freeze;
pub mod host;
mod key;
pub mod payload;
mod phone;
mod proof;
mod queue;
mod seal;
pub mod servers;
mod status;
pub mod store;
mod sync;
mod upload;

pub use clock::{Clock, SystemClock};
pub use device::Device;
pub use error::Error;
pub use key::PublicKey;
pub use mhealth_evidence::Checkpoint;
pub use phone::{Options, Phone};
pub use seal::{Recipient, Record};
pub use status::{Advice, Status};
pub use store::{EnrolmentCode, Sealed, Store, Terms};
pub use sync::{Standing, SyncError};
