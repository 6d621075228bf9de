// SPDX-License-Identifier: Apache-2.0

//! Nonces for devices whose clocks are wrong (RFC 9449, section 8). Nothing is kept: a nonce is the time at which it was made,
//! and a MAC over it by a secret that all processes of a server have.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use hashchain::encoding::hash;
use hashchain::Native;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::SecretText;

/// Bytes of the time, and of the MAC behind it.
const TIME: usize = 8;
const MAC: usize = 16;

/// Makes nonces and knows them again.
pub(super) struct Nonces {
    key: Zeroizing<[u8; 32]>,
    /// Seconds for which a nonce is good.
    lasts: u64,
    /// Seconds that the clocks of a server's processes may differ.
    skew: u64,
}

impl Nonces {
    pub(super) fn new(secret: &SecretText, lasts: u64, skew: u64) -> Self {
        let key = hash::<Native>("dpop-nonce", &[secret.expose().as_bytes()]);
        Self {
            key: Zeroizing::new(key),
            lasts,
            skew,
        }
    }

    /// One that is made now.
    pub(super) fn at(&self, now: u64) -> String {
        let mac = self.mac(&now.to_be_bytes()).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([&now.to_be_bytes()[..], &mac[..MAC]].concat())
    }

    /// Until when a nonce is good; none if it is not one of ours, or its time is over.
    pub(super) fn good_until(&self, nonce: &str, now: u64) -> Option<u64> {
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let bytes: [u8; TIME + MAC] = bytes.try_into().ok()?;
        let (time, mac) = bytes.split_at(TIME);
        self.mac(time).verify_truncated_left(mac).ok()?;
        let made_at = u64::from_be_bytes(time.try_into().ok()?);
        let until = made_at.saturating_add(self.lasts);
        (made_at <= now.saturating_add(self.skew) && now <= until).then_some(until)
    }

    fn mac(&self, time: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&*self.key);
        mac.expect("HMAC takes keys of any length; qed")
            .chain_update(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_time_at_every_process_with_the_secret() {
        let [one, other] = [(); 2].map(|()| Nonces::new(&"//Dave".to_owned().into(), 120, 30));
        let nonce = one.at(1_000);
        assert_eq!(nonce.len(), 32);
        for now in [970, 1_000, 1_120] {
            assert_eq!(other.good_until(&nonce, now), Some(1_120), "{now}");
        }
        for now in [0, 969, 1_121, u64::MAX] {
            assert_eq!(other.good_until(&nonce, now), None, "{now}");
        }
        let stranger = Nonces::new(&"//Eve".to_owned().into(), 120, 30);
        assert_eq!(stranger.good_until(&nonce, 1_000), None);
    }

    #[test]
    fn no_other_text_is_a_nonce() {
        let nonces = Nonces::new(&"//Dave".to_owned().into(), 120, 30);
        let good = nonces.at(1_000);
        for place in 0..good.len() {
            for byte in *b"A8_z=" {
                let mut text = good.clone().into_bytes();
                text[place] = byte;
                let text = String::from_utf8(text).unwrap();
                let until = nonces.good_until(&text, 1_000);
                assert_eq!(until.is_some(), text == good, "{text}");
            }
        }
        for text in ["", "A", &good[1..], &format!("{good}AAAA")] {
            assert_eq!(nonces.good_until(text, 1_000), None, "{text}");
        }
    }
}
