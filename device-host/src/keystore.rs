// SPDX-License-Identifier: Apache-2.0

//! A key store in a file: for servers and tests, where the machine has no better one.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    path::Path,
};

use chacha20poly1305::{aead::Aead, Key, KeyInit, XChaCha20Poly1305, XNonce};
use mhealth_device::host::{Entropy, Keystore, KeystoreFault};
use zeroize::Zeroizing;

use crate::clock::SystemEntropy;

const NONCE: usize = 24;

/// One key, in a file that only its owner can read. Keep it out of the backups that hold the state.
pub struct FileKeystore(XChaCha20Poly1305);

impl FileKeystore {
    /// The key in this file; made now if there is no such file.
    pub fn open_or_create(path: &Path) -> std::io::Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(mut file) => {
                SystemEntropy
                    .fill(&mut *key)
                    .map_err(std::io::Error::other)?;
                file.write_all(&*key)?;
                file.sync_all()?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                File::open(path)?.read_exact(&mut *key)?;
            }
            Err(error) => return Err(error),
        }
        Ok(Self(XChaCha20Poly1305::new(Key::from_slice(&*key))))
    }
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
