// SPDX-License-Identifier: Apache-2.0

//! What the page or program brings, and how the core's traits are made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use js_sys::{Array, Reflect, Uint8Array};
use mhealth_device::host::{
    Answer, Clock, Entropy, EntropyFault, Keystore, KeystoreFault, Request, StoreFault, Transport,
    TransportFault, Write,
};
use time::OffsetDateTime;
use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

use crate::mirror::Mirror;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What a phone stands on. What a method rejects with has a `fault`; everything else is taken for a failure of the system. */
export interface Host {
  /** Everything that is stored. Faults: `in_use`, `damaged`. */
  load(): Promise<[Uint8Array, Uint8Array][]>;
  /**
   * Does all of these writes or none, in their order and after those of earlier calls, and resolves when they are durable. No value
   * forgets the key. After one failure all fail. Fault: `full`.
   */
  apply(writes: [Uint8Array, Uint8Array | undefined][]): Promise<void>;
  /** Encrypts and authenticates 32 bytes. Fault: `locked`. */
  wrap(secret: Uint8Array): Promise<Uint8Array>;
  /** Gives back what was wrapped. Faults: `foreign`, `locked`. */
  unwrap(wrapped: Uint8Array): Promise<Uint8Array>;
  /** Sends a request. Faults: `too_long`, `untrusted`, `not_valid_yet`, `expired`, `not_allowed`. */
  send(request: HttpRequest): Promise<HttpAnswer>;
  /** Waits so many milliseconds. */
  sleep(time: number): Promise<void>;
}

export interface HttpRequest {
  method: 'GET' | 'POST';
  url: string;
  headers: [string, string][];
  body: Uint8Array | undefined;
  /** After so many milliseconds without a whole answer the server is unreachable. */
  patience: number;
  /** Longest answer that is read, in bytes. */
  longestAnswer: number;
}

export interface HttpAnswer {
  status: number;
  headers: [string, string][];
  body: Uint8Array;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// The host of a phone.
    #[wasm_bindgen(typescript_type = "Host")]
    #[derive(Clone)]
    pub type JsHost;

    #[wasm_bindgen(method, catch, js_name = load)]
    async fn js_load(this: &JsHost) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = apply)]
    async fn js_apply(this: &JsHost, writes: Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = wrap)]
    async fn js_wrap(this: &JsHost, secret: Uint8Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = unwrap)]
    async fn js_unwrap(this: &JsHost, wrapped: Uint8Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = send)]
    async fn js_send(this: &JsHost, request: JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = sleep)]
    async fn js_sleep(this: &JsHost, time: f64) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(catch, js_namespace = crypto, js_name = getRandomValues)]
    fn random_values(bytes: &Uint8Array) -> Result<JsValue, JsValue>;
}

/// What somebody rejected with: the name of its fault, and words for developers.
fn rejected(error: &JsValue) -> (Option<String>, String) {
    let member = |name: &str| Reflect::get(error, &name.into()).ok()?.as_string();
    let words = member("message").or_else(|| error.as_string());
    (member("fault"), words.unwrap_or_default())
}

fn store_fault(error: JsValue) -> StoreFault {
    let (fault, words) = rejected(&error);
    match fault.as_deref() {
        Some("full") => StoreFault::Full,
        Some("in_use") => StoreFault::InUse,
        Some("damaged") => StoreFault::Damaged(words),
        _ => StoreFault::Unusable(words),
    }
}

fn keystore_fault(error: JsValue) -> KeystoreFault {
    let (fault, words) = rejected(&error);
    match fault.as_deref() {
        Some("foreign") => KeystoreFault::Foreign,
        Some("locked") => KeystoreFault::Locked,
        _ => KeystoreFault::Failed(words),
    }
}

fn transport_fault(error: JsValue) -> TransportFault {
    let (fault, words) = rejected(&error);
    match fault.as_deref() {
        Some("too_long") => TransportFault::TooLong,
        Some("untrusted") => TransportFault::Untrusted(words),
        Some("not_allowed") => TransportFault::NotAllowed(words),
        Some("not_valid_yet") => TransportFault::WrongTime {
            not_yet: true,
            reason: words,
        },
        Some("expired") => TransportFault::WrongTime {
            not_yet: false,
            reason: words,
        },
        _ => TransportFault::Unreachable(words),
    }
}

/// Bytes of a value that should be an array of them.
fn bytes(value: &JsValue) -> Option<Vec<u8>> {
    Some(value.dyn_ref::<Uint8Array>()?.to_vec())
}

/// Everything that the host has stored.
pub(crate) async fn load(host: &JsHost) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StoreFault> {
    let pairs = host.js_load().await.map_err(store_fault)?;
    let other = || StoreFault::Damaged("the host gives something else than pairs of bytes".into());
    let pairs: Array = pairs.dyn_into().map_err(|_| other())?;
    let pairs = pairs.iter().map(|pair| {
        let pair: Array = pair.dyn_into().ok()?;
        Some((bytes(&pair.get(0))?, bytes(&pair.get(1))?))
    });
    pairs.collect::<Option<_>>().ok_or_else(other)
}

