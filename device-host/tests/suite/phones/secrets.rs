// SPDX-License-Identifier: Apache-2.0

//! What is secret never stands in the store as it is.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use hashchain::{RatchetKey, Secret};
use mhealth_device_host::{
    chain::DeviceKey,
    host::{Entropy, EntropyFault, PhoneStore},
    PhoneFile, SystemEntropy,
};
use rand::{rngs::StdRng, RngCore, SeedableRng};

use super::{keystore, open, seal, Desk, TestPhone, LONG};

/// Remembers what it gave.
#[derive(Default)]
struct Remembering(Mutex<Vec<Vec<u8>>>);

impl Entropy for Remembering {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFault> {
        SystemEntropy.fill(bytes)?;
        self.0.lock().expect("no panic").push(bytes.to_vec());
        Ok(())
    }
}

/// Enrols a phone, seals two nights, and looks in what it stores for what is secret.
async fn assert_keeps_its_secrets<S: PhoneStore>(
    desk: &Desk,
    phone: &TestPhone<S>,
    entropy: &Remembering,
    holds: impl Fn(&[u8]) -> bool,
) {
    // The code stays until the enrolment is proved.
    desk.relay.set().knows_nobody = true;
    let code = crate::support::trial::code("CODE").reveal().to_string();
    let short = std::time::Duration::from_millis(200);
    let _ = phone.enrol(&desk.office.address, &code, short).await;
    let spelled = [code.clone(), code.replace('-', "")];
    assert!(!spelled.iter().any(|code| holds(code.as_bytes())));
    desk.relay.set().knows_nobody = false;
    for night in ["night 1", "night 2"] {
        seal(phone, night).expect("sealed");
    }
    let public = phone.status().expect("read").key.expect("it has one");
    assert!(holds(&public.0), "the search finds nothing");

    // A device is made with 64 bytes of a generator: its seed and its secret.
    let given = entropy.0.lock().expect("no panic").clone();
    let mut made = None;
    for seed in given
        .iter()
        .filter_map(|bytes| <[u8; 32]>::try_from(&bytes[..]).ok())
    {
        let mut rng = StdRng::from_seed(seed);
        let (mut key, mut secret) = ([0; 32], [0; 32]);
        rng.fill_bytes(&mut key);
        rng.fill_bytes(&mut secret);
        if DeviceKey::from_seed(&key).public() == public {
            made = Some((seed, key, secret));
        }
    }
    let (generator, key, secret) = made.expect("its key came from the host's entropy");
    let ratchets = (0..=2).map(|place| {
        let ratchet = RatchetKey::at(&Secret::from_bytes(&secret), place);
        *ratchet.expect("in range").expose()
    });
    for bytes in [generator, key, secret].into_iter().chain(ratchets) {
        assert!(!holds(&bytes));
    }
}

#[tokio::test]
async fn seed_ratchet_and_code_are_nowhere_in_the_store() {
    let desk = Desk::new().await;
    let entropy = Arc::new(Remembering::default());
    let phone = open(desk.memory.clone(), &desk.keystore(), entropy.clone()).await;
    let phone = phone.expect("opened");
    let holds = |bytes: &[u8]| desk.memory.holds(bytes);
    assert_keeps_its_secrets(&desk, &phone, &entropy, holds).await;
}

#[tokio::test]
async fn seed_ratchet_and_code_are_nowhere_in_a_file_of_phones_nor_beside_it() {
    let desk = Desk::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = PhoneFile::open_or_create(&folder.path().join("phones.db")).expect("a file");
    let entropy = Arc::new(Remembering::default());
    let part = file.phone(7).expect("nobody has it");
    let phone = open(part, &desk.keystore(), entropy.clone()).await;
    let phone = phone.expect("opened");
    let log = folder.path().join("phones.db-wal");
    assert!(log.exists(), "it writes beside the file, too");
    let holds = |bytes: &[u8]| {
        let files = fs::read_dir(folder.path()).expect("listed");
        files.flatten().any(|file| {
            let read = fs::read(file.path()).expect("read");
            read.windows(bytes.len()).any(|window| window == bytes)
        })
    };
    assert_keeps_its_secrets(&desk, &phone, &entropy, holds).await;
}

#[tokio::test]
async fn a_store_that_was_copied_to_another_key_store_says_so() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    seal(&phone, "night 1").expect("sealed");
    drop(phone);
    let other = keystore(desk.folder.path(), "another");
    let opened = open(desk.memory.clone(), &other, Arc::new(SystemEntropy)).await;
    let error = opened.err().expect("it is another phone");
    assert_eq!(
        (error.code(), error.advice().code()),
        ("wrong_keystore", "enrol_anew")
    );
    let phone = desk.open().await.expect("the first phone opens it");
    phone.sync(LONG).await.expect("sent");
    assert_eq!(desk.on_chain(0), 1);
}

#[tokio::test]
async fn phones_in_one_file_do_not_see_each_other() {
    let desk = Desk::new().await;
    let path = desk.folder.path().join("phones.db");
    let codes = ["CODE", "SECOND"];
    for round in 0..2 {
        let file = PhoneFile::open_or_create(&path).expect("a file");
        for (number, code) in (0..).zip(codes) {
            let part = file.phone(number).expect("nobody has it");
            let phone = open(part, &desk.keystore(), Arc::new(SystemEntropy)).await;
            let phone = phone.expect("opened");
            assert_eq!(desk.enrol(&phone, code).await, Ok(number as u32));
            seal(&phone, &format!("night {round}")).expect("sealed");
            phone.sync(LONG).await.expect("sent");
            assert_eq!(phone.status().expect("read").finalised, round + 1);
        }
    }
    assert_eq!((desk.on_chain(0), desk.on_chain(1)), (2, 2));
}
