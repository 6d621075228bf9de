// SPDX-License-Identifier: Apache-2.0

//! Who signs.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey};
use subxt::tx::Signer;
use subxt::utils::{AccountId32, MultiSignature};
use subxt_signer::{sr25519, SecretUri};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::rpc::Config;

/// An account of the chain together with its secret key.
///
/// Organisations have sr25519 keys, made from a secret URI. A device's account is its Ed25519 device key itself.
/// `Debug` shows the account's address and nothing of the secret.
#[derive(Clone)]
pub enum Account {
    /// An organisation: consortium member, sponsor, authentication server or relay.
    Organisation(Box<sr25519::Keypair>),
    /// A device, whose account is its public device key.
    Device(Box<SigningKey>),
}

impl Account {
    /// Reads a secret URI: a mnemonic phrase of BIP-39 or a hexadecimal seed, with derivation junctions and password
    /// (`phrase//hard/soft///password`), or a well-known development key such as `//Charlie`.
    ///
    /// Errors name what is wrong with it and never repeat the secret.
    pub fn from_secret_uri(uri: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::BadSecret {
            reason: reason.to_string(),
        };
        let parsed = SecretUri::from_str(uri)
            .map_err(|_| bad("it is not of the form phrase//junction///password"))?;
        let pair = sr25519::Keypair::from_uri(&parsed).map_err(|error| match error {
            sr25519::Error::Phrase(_) => bad("its phrase is not a BIP-39 mnemonic"),
            sr25519::Error::Hex(_) => bad("its seed is not 32 bytes in hexadecimal"),
            _ => bad("no key can be made from it"),
        })?;
        Ok(Account::Organisation(Box::new(pair)))
    }

    /// The account of the device whose Ed25519 key has this seed.
    pub fn device(seed: &[u8; 32]) -> Self {
        let seed = Zeroizing::new(*seed);
        Account::Device(Box::new(SigningKey::from_bytes(&seed)))
    }

    /// The account's number on chain, which people read in the form `5…` (SS58 with prefix 42).
    pub fn id(&self) -> AccountId32 {
        AccountId32(self.public_key())
    }

    /// The 32 bytes of the public key, which are also the account.
    pub fn public_key(&self) -> [u8; 32] {
        match self {
            Account::Organisation(pair) => pair.public_key().0,
            Account::Device(key) => key.verifying_key().to_bytes(),
        }
    }

    /// Signs what the account says off chain: the hash of a statement, which is no payload of an extrinsic. With the scheme
    /// and context by which the account signs extrinsics.
    pub fn sign_statement(&self, statement: &[u8; 32]) -> [u8; 64] {
        match self {
            Account::Organisation(pair) => pair.sign(statement).0,
            Account::Device(key) => key.sign(statement).to_bytes(),
        }
    }
    /// Shows the chain that whoever registers this as a session key holds it: the signature that `session.setKeys` asks for,
    /// over the account that the key will make blocks or vote for.
    pub fn prove_possession(&self, owner: &AccountId32) -> [u8; 64] {
        /// What the SDK puts before the owner (`sp_core::proof_of_possession`).
        const TAG: &[u8] = b"POP_";
        match Signer::<Config>::sign(self, &[TAG, &owner.0].concat()) {
            MultiSignature::Sr25519(signature) | MultiSignature::Ed25519(signature) => signature,
            MultiSignature::Ecdsa(_) => unreachable!("no account here has such a key"),
        }
    }
}

/// Whether an organisation's account signed a statement, as [`Account::sign_statement`] does: sr25519, signing context
/// `substrate`.
pub fn is_statement_of(account: &[u8; 32], statement: &[u8; 32], signature: &[u8; 64]) -> bool {
    let signature = sr25519::Signature(*signature);
    sr25519::verify(&signature, statement, &sr25519::PublicKey(*account))
}

impl Signer<Config> for Account {
    fn account_id(&self) -> AccountId32 {
        self.id()
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        match self {
            Account::Organisation(pair) => MultiSignature::Sr25519(pair.sign(payload).0),
            Account::Device(key) => MultiSignature::Ed25519(key.sign(payload).to_bytes()),
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Account::Organisation(_) => "Organisation",
            Account::Device(_) => "Device",
        };
        write!(f, "{kind}({}, secret)", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_known_key_has_its_well_known_address() {
        let charlie = Account::from_secret_uri("//Charlie").expect("it is well known");
        assert_eq!(
            charlie.id().to_string(),
            "5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y"
        );
    }

    #[test]
    fn a_devices_account_is_its_ed25519_key() {
        // RFC 8032, section 7.1, test 1.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let seed: [u8; 32] = hex::decode(seed)
            .expect("it is hexadecimal; qed")
            .try_into()
            .expect("it has 32 bytes; qed");
        let device = Account::device(&seed);
        assert_eq!(hex::encode(device.id().0), key);
        assert!(matches!(
            device.sign(b"payload"),
            MultiSignature::Ed25519(_)
        ));
    }

    #[test]
    fn a_statement_is_the_accounts_that_signed_it_and_of_nothing_else() {
        let dave = Account::from_secret_uri("//Dave").expect("it is well known");
        let eve = Account::from_secret_uri("//Eve").expect("it is well known");
        let signature = dave.sign_statement(&[7; 32]);
        assert!(is_statement_of(&dave.public_key(), &[7; 32], &signature));
        assert!(!is_statement_of(&eve.public_key(), &[7; 32], &signature));
        assert!(!is_statement_of(&dave.public_key(), &[8; 32], &signature));
        for bit in 0..512 {
            let mut other = signature;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !is_statement_of(&dave.public_key(), &[7; 32], &other),
                "{bit}"
            );
        }
        assert!(!is_statement_of(&[0xff; 32], &[7; 32], &signature));
    }

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        let seed = [0xab; 32];
        let phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk//Zoe";
        let zoe = Account::from_secret_uri(phrase).expect("it is a mnemonic");
        for shown in [format!("{:?}", Account::device(&seed)), format!("{zoe:?}")] {
            assert!(!shown.contains("ab".repeat(4).as_str()), "{shown}");
            assert!(!shown.contains("bottom"), "{shown}");
            assert!(shown.contains('5'), "{shown}");
        }
    }

    #[test]
    fn a_bad_secret_is_refused_without_being_repeated() {
        for bad in ["hunter2 hunter2", "0x1234", "///", "not a phrase//Alice"] {
            let error = match Account::from_secret_uri(bad) {
                // An empty phrase means the development phrase.
                Ok(_) if bad == "///" => continue,
                Ok(_) => panic!("{bad} was taken"),
                Err(error) => error,
            };
            assert_eq!(error.code(), "bad_secret");
            assert!(!error.to_string().contains(bad), "{error}");
        }
    }
}