/// Has writes done, after those of earlier calls.
pub(crate) async fn apply(host: &JsHost, writes: &[Write]) -> Result<(), StoreFault> {
    let pairs: Array = writes
        .iter()
        .map(|write| match write {
            Write::Put { key, value } => pair(&array(key), &array(value)),
            Write::Delete { key } => pair(&array(key), &JsValue::UNDEFINED),
        })
        .collect();
    host.js_apply(pairs).await.map(drop).map_err(store_fault)
}

fn array(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

fn pair(first: &JsValue, second: &JsValue) -> JsValue {
    Array::of2(first, second).into()
}

/// The core's key store.
pub(crate) struct Keys(pub(crate) JsHost);

impl Keystore for Keys {
    async fn wrap(&self, secret: &[u8]) -> Result<Vec<u8>, KeystoreFault> {
        let given = Uint8Array::from(secret);
        let wrapped = self.0.js_wrap(given.clone()).await;
        let wrapped = wrapped.map_err(keystore_fault);
        let kept = wrapped.and_then(|wrapped| bytes(&wrapped).ok_or_else(no_bytes));
        // JavaScript's own copy.
        given.fill(0, 0, given.length());
        kept
    }

    async fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreFault> {
        let secret = self.0.js_unwrap(Uint8Array::from(wrapped)).await;
        let secret = secret.map_err(keystore_fault)?;
        let kept = bytes(&secret).map(Zeroizing::new).ok_or_else(no_bytes)?;
        // JavaScript's own copy.
        secret.unchecked_into::<Uint8Array>().fill(0, 0, u32::MAX);
        Ok(kept)
    }
}

fn no_bytes() -> KeystoreFault {
    KeystoreFault::Failed("the host gives something else than bytes".into())
}

/// The core's way to servers. Nothing is sent before everything is stored.
pub(crate) struct Way {
    pub(crate) host: JsHost,
    pub(crate) store: Mirror,
}

impl Transport for Way {
    async fn send(&self, request: Request) -> Result<Answer, TransportFault> {
        let stored = self.store.write_out().await;
        stored.map_err(|fault| TransportFault::Unreachable(fault.to_string()))?;
        let answer = self.host.js_send(asked(&request)).await;
        answered(&answer.map_err(transport_fault)?).ok_or_else(|| {
            TransportFault::Unreachable("the host gives something else than an answer".into())
        })
    }

    async fn sleep(&self, time: Duration) {
        // A timer that fails is one that is over.
        let _ = self.host.js_sleep(time.as_secs_f64() * 1000.0).await;
    }
}

fn asked(request: &Request) -> JsValue {
    let headers: Array = request
        .headers
        .iter()
        .map(|(name, value)| pair(&(*name).into(), &value.as_str().into()))
        .collect();
    let body = request.body.as_deref().map_or(JsValue::UNDEFINED, array);
    let made = js_sys::Object::new();
    let members: [(&str, JsValue); 6] = [
        ("method", request.method.as_str().into()),
        ("url", request.url.as_str().into()),
        ("headers", headers.into()),
        ("body", body),
        ("patience", (request.patience.as_secs_f64() * 1000.0).into()),
        ("longestAnswer", (request.longest_answer as f64).into()),
    ];
    for (name, value) in members {
        Reflect::set(&made, &name.into(), &value).expect("a plain object takes members; qed");
    }
    made.into()
}

fn answered(answer: &JsValue) -> Option<Answer> {
    let member = |name: &str| Reflect::get(answer, &name.into()).ok();
    let headers: Array = member("headers")?.dyn_into().ok()?;
    let headers = headers.iter().map(|header| {
        let header: Array = header.dyn_into().ok()?;
        Some((header.get(0).as_string()?, header.get(1).as_string()?))
    });
    Some(Answer {
        status: member("status")?.as_f64()? as u16,
        headers: headers.collect::<Option<_>>()?,
        body: Zeroizing::new(bytes(&member("body")?)?),
    })
}

/// JavaScript's clocks.
pub(crate) struct PageTime;

impl Clock for PageTime {
    fn now(&self) -> OffsetDateTime {
        let milliseconds = js_sys::Date::now() as i128;
        OffsetDateTime::from_unix_timestamp_nanos(milliseconds * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs_f64(performance_now().max(0.0) / 1000.0)
    }
}

/// JavaScript's random bytes.
pub(crate) struct PageEntropy;

impl Entropy for PageEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFault> {
        // No more are given at once.
        for piece in bytes.chunks_mut(1 << 16) {
            let array = Uint8Array::new_with_length(piece.len() as u32);
            random_values(&array).map_err(|_| EntropyFault)?;
            array.copy_to(piece);
        }
        Ok(())
    }
}
