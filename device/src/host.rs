// SPDX-License-Identifier: Apache-2.0

//! What a phone's program brings: the five traits at the border of this library.
//!
//! | trait | what it is | Android | iOS | browser | server |
//! |---|---|---|---|---|---|
//! | [`PhoneStore`] | durable bytes by key | a file of the app | a file of the app | IndexedDB, `durability: "strict"` | SQLite |
//! | [`Keystore`] | keeps one key from being copied | Android Keystore | Keychain, this device only | WebCrypto, not extractable | a file |
//! | [`Transport`] | requests, and waiting | `OkHttp` | `URLSession` | `fetch` | reqwest |
//! | [`Clock`] | the time | | | `Date`, `performance.now` | |
//! | [`Entropy`] | random bytes | `SecureRandom` | `SecRandomCopyBytes` | `crypto.getRandomValues` | `getrandom` |
//!
//! None of them asks for an executor, and futures need not be `Send`.

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{future::Future, time::Duration};

use time::OffsetDateTime;
use zeroize::Zeroizing;

/// A key of a [`PhoneStore`] and what is stored under it.
pub type Stored = (Vec<u8>, Vec<u8>);

/// Durable bytes by key. Keys are compared byte by byte. One phone at a time uses a store.
///
/// A host whose storage is asynchronous (IndexedDB) reads all of it before it opens the phone, answers from memory, keeps what
/// is applied in order, and writes it out **before its [`Transport`] sends anything**: what was sent must never be sealed anew.
pub trait PhoneStore {
    /// What is stored under a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault>;

    /// What is stored under the keys from `from` on and before `until`, in the order of the keys; the first `most` of them.
    fn scan(&self, from: &[u8], until: &[u8], most: usize) -> Result<Vec<Stored>, StoreFault>;

    /// Does all of these writes or none of them, in their order, and returns when they outlive a power cut. What they overwrite
    /// or delete is gone as far as the platform can make it so: spent keys, wrapped, are among it.
    fn apply(&self, writes: &[Write]) -> Result<(), StoreFault>;
}

/// One write of a list that is [applied](PhoneStore::apply) as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Stores a value under a key, instead of what was there.
    Put {
        /// The key, 1 to 64 bytes.
        key: Vec<u8>,
        /// The value, up to 4 MiB.
        value: Vec<u8>,
    },
    /// Forgets a key and its value. A key that is not there is no error.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
}

/// Why a store did not do what was asked. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// There is no room.
    #[error("the storage is full")]
    Full,
    /// Another program, or another tab, has it.
    #[error("another program uses the storage")]
    InUse,
    /// The system does not give it, or it failed.
    #[error("{0}")]
    Unusable(String),
    /// Its contents are damaged.
    #[error("{0}")]
    Damaged(String),
}

/// Wraps the key with which this library encrypts what is secret in the store. What it wraps with must not leave this phone:
/// not in a backup, not in a transfer to a new phone.
///
/// Asked once when a store is made and once each time that it is opened, so it may be slow.
pub trait Keystore {
    /// Encrypts and authenticates 32 bytes. The result is stored as it is, up to 4 KiB.
    fn wrap(&self, secret: &[u8]) -> impl Future<Output = Result<Vec<u8>, KeystoreFault>>;

    /// Gives back what was wrapped.
    fn unwrap(
        &self,
        wrapped: &[u8],
    ) -> impl Future<Output = Result<Zeroizing<Vec<u8>>, KeystoreFault>>;

    /// The platform's statement about the phone and its key store that answers a challenge; none where there is no such thing.
    /// Reserved: nothing asks for it yet, and the packages of other languages do not hand it on.
    fn attest(
        &self,
        _challenge: &[u8],
    ) -> impl Future<Output = Result<Option<Vec<u8>>, KeystoreFault>> {
        async { Ok(None) }
    }
}

/// Why a key store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreFault {
    /// It did not wrap this, or was reset since.
    #[error("another key store wrapped it, or this one was reset")]
    Foreign,
    /// The phone must be unlocked first.
    #[error("the phone is locked")]
    Locked,
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

/// How a [`Request`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
}

impl Method {
    /// As HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A request. Sent as it is; nothing but what HTTP itself needs is added.
#[derive(Clone)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where to.
    pub url: String,
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, Zeroizing<String>)>,
    /// What is sent; none with `GET`. Its type is among the headers.
    pub body: Option<Vec<u8>>,
    /// After so much time without a whole answer it is [unreachable](TransportFault::Unreachable).
    pub patience: Duration,
    /// Longest answer that is read, in bytes. A longer one is [too long](TransportFault::TooLong).
    pub longest_answer: usize,
    /// Whether the server answers only when the chain has done what is asked. A host that limits how many requests are under way
    /// does not count these.
    pub waits: bool,
}

impl core::fmt::Debug for Request {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.url)
    }
}

/// A whole answer, whatever its status.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// Names, in any case, and values. At least `dpop-nonce` and `retry-after` if they were there.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportFault {
    /// No whole answer came. Whether the server did what was asked is open. For people: `it cannot be reached`.
    #[error("{0}")]
    Unreachable(String),
    /// The answer is longer than was to be read.
    #[error("its answer is too long")]
    TooLong,
    /// Whoever answered cannot prove to be the server.
    #[error("{0}")]
    Untrusted(String),
    /// The server's certificate is not valid at the time that this phone's clock shows.
    #[error("{reason}")]
    WrongTime {
        /// Whether it is not valid yet; it has expired otherwise.
        not_yet: bool,
        /// For people.
        reason: String,
    },
    /// The host may not ask this server: a web page, whose origin the server does not list.
    #[error("{0}")]
    NotAllowed(String),
}

/// The host's way to servers, over its own HTTP stack, and its timer.
///
/// Redirects are not followed, cookies neither kept nor sent, answers not taken from a cache. A future that is dropped ends what
/// it was doing, or leaves it to itself; both are harmless.
pub trait Transport {
    /// Sends a request and waits for its answer.
    fn send(&self, request: Request) -> impl Future<Output = Result<Answer, TransportFault>>;

    /// Waits, by the monotonic clock or longer.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, in UTC, as people see it. It may be wrong, and jump.
    fn now(&self) -> OffsetDateTime;

    /// Time since some moment, for measuring how long something takes. It never goes back.
    fn monotonic(&self) -> Duration;
}

/// A source of random bytes that nobody can guess.
pub trait Entropy: Send + Sync {
    /// Fills all of it with new random bytes.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFault>;
}

/// There are no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct EntropyFault;

/// What a phone stands on, for [`Phone::open`](crate::Phone::open).
pub struct Host<S, T> {
    /// Where it keeps what it knows.
    pub store: S,
    /// How it gets to servers.
    pub transport: T,
    /// How it tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where its keys come from.
    pub entropy: Arc<dyn Entropy>,
}

impl<S: PhoneStore + ?Sized> PhoneStore for Arc<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        (**self).get(key)
    }

    fn scan(&self, from: &[u8], until: &[u8], most: usize) -> Result<Vec<Stored>, StoreFault> {
        (**self).scan(from, until, most)
    }

    fn apply(&self, writes: &[Write]) -> Result<(), StoreFault> {
        (**self).apply(writes)
    }
}

impl StoreFault {
    /// A fault that the host's system described.
    pub fn unusable(reason: impl ToString) -> Self {
        Self::Unusable(reason.to_string())
    }
}
