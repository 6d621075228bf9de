// SPDX-License-Identifier: Apache-2.0

//! The phone as an app holds it, on what an app could bring.

mod study;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::host::{
    HttpAnswer, HttpFault, HttpRequest, KeyFault, StorageFault, StoreWrite, StoredPair,
};

/// A store in memory, which calls the test before it writes, and is full when it is told so.
#[derive(Default)]
struct Memory {
    values: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    before: Mutex<Option<Box<dyn Fn() + Send>>>,
    full: AtomicBool,
}

impl Memory {
    fn before_writes(&self, call: impl Fn() + Send + 'static) {
        *self.before.lock().expect("no panic") = Some(Box::new(call));
    }
}

impl StoreHost for Memory {
    fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StorageFault> {
        Ok(self.values.lock().expect("no panic").get(&key).cloned())
    }

    fn scan(
        &self,
        from: Vec<u8>,
        until: Vec<u8>,
        most: u32,
    ) -> Result<Vec<StoredPair>, StorageFault> {
        let values = self.values.lock().expect("no panic");
        let found = values.iter();
        let found = found.filter(|(key, _)| **key >= from && **key < until);
        let pairs = found.map(|(key, value)| StoredPair {
            key: key.clone(),
            value: value.clone(),
        });
        Ok(pairs.take(most as usize).collect())
    }

    fn apply(&self, writes: Vec<StoreWrite>) -> Result<(), StorageFault> {
        if let Some(call) = &*self.before.lock().expect("no panic") {
            call();
        }
        if self.full.load(Ordering::Relaxed) {
            return Err(StorageFault::Full);
        }
        let mut values = self.values.lock().expect("no panic");
        for StoreWrite { key, value } in writes {
            match value {
                Some(value) => values.insert(key, value),
                None => values.remove(&key),
            };
        }
        Ok(())
    }
}

/// A key store that keeps nothing secret.
struct Open;

impl KeystoreHost for Open {
    fn wrap(&self, secret: Vec<u8>) -> Result<Vec<u8>, KeyFault> {
        Ok(secret)
    }

    fn unwrap(&self, wrapped: Vec<u8>) -> Result<Vec<u8>, KeyFault> {
        Ok(wrapped)
    }
}

/// No connection.
struct Away;

impl TransportHost for Away {
    fn send(&self, _: HttpRequest) -> Result<HttpAnswer, HttpFault> {
        Err(HttpFault::Unreachable {
            reason: "it cannot be reached".into(),
        })
    }
}

/// A server that takes its time.
struct Silent;

impl TransportHost for Silent {
    fn send(&self, _: HttpRequest) -> Result<HttpAnswer, HttpFault> {
        thread::sleep(Duration::from_secs(20));
        Err(HttpFault::TooLong)
    }
}

fn options() -> PhoneOptions {
    PhoneOptions {
        copies: 1,
        trust_relays: false,
        checkpoints: Vec::new(),
        chain: None,
    }
}

fn opened(store: Arc<Memory>) -> Arc<PhoneCore> {
    PhoneCore::open(store, Arc::new(Open), Arc::new(Away), options()).expect("opened")
}

/// How long this thread has run, in hundredths of a second.
#[cfg(target_os = "linux")]
fn ran() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("it is Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let times = fields.split_whitespace().skip(11).take(2);
    times
        .map(|time| time.parse::<u64>().expect("a number"))
        .sum()
}

#[test]
#[cfg(target_os = "linux")]
fn who_waits_while_another_call_writes_sleeps() {
    let store = Arc::new(Memory::default());
    let phone = opened(store.clone());
    let (begun, begins) = mpsc::channel();
    store.before_writes(move || {
        let _ = begun.send(());
        thread::sleep(Duration::from_secs(1));
    });
    let other = phone.clone();
    let syncing = thread::spawn(move || other.sync(5_000, None));
    begins.recv().expect("it notes how it went");
    let before = ran();
    phone.status().expect("read");
    let spent = ran() - before;
    assert!(spent < 30, "{spent} hundredths of a second");
    syncing.join().expect("no panic").expect("nothing to do");
}

#[test]
fn a_call_ends_when_the_app_cancels_it() {
    let (store, transport) = (Arc::new(Memory::default()), Arc::new(Silent));
    let phone = PhoneCore::open(store, Arc::new(Open), transport, options()).expect("opened");
    let cancellation = Cancellation::new();
    let begun = Instant::now();
    let (enrolling, ends) = (phone.clone(), cancellation.clone());
    let enrolling = thread::spawn(move || {
        let code = "00000-00000-00000-00000-NT18T-B2ZW3-QZWY7-4SQ46";
        let server = "https://auth.example.org";
        enrolling.enrol(server.into(), code.into(), 60_000, Some(ends))
    });
    thread::sleep(Duration::from_millis(50));
    cancellation.cancel();
    let error = enrolling.join().expect("no panic");
    assert_eq!(error.expect_err("it was ended").code(), "cancelled");
    assert!(begun.elapsed() < Duration::from_secs(10));
    // Others go on, and find nobody at it.
    assert_eq!(
        phone.sync(60_000, None).expect("nothing").state,
        "unenrolled"
    );
}
