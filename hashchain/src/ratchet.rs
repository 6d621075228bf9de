// SPDX-License-Identifier: Apache-2.0

//! The secret of a device, and the keys that are ratcheted from it.
//!
//! ```text
//! K_0 = S        K_i = MAC(K_(i-1), "next")        t_i = MAC(K_(i-1), "tag", u64 i, h_(i-1), d_i)
//! ```
//!
//! `K_i` tells nothing about `K_(i-1)`, so who steals the key after *n* entries cannot make an entry
//! before the theft. The index of a key is the number of entries made before it and comes from the
//! position in the chain alone: nothing an entry says selects its key.

use core::fmt;

use zeroize::ZeroizeOnDrop;

/// `S`, the paper's "secure string": 32 random bytes that the device makes and that leave it only as
/// an escrow sealed to the study's auditor. Erased from memory when dropped; never printed.
#[derive(ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes 32 bytes from a cryptographic random number generator, or from the device's store.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    /// The bytes, for the device's store and for sealing the escrow. Never send them, never log them.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(feature = "native")]
pub use key::{IndexOutOfRange, RatchetKey, MAX_INDEX};

#[cfg(feature = "native")]
mod key {
    use core::fmt;

    use hmac::{Hmac, Mac};
    use zeroize::{Zeroize, ZeroizeOnDrop};

    use super::Secret;
    use crate::encoding::Frame;
    use crate::newtypes::{DataDigest, LinkHash, Tag};

    const TAG: Frame<114, 3> = Frame::new("tag", [8, 32, 32]);
    const NEXT: Frame<31, 0> = Frame::new("next", []);

    /// The largest index that [`RatchetKey::restore`] takes: 2⁶³ − 1, what a database's integer holds.
    pub const MAX_INDEX: u64 = i64::MAX as u64;

    /// `K_n`, the key that tags entry *n* + 1. Erased from memory when dropped; never printed.
    #[derive(ZeroizeOnDrop)]
    pub struct RatchetKey {
        #[zeroize(skip)]
        index: u64,
        bytes: [u8; 32],
    }

    impl RatchetKey {
        /// `K_0`, which is the secret itself.
        pub fn first(secret: &Secret) -> Self {
            Self {
                index: 0,
                bytes: *secret.expose(),
            }
        }

        /// `K_index`, in `index` steps from the secret.
        pub fn at(secret: &Secret, index: u64) -> Result<Self, IndexOutOfRange> {
            if index > MAX_INDEX {
                return Err(IndexOutOfRange);
            }
            Ok((0..index).fold(Self::first(secret), |key, _| key.next()))
        }

        /// A key from the device's store: the index and the bytes that [`RatchetKey::index`] and
        /// [`RatchetKey::expose`] gave.
        pub fn restore(index: u64, bytes: &[u8; 32]) -> Result<Self, IndexOutOfRange> {
            if index > MAX_INDEX {
                return Err(IndexOutOfRange);
            }
            Ok(Self {
                index,
                bytes: *bytes,
            })
        }

        /// How many entries are made before this key's turn.
        pub fn index(&self) -> u64 {
            self.index
        }

        /// The bytes, for the device's store. Never send them, never log them.
        pub fn expose(&self) -> &[u8; 32] {
            &self.bytes
        }

        /// Tag of the entry that this key is for, the one at position `index + 1`.
        pub fn tag(&self, previous: &LinkHash, digest: &DataDigest) -> Tag {
            self.step(previous, digest).0
        }

        /// The key after this one.
        #[must_use = "the ratchet does not turn in place"]
        pub fn next(&self) -> Self {
            self.successor(self.mac())
        }

        /// Tag of this key's entry and the key after it: cheaper than one after the other.
        pub(crate) fn step(&self, previous: &LinkHash, digest: &DataDigest) -> (Tag, Self) {
            let mac = self.mac();
            let message = TAG.fill([&self.position().to_be_bytes(), &previous.0, &digest.0]);
            let tag = mac
                .clone()
                .chain_update(message)
                .finalize()
                .into_bytes()
                .into();
            (Tag(tag), self.successor(mac))
        }

        /// Position of the entry that this key tags.
        fn position(&self) -> u64 {
            self.index
                .checked_add(1)
                .expect("starts below 2^63 and grows by one an entry; qed")
        }

        fn successor(&self, mac: Hmac<sha2::Sha256>) -> Self {
            let mut next = mac.chain_update(NEXT.fill([])).finalize().into_bytes();
            let key = Self {
                index: self.position(),
                bytes: next.into(),
            };
            next.as_mut_slice().zeroize();
            key
        }

        fn mac(&self) -> Hmac<sha2::Sha256> {
            Hmac::new_from_slice(&self.bytes).expect("HMAC takes keys of any length; qed")
        }
    }

    impl fmt::Debug for RatchetKey {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "RatchetKey({}, redacted)", self.index)
        }
    }

    /// The index of a ratchet key is above [`MAX_INDEX`]: what was stored is not what was saved.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct IndexOutOfRange;

    impl fmt::Display for IndexOutOfRange {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the index of the ratchet key is above 2^63 - 1")
        }
    }

    impl core::error::Error for IndexOutOfRange {}
}

#[cfg(all(test, feature = "native"))]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn printing_a_secret_shows_no_byte_of_it() {
        let secret = Secret::from_bytes(&[0xa5; 32]);
        let key = RatchetKey::at(&secret, 3).expect("a small index");
        assert_eq!(
            format!("{secret:?} {secret:#?}"),
            "Secret(redacted) Secret(redacted)"
        );
        assert_eq!(
            format!("{key:?} {key:#?}"),
            "RatchetKey(3, redacted) RatchetKey(3, redacted)"
        );
    }

    #[test]
    fn secrets_are_erased_when_dropped() {
        fn erased<T: ZeroizeOnDrop>() {}
        erased::<Secret>();
        erased::<RatchetKey>();
        assert!(core::mem::needs_drop::<Secret>());
        assert!(core::mem::needs_drop::<RatchetKey>());
    }

    #[test]
    fn an_index_that_no_database_holds_is_refused() {
        let bytes = [1; 32];
        assert!(RatchetKey::restore(MAX_INDEX, &bytes).is_ok());
        assert_eq!(
            RatchetKey::restore(MAX_INDEX + 1, &bytes).unwrap_err(),
            IndexOutOfRange
        );
        let secret = Secret::from_bytes(&bytes);
        assert_eq!(
            RatchetKey::at(&secret, u64::MAX).unwrap_err(),
            IndexOutOfRange
        );
    }
}
