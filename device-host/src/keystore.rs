// SPDX-License-Identifier: Apache-2.0

//! A key store in a file: for servers and tests, where the machine has no better one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use chacha20poly1305::{aead::Aead, Key, KeyInit, XChaCha20Poly1305, XNonce};
use mhealth_device::host::{Entropy, Keystore, KeystoreFault};
use zeroize::Zeroizing;

use crate::clock::SystemEntropy;

const NONCE: usize = 24;

/// Bytes of the file.
const KEY: usize = 32;

/// One key, in a file that only its owner can read. Keep it out of the backups that hold the state.
pub struct FileKeystore(XChaCha20Poly1305);

impl FileKeystore {
    /// The key in this file; made now if there is no such file. Whenever the machine stops meanwhile, there is no file, or all
    /// of it: a state whose key is gone would be of no use.
    pub fn open_or_create(path: &Path) -> io::Result<Self> {
        let key = match read(path)? {
            Some(key) => key,
            None => make(path)?,
        };
        Ok(Self(XChaCha20Poly1305::new(Key::from_slice(&*key))))
    }
}

/// The key; none where there is no file.
fn read(path: &Path) -> io::Result<Option<Zeroizing<[u8; KEY]>>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut key = Zeroizing::new([0; KEY]);
    let is_key = match file.read_exact(&mut *key) {
        Ok(()) => file.read(&mut [0])? == 0,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(error),
    };
    match is_key {
        true => Ok(Some(key)),
        false => Err(io::Error::new(
            ErrorKind::InvalidData,
            "the file of the key has another length than a key",
        )),
    }
}

/// A new key, written beside its place first.
fn make(path: &Path) -> io::Result<Zeroizing<[u8; KEY]>> {
    let begun = beside(path);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&begun)?;
    // Another program may be making the same key. The lock ends with the file.
    file.lock()?;
    if let Some(key) = read(path)? {
        let _ = fs::remove_file(&begun);
        return Ok(key);
    }
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let mut key = Zeroizing::new([0; KEY]);
    SystemEntropy.fill(&mut *key).map_err(io::Error::other)?;
    file.set_len(0)?;
    file.write_all(&*key)?;
    file.sync_all()?;
    fs::rename(&begun, path)?;
    #[cfg(unix)]
    crate::durable::sync_name(path)?;
    Ok(key)
}

/// Where a key stands until it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".begun");
    name.into()
}

impl Keystore for FileKeystore {
    async fn wrap(&self, secret: &[u8]) -> Result<Vec<u8>, KeystoreFault> {
        let mut nonce = [0; NONCE];
        let filled = SystemEntropy.fill(&mut nonce);
        filled.map_err(|fault| KeystoreFault::Failed(fault.to_string()))?;
        let wrapped = self.0.encrypt(XNonce::from_slice(&nonce), secret);
        let wrapped = wrapped.map_err(|_| KeystoreFault::Failed("it does not encrypt".into()))?;
        Ok([&nonce[..], &wrapped].concat())
    }

    async fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreFault> {
        let parts = wrapped.split_at_checked(NONCE);
        let (nonce, wrapped) = parts.ok_or(KeystoreFault::Foreign)?;
        let secret = self.0.decrypt(XNonce::from_slice(nonce), wrapped);
        secret
            .map(Zeroizing::new)
            .map_err(|_| KeystoreFault::Foreign)
    }
}
