// SPDX-License-Identifier: Apache-2.0

//! The phone, for TypeScript.

use std::sync::Arc;
use std::time::Duration;

use mhealth_device::host::Host;
use mhealth_device::{Error, Phone, SyncError};
use mhealth_sdk::phone::{lines, seal, PhoneOptions, PhoneStanding, PhoneStatus, SealedEntry};
use mhealth_sdk::SdkError;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::host::{JsHost, Keys, PageEntropy, PageTime, Way};
use crate::mirror::Mirror;

/// A value as JSON.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("string keys and finite numbers always serialise; qed")
}

/// What is thrown: the error as JSON.
pub(crate) fn thrown(error: SdkError) -> JsValue {
    json(&error).into()
}

/// A phone. What it throws is JSON with `code`, `reason`, `advice`, `detail`.
#[wasm_bindgen]
pub struct PhoneCore {
    phone: Phone<Mirror, Way>,
    store: Mirror,
}

#[wasm_bindgen]
impl PhoneCore {
    /// Opens the phone that is in the host's store, or makes the store ready for one.
    pub async fn open(
        host: JsHost,
        copies: u32,
        trust_relays: bool,
        checkpoints: Vec<String>,
        chain: Option<String>,
    ) -> Result<Self, JsValue> {
        let opened = Self::opened(
            host,
            PhoneOptions {
                copies,
                trust_relays,
                checkpoints,
                chain,
            },
        );
        opened.await.map_err(thrown)
    }

    async fn opened(host: JsHost, options: PhoneOptions) -> Result<Self, SdkError> {
        let options = options.to_core()?;
        let store = Mirror::read(host.clone()).await?;
        let on = Host {
            store: store.clone(),
            transport: Way {
                host: host.clone(),
                store: store.clone(),
            },
            clock: Arc::new(PageTime),
            entropy: Arc::new(PageEntropy),
        };
        let phone = Phone::open(on, &Keys(host), options).await?;
        let opened = Self { phone, store };
        opened.written_out().await?;
        Ok(opened)
    }

    /// Enrols with a code. Gives the phone's number on the chain.
    pub async fn enrol(
        &self,
        authentication: String,
        code: String,
        deadline: f64,
    ) -> Result<u32, JsValue> {
        let asked = self
            .phone
            .enrol(&authentication, &code, milliseconds(deadline));
        Ok(self.told(asked.await).await?.0)
    }

    /// Seals a record; durable when this resolves. Gives `{sequence, outcome}`.
    pub async fn seal(
        &self,
        source: String,
        media_type: String,
        payload: Vec<u8>,
        content: Option<Vec<u8>>,
        correct: bool,
    ) -> Result<String, JsValue> {
        let sealed = seal(&self.phone, source, media_type, payload, content, correct);
        let sealed = self.told(sealed.map_err(SyncError::Device)).await?;
        Ok(json(&SealedEntry::from(sealed)))
    }

    /// Sends what the chain lacks and has it proved. Gives `{state, queued, stopped}`.
    pub async fn sync(&self, deadline: f64) -> Result<String, JsValue> {
        let asked = self.phone.sync(milliseconds(deadline));
        let standing = self.told(asked.await).await?;
        Ok(json(&PhoneStanding::from(standing)))
    }

    /// How the phone stands.
    pub fn status(&self) -> Result<String, JsValue> {
        let status = self.phone.status().map_err(|error| thrown(error.into()))?;
        Ok(json(&PhoneStatus::from(status)))
    }

    /// What is left on a stopped phone, for the auditor: one JSON object a line.
    #[wasm_bindgen(js_name = exportQueue)]
    pub async fn export_queue(&self) -> Result<String, JsValue> {
        let runs = self.phone.export_queue();
        self.taken_out(runs).await
    }

    /// What was sealed with devices that could not be enrolled: one JSON object a line.
    #[wasm_bindgen(js_name = exportUnenrolled)]
    pub async fn export_unenrolled(&self) -> Result<String, JsValue> {
        let runs = self.phone.export_unenrolled();
        self.taken_out(runs).await
    }

    /// Runs that leave the phone. That they did is noted, where there is room for it.
    async fn taken_out<R: Serialize>(
        &self,
        runs: Result<Vec<R>, Error>,
    ) -> Result<String, JsValue> {
        let runs = runs.map_err(|error| thrown(error.into()))?;
        let _ = self.written_out().await;
        Ok(lines(&runs))
    }

    /// What came of something, once all of it is durable. A store that failed is the cause of whatever else went wrong.
    async fn told<T>(&self, outcome: Result<T, SyncError>) -> Result<T, JsValue> {
        self.written_out().await.map_err(thrown)?;
        outcome.map_err(|error| thrown(error.into()))
    }

    async fn written_out(&self) -> Result<(), SdkError> {
        Ok(self.store.write_out().await?)
    }
}

/// A time as JavaScript has it: what is longer than any is the longest, and what is none, or below zero, is no time.
fn milliseconds(time: f64) -> Duration {
    match Duration::try_from_secs_f64(time / 1000.0) {
        Ok(time) => time,
        Err(_) if time > 0.0 => Duration::MAX,
        Err(_) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_an_end_is_no_end_at_once() {
        assert_eq!(milliseconds(60_000.0), Duration::from_secs(60));
        for endless in [f64::INFINITY, f64::MAX] {
            assert_eq!(milliseconds(endless), Duration::MAX);
        }
        for none in [0.0, -1.0, f64::NEG_INFINITY, f64::NAN] {
            assert_eq!(milliseconds(none), Duration::ZERO);
        }
    }
}
