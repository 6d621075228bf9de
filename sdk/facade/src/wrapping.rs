// SPDX-License-Identifier: Apache-2.0

//! Wrapping with a key that the host keeps in a file: for platforms whose standard library has no authenticated encryption.

use chacha20poly1305::{aead::Aead, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::host::KeyFault;

/// Bytes of a nonce, which stands before what was encrypted. Random ones of this length never repeat.
const NONCE: usize = 24;

/// Encrypts and authenticates with a key of 32 random bytes that was made for nothing else.
#[uniffi::export]
pub fn wrap_with_key(key: Vec<u8>, secret: Vec<u8>) -> Result<Vec<u8>, KeyFault> {
    // These copies were made on the way here. The app's own are the app's to erase.
    let (key, secret) = (Zeroizing::new(key), Zeroizing::new(secret));
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|error| failed(&error.to_string()))?;
    let wrapped = cipher(&key)?
        .encrypt(XNonce::from_slice(&nonce), secret.as_slice())
        .map_err(|_| failed("it is too long to be wrapped"))?;
    Ok([&nonce[..], &wrapped].concat())
}

/// Gives back what was wrapped with this key. Error: foreign, for everything else.
#[uniffi::export]
pub fn unwrap_with_key(key: Vec<u8>, wrapped: Vec<u8>) -> Result<Vec<u8>, KeyFault> {
    let key = Zeroizing::new(key);
    let (nonce, wrapped) = wrapped.split_at_checked(NONCE).ok_or(KeyFault::Foreign)?;
    cipher(&key)?
        .decrypt(XNonce::from_slice(nonce), wrapped)
        .map_err(|_| KeyFault::Foreign)
}

fn cipher(key: &[u8]) -> Result<XChaCha20Poly1305, KeyFault> {
    XChaCha20Poly1305::new_from_slice(key).map_err(|_| failed("the key has not 32 bytes"))
}

fn failed(reason: &str) -> KeyFault {
    KeyFault::Failed {
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wrapped_comes_back_with_its_key_only() {
        let wrapped = wrap_with_key(vec![1; 32], b"secret".to_vec()).expect("wraps");
        let back = unwrap_with_key(vec![1; 32], wrapped.clone());
        assert_eq!(back, Ok(b"secret".to_vec()));
        let foreign = Err(KeyFault::Foreign);
        assert_eq!(unwrap_with_key(vec![2; 32], wrapped.clone()), foreign);
        let mut altered = wrapped.clone();
        altered[NONCE] ^= 1;
        assert_eq!(unwrap_with_key(vec![1; 32], altered), foreign);
        assert_eq!(
            unwrap_with_key(vec![1; 32], wrapped[..NONCE - 1].to_vec()),
            foreign
        );
        assert!(matches!(
            unwrap_with_key(vec![1; 31], wrapped),
            Err(KeyFault::Failed { .. })
        ));
    }
}
