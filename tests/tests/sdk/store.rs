// SPDX-License-Identifier: Apache-2.0

//! What stands in a phone's files, and what must not.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use hashchain::{open_escrow, RatchetKey};
use mhealth_chain_client::DeviceView;
use mhealth_testing::enrolment::development_auditor;

use crate::phone::Phone;

/// As much of anything is looked for.
const PIECE: usize = 32;
/// Of the bytes of a seed at least so many differ from each other, but for one seed in millions.
const DIFFERENT: u32 = 20;

/// A file and its bytes.
type Read = (PathBuf, Vec<u8>);

/// Fails unless a phone's files have the head that the chain has, and have nowhere its seed, a key that it tagged or will tag an
/// entry with, or its code.
pub(crate) fn assert_keeps_its_secrets(phone: &Phone, device: &DeviceView) {
    let language = phone.language;
    let mut files = Vec::new();
    read(&phone.folder, &mut files);
    // Of a browser's profile only this is the phone's. A seed is looked for in it alone: that takes long.
    let is_its = |path: &Path| {
        let mut parts = path.components();
        language != "chromium" || parts.any(|part| part.as_os_str() == "IndexedDB")
    };
    let its: Vec<&Read> = files.iter().filter(|(path, _)| is_its(path)).collect();
    // The browser may cut one of the two in its log of what was written.
    let is_read = hold(&its, &device.key) || hold(&its, &device.genesis.0);
    assert!(is_read, "{language}: what is looked for is not found");
    assert!(hold(&its, &device.head.0), "{language}: another head");

    let secrets = secrets(phone, device);
    for (path, bytes) in &files {
        let found = bytes.windows(PIECE).find_map(|window| secrets.get(window));
        assert_eq!(found, None, "{language}: {}", path.display());
    }
    for (path, bytes) in its {
        let mut windows = bytes.windows(PIECE);
        let found = windows.any(|window| is_seed_of(window, &device.key));
        assert!(!found, "{language}: its seed is in {}", path.display());
    }
}

/// Every file below a folder. Sockets and links have no bytes of their own.
fn read(folder: &Path, found: &mut Vec<Read>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("it is read");
        let (kind, path) = (entry.file_type().expect("it has one"), entry.path());
        if kind.is_dir() {
            read(&path, found);
        } else if kind.is_file() {
            let bytes = fs::read(&path).expect("nobody writes to it");
            found.push((path, bytes));
        }
    }
}

/// Whether these bytes stand anywhere in some files.
fn hold(files: &[&Read], piece: &[u8; PIECE]) -> bool {
    let mut windows = files.iter().flat_map(|(_, bytes)| bytes.windows(PIECE));
    windows.any(|window| window == piece)
}

/// What only the phone knows, or the study's auditor, and what each is.
fn secrets(phone: &Phone, device: &DeviceView) -> HashMap<[u8; PIECE], String> {
    let (auditor, commitment) = (development_auditor(), device.secret_commitment.0);
    let secret = open_escrow(&auditor, &device.key, &commitment, &device.escrow);
    let secret = secret.expect("it is sealed to this auditor");
    let ratchet = |place| {
        let key = RatchetKey::at(&secret, place).expect("in range");
        (*key.expose(), format!("the key after {place} entries"))
    };
    let spelled = [phone.code.clone(), phone.code.replace('-', "")];
    let codes = spelled.iter().map(|code| {
        let piece = code.as_bytes().first_chunk::<PIECE>();
        (*piece.expect("a code is longer"), "its code".to_owned())
    });
    (0..=device.length).map(ratchet).chain(codes).collect()
}

/// Whether these bytes are the seed of a key.
fn is_seed_of(bytes: &[u8], key: &[u8; 32]) -> bool {
    let mut seen = [0_u64; 4];
    for byte in bytes {
        seen[usize::from(byte >> 6)] |= 1_u64 << (byte & 63);
    }
    // Text and numbers need not be looked at.
    if seen.iter().map(|part| part.count_ones()).sum::<u32>() < DIFFERENT {
        return false;
    }
    let seed: Result<[u8; 32], _> = bytes.try_into();
    seed.is_ok_and(|seed| SigningKey::from_bytes(&seed).verifying_key().as_bytes() == key)
}

#[test]
fn a_seed_is_seen_wherever_it_stands_in_a_phones_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let below = folder.path().join("values");
    fs::create_dir(&below).expect("it is made");
    let seed: [u8; PIECE] = std::array::from_fn(|place| place as u8 * 7 + 3);
    let key = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let value = [&[0; 5][..], &seed, &[9]].concat();
    fs::write(below.join("64"), value).expect("it is written");
    let mut files = Vec::new();
    read(folder.path(), &mut files);
    let [file] = &files[..] else {
        panic!("there is one file and not {}", files.len());
    };
    assert!(hold(&[file], &seed) && !hold(&[file], &key));
    let seeds = file.1.windows(PIECE).filter(|it| is_seed_of(it, &key));
    assert_eq!(seeds.count(), 1);
}
