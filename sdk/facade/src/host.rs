// SPDX-License-Identifier: Apache-2.0

//! What an app brings, as traits that Kotlin, Python and Swift implement, and how the core's own traits are made of them.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mhealth_device::host::{
    Answer, Clock, Entropy, EntropyFault, Keystore, KeystoreFault, PhoneStore, Request, StoreFault,
    Stored, Transport, TransportFault, Write,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::wait::{Elsewhere, Pause};

/// Why a store did not do what was asked. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Error)]
pub enum StorageFault {
    /// There is no room.
    Full,
    /// Another program has it.
    InUse,
    /// The system does not give it, or it failed.
    Unusable {
        /// For developers.
        reason: String,
    },
    /// Its contents are damaged.
    Damaged {
        /// For developers.
        reason: String,
    },
}

/// A key of a store and what is stored under it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct StoredPair {
    /// The key, 1 to 64 bytes.
    pub key: Vec<u8>,
    /// The value, up to 4 MiB.
    pub value: Vec<u8>,
}

/// One write of a list that is applied as a whole.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct StoreWrite {
    /// The key.
    pub key: Vec<u8>,
    /// What is stored from now on; none forgets the key.
    pub value: Option<Vec<u8>>,
}

/// Durable bytes by key. Keys are compared byte by byte. One phone at a time uses a store. May be called from any thread, by one
/// after the other.
#[uniffi::export(with_foreign)]
pub trait StoreHost: Send + Sync {
    /// What is stored under a key.
    fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StorageFault>;

    /// What is stored under the keys from `from` on and before `until`, in the order of the keys; the first `most` of them.
    fn scan(
        &self,
        from: Vec<u8>,
        until: Vec<u8>,
        most: u32,
    ) -> Result<Vec<StoredPair>, StorageFault>;

    /// Does all of these writes or none of them, in their order, and returns when they outlive a power cut.
    fn apply(&self, writes: Vec<StoreWrite>) -> Result<(), StorageFault>;
}

/// Why a key store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Error)]
pub enum KeyFault {
    /// It did not wrap this, or was reset since.
    Foreign,
    /// The phone must be unlocked first.
    Locked,
    /// It failed.
    Failed {
        /// For developers.
        reason: String,
    },
}

/// Wraps the key with which the secrets in the store are encrypted. What it wraps with must not leave this phone: not in a
/// backup, not in a transfer to a new phone. Asked once each time that a store is opened, so it may be slow. Erase the secret
/// when you are done with it, if the language can: what the bindings copied on the way is freed as it is.
#[uniffi::export(with_foreign)]
pub trait KeystoreHost: Send + Sync {
    /// Encrypts and authenticates 32 bytes. The result has up to 4 KiB.
    fn wrap(&self, secret: Vec<u8>) -> Result<Vec<u8>, KeyFault>;

    /// Gives back what was wrapped.
    fn unwrap(&self, wrapped: Vec<u8>) -> Result<Vec<u8>, KeyFault>;
}

/// A header of a request or an answer.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct HttpHeader {
    /// Its name, in lower case with requests.
    pub name: String,
    /// Its value. May be a credential: never log it.
    pub value: String,
}

/// A request. Sent as it is; nothing but what HTTP itself needs is added. **Never log it**, nor its parts: headers carry the token and
/// the proof of possession, and the body the enrolment code. Swift's text of it shows them.
#[derive(Clone, uniffi::Record)]
pub struct HttpRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Its type is among them if there is a body.
    pub headers: Vec<HttpHeader>,
    /// What is sent.
    pub body: Option<Vec<u8>>,
    /// After so many milliseconds without a whole answer the server is unreachable.
    pub patience: u64,
    /// Longest answer that is read, in bytes.
    pub longest_answer: u64,
}

/// A whole answer, whatever its status. Never log it: tokens come in answers.
#[derive(Clone, uniffi::Record)]
pub struct HttpAnswer {
    /// HTTP's status.
    pub status: u16,
    /// At least `dpop-nonce` and `retry-after` if they were there, in any case.
    pub headers: Vec<HttpHeader>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Error)]
pub enum HttpFault {
    /// No whole answer came. Whether the server did what was asked is open.
    Unreachable {
        /// For developers.
        reason: String,
    },
    /// The answer is longer than was to be read.
    TooLong,
    /// Whoever answered cannot prove to be the server.
    Untrusted {
        /// For developers.
        reason: String,
    },
    /// The server's certificate is not valid at the time that this phone's clock shows.
    WrongTime {
        /// Whether it is not valid yet; it has expired otherwise.
        not_yet: bool,
        /// For developers.
        reason: String,
    },
}

/// The app's way to servers. Redirects are not followed, cookies neither kept nor sent, answers not taken from a cache. Called on
/// threads of the library's, several at a time; waits there for the answer. Interceptors that log requests, headers or answers
/// write credentials into the log: leave them out of release builds, or let them log the address alone.
#[uniffi::export(with_foreign)]
pub trait TransportHost: Send + Sync {
    /// Sends a request and waits for its answer.
    fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpFault>;
}

