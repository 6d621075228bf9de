// SPDX-License-Identifier: Apache-2.0
//! The patient's side of mHealth Chain: what a phone app links.
//!
//! Everything that a phone records is chained by hash, with a secret that only the phone has, **before** anything
//! leaves it. Whoever alters it on the way — a hacked relay, a thief of credentials — breaks the chain where anybody
//! can see it.
//!
//! A [`Device`] seals a record into an envelope, chains the envelope's digest, turns its ratchet, makes all of that
//! durable in one transaction of its [`Store`], and queues the entry. [`upload`] sends what is queued by any
//! [`chain::Chain`]: the direct form of the paper's Figure 1a is `direct`, the way through an authentication server and
//! relays of Figures 1b and 1c is `servers`, each of the feature of that name. [`sync`] compares the device's head with
//! the chain's, and stops the device when somebody else wrote in its name.
//!
//! Time and randomness are parameters. Errors have stable codes; neither they nor the logs contain patient data or
//! secrets.
//!
//! ```
//! use std::sync::Arc;
//! use mhealth_device::{
//!     payload::Participant, seal::Recipient, Device, Record, Sealed, Store, SystemClock, Terms,
//! };
//!
//! # let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
//! # let auditor_key = hashchain::OpeningKey::from_bytes(&[7; 32]).sealing_key().0;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("state.db");
//! // Once, with what the study's staff configured:
//! let terms = Terms { chain: [1; 32], study: 0, auditor_key };
//! let store = Store::open_or_create(&path, &terms, Arc::new(SystemClock), &mut rng)?;
//! let device = Device::of(&store, &Participant("P-17".into()), &mut rng)?;
//!
//! // Every morning, online or not:
//! let record = Record { source: "2026-01-06", media_type: "application/json", payload: b"{}" };
//! assert!(matches!(device.seal(&record, Recipient::Anybody, &mut rng)?, Sealed::New(_)));
//! assert_eq!(device.seal(&record, Recipient::Anybody, &mut rng)?, Sealed::Before(1));
//!
//! // What the app sends next time it is online; the same bytes until the chain has them:
//! let runs = device.runs(16)?;
//! assert_eq!(runs, device.runs(16)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod chain;
mod clock;
pub mod cohort;
mod device;
#[cfg(feature = "direct")]
pub mod direct;
mod error;
mod key;
pub mod payload;
pub mod queue;
pub mod seal;
#[cfg(feature = "servers")]
pub mod servers;
pub mod store;
pub mod sync;
pub mod upload;

pub use clock::{Clock, StoppedClock, SystemClock};
pub use device::Device;
pub use error::Error;
pub use key::{DeviceKey, PublicKey, Signature};
pub use store::{LocalId, Record, Sealed, Store, Terms};
