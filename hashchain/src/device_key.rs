// SPDX-License-Identifier: Apache-2.0

//! Device keys that must not be enrolled.

/// The y coordinates of Ed25519's points of small order, little-endian, in every form that 255 bits hold.
const SMALL_ORDER: [[u8; 32]; 7] = [
    low(0),
    low(1),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    high(0xec),
    high(0xed),
    high(0xee),
];

/// Whether anybody could sign for this device. A public key of small order is nobody's: no private key was
/// made for it, and signatures over any message can be made up that lenient verifiers (ZIP 215, the
/// runtime's) accept. Whoever enrols devices refuses such a key.
pub fn is_weak_device_key(device_key: &[u8; 32]) -> bool {
    let mut y = *device_key;
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&y)
}

const fn low(first: u8) -> [u8; 32] {
    let mut y = [0; 32];
    y[0] = first;
    y
}

const fn high(first: u8) -> [u8; 32] {
    let mut y = [0xff; 32];
    y[0] = first;
    y[31] = 0x7f;
    y
}

#[cfg(all(test, feature = "native"))]
mod tests {
    use ed25519_dalek::{SigningKey, VerifyingKey};

    use super::*;
    use crate::{is_signed, LinkHash};

    #[test]
    fn keys_of_small_order_are_weak_and_no_signature_fits_them() {
        let mut points = 0;
        for y in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut key = y;
                key[31] |= sign;
                assert!(is_weak_device_key(&key));
                if let Ok(point) = VerifyingKey::from_bytes(&key) {
                    assert!(point.is_weak());
                    points += 1;
                }
                // The neutral point as R and zero as s: fits all messages, but for strictness.
                let mut signature = [0; 64];
                signature[0] = 1;
                assert!(!is_signed(&key, &LinkHash([7; 32]), &signature));
            }
        }
        assert!(points >= 8, "all eight points are among them");
    }

    #[test]
    fn keys_that_a_device_makes_are_not_weak() {
        for seed in 0..=255 {
            let key = SigningKey::from_bytes(&[seed; 32])
                .verifying_key()
                .to_bytes();
            assert!(!is_weak_device_key(&key));
        }
    }
}
