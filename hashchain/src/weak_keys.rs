// SPDX-License-Identifier: Apache-2.0

//! Keys that must not be taken: device keys for which anybody can sign, and sealing keys to which nothing can be sealed.

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

/// The u coordinates of small order on Curve25519 and on its twist, little-endian, in every form that 255 bits hold: 0 (order 2 on
/// both), 1 (order 4), two of order 8, p - 1 (order 4 on the twist), p and p + 1.
const SMALL_ORDER_U: [[u8; 32]; 7] = [
    low(0),
    low(1),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ],
    high(0xec),
    high(0xed),
    high(0xee),
];

/// Whether anybody could open what is sealed to this X25519 key: with a public key of small order every key exchange gives
/// zero (RFC 7748, section 6.1), so senders refuse it. Whoever names a study's auditor refuses such a key, or no phone of the
/// study could escrow its secret. The topmost bit is not part of the key (RFC 7748, section 5).
pub fn is_weak_sealing_key(sealing_key: &[u8; 32]) -> bool {
    let mut u = *sealing_key;
    u[31] &= 0x7f;
    SMALL_ORDER_U.contains(&u)
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
    use crate::is_strictly_signed;

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
                assert!(!is_strictly_signed(&key, &[7; 32], &signature));
            }
        }
        assert!(points >= 8, "all eight points are among them");
    }

    #[cfg(all(feature = "hpke", feature = "testing"))]
    #[test]
    fn nothing_can_be_sealed_to_exactly_the_weak_keys() {
        use curve25519_dalek::{constants::EIGHT_TORSION, MontgomeryPoint};
        use rand::{rngs::StdRng, SeedableRng};

        use crate::{seal_escrow, SealError, SealingKey, Secret};

        let mut rng = StdRng::seed_from_u64(1);
        let mut refused = |key: &[u8; 32]| {
            let secret = Secret::from_bytes(&[2; 32]);
            let sealed = seal_escrow(&SealingKey(*key), &[3; 32], &secret, &mut rng);
            sealed.err() == Some(SealError::UnusableKey)
        };
        for u in SMALL_ORDER_U {
            for top in [0, 0x80] {
                let mut key = u;
                key[31] |= top;
                assert!(is_weak_sealing_key(&key) && refused(&key), "{key:?}");
            }
        }
        for point in EIGHT_TORSION {
            assert!(is_weak_sealing_key(&point.to_montgomery().to_bytes()));
        }
        // All small numbers, and all forms that are not canonical.
        for first in 0..=255 {
            for key in [low(first), high(first)] {
                assert_eq!(is_weak_sealing_key(&key), refused(&key), "{key:?}");
            }
        }
        for seed in 0..=255 {
            let key = MontgomeryPoint::mul_base_clamped([seed; 32]).to_bytes();
            assert!(!is_weak_sealing_key(&key));
        }
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
