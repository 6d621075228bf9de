// SPDX-License-Identifier: Apache-2.0

//! The participants' public keys, as who holds their private halves lists them.

use std::collections::{HashMap, HashSet};

use hashchain::{is_weak_sealing_key, participant_digest, DeviceId, Native};

/// To which keys the devices of a study should seal their data.
///
/// The list comes from the holder of the participants' private keys, and not from an authentication server: it is there to
/// find out whether such a server made devices seal to a key of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParticipantList {
    /// Digests of the keys of devices that are named.
    devices: HashMap<DeviceId, [u8; 32]>,
    /// Digests of all keys of the list.
    keys: HashSet<[u8; 32]>,
    /// The pseudonyms, by the digests of their keys; none where a key has several.
    pseudonyms: HashMap<[u8; 32], Option<String>>,
}

/// Why a line is not one of such a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It is not a name and a key.
    #[error("expected a device's number or a participant's pseudonym, and an X25519 public key in 64 hexadecimal digits")]
    Form,
    /// To this key nothing can be sealed.
    #[error("the key is weak: everybody could open what is sealed to it")]
    WeakKey,
    /// The device was named before.
    #[error("the device is named twice")]
    Repeated,
}

impl ParticipantList {
    /// Takes a line: a device's number or a participant's pseudonym, blanks, and the key.
    ///
    /// A device that is named by its number has to seal to that key; any other to some key of the list.
    pub fn add(&mut self, line: &str) -> Result<(), BadLine> {
        let (name, digits) = line
            .trim()
            .rsplit_once(char::is_whitespace)
            .ok_or(BadLine::Form)?;
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        let mut key = [0; 32];
        hex::decode_to_slice(digits, &mut key).map_err(|_| BadLine::Form)?;
        if is_weak_sealing_key(&key) {
            return Err(BadLine::WeakKey);
        }
        let digest = participant_digest::<Native>(Some(&key));
        let name = name.trim();
        match name.parse() {
            Ok(device) => {
                if self.devices.insert(device, digest).is_some() {
                    return Err(BadLine::Repeated);
                }
            }
            Err(_) => {
                let known = self.pseudonyms.get(&digest);
                let is_other = known.is_some_and(|known| known.as_deref() != Some(name));
                let pseudonym = (!is_other).then(|| name.to_owned());
                self.pseudonyms.insert(digest, pseudonym);
            }
        }
        self.keys.insert(digest);
        Ok(())
    }

    /// The pseudonym of the one participant to whose key a device seals, by what the chain keeps of it.
    pub fn pseudonym(&self, participant: &[u8; 32]) -> Option<&str> {
        self.pseudonyms.get(participant)?.as_deref()
    }

    /// Whether a device seals to the key that the list has for it, by what the chain keeps of it.
    pub fn fits(&self, device: DeviceId, participant: &[u8; 32]) -> bool {
        match self.devices.get(&device) {
            Some(digest) => digest == participant,
            None => self.keys.contains(participant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: u8) -> [u8; 32] {
        participant_digest::<Native>(Some(&[key; 32]))
    }

    fn list(lines: &[String]) -> ParticipantList {
        let mut list = ParticipantList::default();
        for line in lines {
            list.add(line).unwrap();
        }
        list
    }

    #[test]
    fn a_named_device_has_its_own_key_and_any_other_one_of_the_list() {
        let list = list(&[
            format!("3 {}", "0a".repeat(32)),
            format!(" P-17\t0x{} ", "0b".repeat(32)),
        ]);
        assert!(list.fits(DeviceId(3), &digest(10)));
        assert!(!list.fits(DeviceId(3), &digest(11)));
        assert!(list.fits(DeviceId(4), &digest(11)) && list.fits(DeviceId(4), &digest(10)));
        assert!(!list.fits(DeviceId(4), &digest(12)));
        // Nor may a device seal to nobody.
        assert!(!list.fits(DeviceId(4), &participant_digest::<Native>(None)));
    }

    #[test]
    fn a_key_tells_a_pseudonym_unless_it_has_several() {
        let key = |byte: &str| byte.repeat(32);
        let mut lines = vec![
            format!("P-1 {}", key("0a")),
            format!("P-1 {}", key("0a")),
            format!("P-2 {}", key("0b")),
            format!("7 {}", key("0c")),
        ];
        let before = list(&lines);
        assert_eq!(before.pseudonym(&digest(10)), Some("P-1"));
        assert_eq!(before.pseudonym(&digest(11)), Some("P-2"));
        // A device's number is nobody's pseudonym.
        assert_eq!(before.pseudonym(&digest(12)), None);
        lines.extend([format!("P-3 {}", key("0b")), format!("P-2 {}", key("0b"))]);
        assert_eq!(list(&lines).pseudonym(&digest(11)), None);
    }

    #[test]
    fn bad_lines_are_told_apart() {
        let mut list = list(&[format!("3 {}", "0a".repeat(32))]);
        for bad in [
            "",
            "3",
            "P-1 0a0b",
            &format!("P-1 {}", "0g".repeat(32)),
            &"0a".repeat(32),
        ] {
            assert_eq!(list.add(bad), Err(BadLine::Form), "{bad}");
        }
        let weak = format!("P-2 {}", "00".repeat(32));
        assert_eq!(list.add(&weak), Err(BadLine::WeakKey));
        let again = format!("3 {}", "0b".repeat(32));
        assert_eq!(list.add(&again), Err(BadLine::Repeated));
    }
}