/// An exception that the app's own code does not expect is a failure like others.
macro_rules! foreign_fault {
    ($fault:ident, $words:expr, $unexpected:expr) => {
        impl Display for $fault {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&$words(self))
            }
        }

        impl std::error::Error for $fault {}

        impl From<uniffi::UnexpectedUniFFICallbackError> for $fault {
            fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
                $unexpected(error.reason)
            }
        }
    };
}

foreign_fault!(
    StorageFault,
    |fault: &StorageFault| StoreFault::from(fault.clone()).to_string(),
    |reason| StorageFault::Unusable { reason }
);
foreign_fault!(
    KeyFault,
    |fault: &KeyFault| KeystoreFault::from(fault.clone()).to_string(),
    |reason| KeyFault::Failed { reason }
);
foreign_fault!(
    HttpFault,
    |fault: &HttpFault| TransportFault::from(fault.clone()).to_string(),
    |reason| HttpFault::Unreachable { reason }
);

impl From<StorageFault> for StoreFault {
    fn from(fault: StorageFault) -> Self {
        match fault {
            StorageFault::Full => Self::Full,
            StorageFault::InUse => Self::InUse,
            StorageFault::Unusable { reason } => Self::Unusable(reason),
            StorageFault::Damaged { reason } => Self::Damaged(reason),
        }
    }
}

impl From<KeyFault> for KeystoreFault {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::Foreign => Self::Foreign,
            KeyFault::Locked => Self::Locked,
            KeyFault::Failed { reason } => Self::Failed(reason),
        }
    }
}

impl From<HttpFault> for TransportFault {
    fn from(fault: HttpFault) -> Self {
        match fault {
            HttpFault::Unreachable { reason } => Self::Unreachable(reason),
            HttpFault::TooLong => Self::TooLong,
            HttpFault::Untrusted { reason } => Self::Untrusted(reason),
            HttpFault::WrongTime { not_yet, reason } => Self::WrongTime { not_yet, reason },
        }
    }
}

/// The core's store, as the app brings it.
pub(crate) struct Store(pub(crate) Arc<dyn StoreHost>);

impl PhoneStore for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.0.get(key.to_vec())?)
    }

    fn scan(&self, from: &[u8], until: &[u8], most: usize) -> Result<Vec<Stored>, StoreFault> {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let found = self.0.scan(from.to_vec(), until.to_vec(), most)?;
        Ok(found
            .into_iter()
            .map(|pair| (pair.key, pair.value))
            .collect())
    }

    fn apply(&self, writes: &[Write]) -> Result<(), StoreFault> {
        let writes = writes.iter().cloned().map(|write| match write {
            Write::Put { key, value } => StoreWrite {
                key,
                value: Some(value),
            },
            Write::Delete { key } => StoreWrite { key, value: None },
        });
        Ok(self.0.apply(writes.collect())?)
    }
}

/// The core's key store, as the app brings it.
pub(crate) struct Keys(pub(crate) Arc<dyn KeystoreHost>);

impl Keystore for Keys {
    async fn wrap(&self, secret: &[u8]) -> Result<Vec<u8>, KeystoreFault> {
        Ok(self.0.wrap(secret.to_vec())?)
    }

    async fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreFault> {
        Ok(Zeroizing::new(self.0.unwrap(wrapped.to_vec())?))
    }
}

/// The core's way to servers, as the app brings it: each request waits on a thread of its own, so that a deadline holds whatever
/// the app's code does.
pub(crate) struct Way(pub(crate) Arc<dyn TransportHost>);

impl Transport for Way {
    async fn send(&self, request: Request) -> Result<Answer, TransportFault> {
        let request = HttpRequest {
            method: request.method.as_str().into(),
            url: request.url,
            headers: request
                .headers
                .iter()
                .map(|(name, value)| HttpHeader {
                    name: (*name).into(),
                    value: value.to_string(),
                })
                .collect(),
            body: request.body,
            patience: u64::try_from(request.patience.as_millis()).unwrap_or(u64::MAX),
            longest_answer: request.longest_answer as u64,
        };
        let host = self.0.clone();
        let work = Elsewhere::begin(move || host.send(request))
            .ok_or_else(|| TransportFault::Unreachable("the system gives no thread".into()))?;
        let answer = work.await?;
        Ok(Answer {
            status: answer.status,
            headers: answer
                .headers
                .into_iter()
                .map(|header| (header.name, header.value))
                .collect(),
            body: Zeroizing::new(answer.body),
        })
    }

    async fn sleep(&self, time: Duration) {
        Pause::of(time).await;
    }
}

/// The system's clocks.
pub(crate) struct SystemTime(pub(crate) Instant);

impl Clock for SystemTime {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The system's random bytes.
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFault> {
        getrandom::fill(bytes).map_err(|_| EntropyFault)
    }
}
