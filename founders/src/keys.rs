// SPDX-License-Identifier: Apache-2.0

//! `mhealth keys`: secrets into files, public halves to hand to others.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use ed25519_dalek::SigningKey;
use mhealth_chain_client::Account;
use rand::{rngs::OsRng, TryRngCore};
use serde_json::json;
use zeroize::Zeroizing;

use crate::accounts;
use crate::failure::Failure;
use crate::files;
use crate::member::{digits, Member};
use crate::report::Report;

/// Bytes of randomness in an account's phrase of twelve words.
const ENTROPY: usize = 16;

/// Names of the keys in the node's keystore: the four letters of their use.
const AURA: &[u8; 4] = b"aura";
const GRANDPA: &[u8; 4] = b"gran";

/// Makes keys, and shows their public halves.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Makes keys: secrets into files that only you can read, public halves into files to hand to others.
    #[command(subcommand)]
    New(New),
    /// Shows the account of a file that holds a secret.
    Show {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Whose keys.
#[derive(Debug, Subcommand)]
pub(crate) enum New {
    /// Of a member organisation and its validator: its account, and the keys of its node.
    ///
    /// The folder then has account.secret (the account's phrase; keep it off the node), keystore/ and network.key (for the
    /// node), and member.json, which you hand to the other members.
    Member {
        /// A new folder for them.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Name of the organisation, for people.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Address at which other nodes reach yours, such as /dns/node.example.org/tcp/30333. Its network identity is added.
        /// May be given several times.
        #[arg(long = "address", value_name = "MULTIADDRESS")]
        addresses: Vec<String>,
    },
    /// Of a validator's node alone, to take the place of others: session keys and network key.
    Validator {
        /// A new folder for them.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Of one account: a sponsor, an authentication server, a relay.
    Account {
        /// A new file for the secret. The public half goes into the file of this name with .json at its end.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Whose it is, for people.
        #[arg(long, value_name = "NAME")]
        name: String,
    },
}

pub(crate) fn run(keys: &Keys) -> Result<Report, Failure> {
    match keys {
        Keys::New(New::Member {
            out,
            name,
            addresses,
        }) => member(out, name, addresses),
        Keys::New(New::Validator { out }) => {
            files::make_private_folder(out)?;
            let node = node_keys(out)?;
            let report = Report::default()
                .with("folder", shown(out))
                .with("aura", digits(&node.aura.public_key()))
                .with("grandpa", digits(&node.grandpa.public_key()))
                .with("network", node.network.as_str());
            Ok(report
                .line(format!(
                    "Keys of a validator's node are in {}.",
                    out.display()
                ))
                .line(how_to_start(out)))
        }
        Keys::New(New::Account { out, name }) => account(out, name),
        Keys::Show { file } => {
            let account = accounts::secret(file)?.id().to_string();
            Ok(Report::default()
                .line(account.as_str())
                .with("account", account))
        }
    }
}

fn member(out: &Path, name: &str, addresses: &[String]) -> Result<Report, Failure> {
    if let Some(bad) = addresses.iter().find(|address| !address.starts_with('/')) {
        let message = format!("{bad} is not an address like /dns/node.example.org/tcp/30333.");
        return Err(Failure::input("bad_address", message));
    }
    files::make_private_folder(out)?;
    let phrase = phrase();
    let account = Account::from_secret_uri(&phrase)?;
    files::write_secret(&out.join("account.secret"), &format!("{}\n", *phrase))?;
    let node = node_keys(out)?;
    let addresses = addresses.iter().map(|address| {
        let address = address.trim_end_matches('/');
        match address.contains("/p2p/") {
            true => address.to_owned(),
            false => format!("{address}/p2p/{}", node.network),
        }
    });
    let (aura, grandpa) = (node.aura.public_key(), node.grandpa.public_key());
    let member = Member::sign(name, &account, aura, grandpa, addresses.collect());
    let file = out.join("member.json");
    files::write_public(&file, &member.json())?;
    let id = account.id().to_string();
    Ok(Report::default()
        .line(format!("Account of {name}: {id}"))
        .line(format!("Hand {} to the other members.", file.display()))
        .line(format!(
            "Its secret is in {}: whoever has it acts in your name. Keep a copy in a safe place, and none on the node.",
            out.join("account.secret").display()
        ))
        .line(how_to_start(out))
        .with("folder", shown(out))
        .with("account", id)
        .with("aura", digits(&aura))
        .with("grandpa", digits(&grandpa))
        .with("network", node.network)
        .with("member", shown(&file)))
}

fn account(out: &Path, name: &str) -> Result<Report, Failure> {
    let phrase = phrase();
    let id = Account::from_secret_uri(&phrase)?.id().to_string();
    let mut file = out.as_os_str().to_owned();
    file.push(".json");
    let file = PathBuf::from(file);
    let half = json!({ "format": accounts::FORMAT, "name": name, "account": id });
    let secret = Zeroizing::new(format!("{}\n", *phrase));
    files::write_public_with(&file, &format!("{half}\n"), || {
        files::write_secret(out, &secret)
    })?;
    Ok(Report::default()
        .line(format!("Account of {name}: {id}"))
        .line(format!(
            "Its secret is in {}, its public half in {}.",
            out.display(),
            file.display()
        ))
        .with("account", id)
        .with("secret", shown(out))
        .with("public", shown(&file)))
}

/// The keys of a validator's node.
pub(crate) struct NodeKeys {
    /// Makes blocks.
    pub(crate) aura: Account,
    /// Votes for finality. A key for GRANDPA is an Ed25519 key, as a device's is.
    pub(crate) grandpa: Account,
    /// The node's identity in the network.
    network: String,
}

/// Makes the keys of a node in a folder: its keystore, as `--keystore-path` wants it, and its network key.
fn node_keys(folder: &Path) -> Result<NodeKeys, Failure> {
    let keystore = folder.join("keystore");
    files::make_private_folder(&keystore)?;
    let [aura_seed, grandpa_seed, network_seed] = [(); 3].map(|()| random::<32>());
    let aura = Account::from_secret_uri(&digits_of(&aura_seed))?;
    let grandpa = Account::device(&grandpa_seed);
    for (kind, key, seed) in [
        (AURA, &aura, &aura_seed),
        (GRANDPA, &grandpa, &grandpa_seed),
    ] {
        let name = format!("{}{}", hex::encode(kind), hex::encode(key.public_key()));
        // A keystore has the secret as a JSON string.
        let secret = Zeroizing::new(format!("\"{}\"", *digits_of(seed)));
        files::write_secret(&keystore.join(name), &secret)?;
    }
    let network = SigningKey::from_bytes(&network_seed).verifying_key();
    let secret = Zeroizing::new(hex::encode(*network_seed));
    files::write_secret(&folder.join("network.key"), &secret)?;
    Ok(NodeKeys {
        aura,
        grandpa,
        network: network_identity(network.as_bytes()),
    })
}

/// Reads the session keys of a folder that [`node_keys`] made.
pub(crate) fn session_keys(folder: &Path) -> Result<(Account, Account), Failure> {
    let keystore = folder.join("keystore");
    let files = std::fs::read_dir(&keystore).map_err(|error| Failure::file(&keystore, &error))?;
    let names: Vec<String> = files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .collect();
    let seed = |kind: &[u8; 4]| -> Result<Zeroizing<String>, Failure> {
        let prefix = hex::encode(kind);
        let mut of_kind = names.iter().filter(|name| name.starts_with(&prefix));
        let (Some(name), None) = (of_kind.next(), of_kind.next()) else {
            let kind = String::from_utf8_lossy(kind);
            let message = format!(
                "{} does not have exactly one key named {kind}.",
                keystore.display()
            );
            return Err(Failure::input("not_one_session_key", message));
        };
        let secret = files::read_secret(&keystore.join(name))?;
        Ok(Zeroizing::new(secret.trim_matches('"').to_owned()))
    };
    let aura = Account::from_secret_uri(&seed(AURA)?)?;
    let secret = seed(GRANDPA)?;
    let mut grandpa = Zeroizing::new([0; 32]);
    hex::decode_to_slice(secret.trim_start_matches("0x"), &mut *grandpa).map_err(|_| {
        let message = format!("The GRANDPA key in {} is not a seed.", keystore.display());
        Failure::input("not_one_session_key", message)
    })?;
    Ok((aura, Account::device(&grandpa)))
}

fn how_to_start(folder: &Path) -> String {
    format!(
        "Start the node with --validator --keystore-path {} --node-key-file {}",
        folder.join("keystore").display(),
        folder.join("network.key").display()
    )
}

/// A new phrase of twelve words.
fn phrase() -> Zeroizing<String> {
    let phrase = bip39::Mnemonic::from_entropy(&*random::<ENTROPY>());
    Zeroizing::new(phrase.expect("16 bytes make twelve words; qed").to_string())
}

/// Random bytes of the system, erased from memory when dropped.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    OsRng
        .try_fill_bytes(&mut *bytes)
        .expect("the system has random bytes, or nothing can be kept secret here");
    bytes
}

fn digits_of(seed: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(digits(seed))
}

/// How nodes name each other: the public key in libp2p's wrapping, in base58.
fn network_identity(key: &[u8; 32]) -> String {
    /// A multihash that is the thing itself, of 36 bytes: a protobuf message with the type Ed25519 and a key of 32 bytes.
    const WRAPPING: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    bs58::encode([&WRAPPING[..], key].concat()).into_string()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_of_a_node_is_the_one_that_the_node_prints() {
        // `mhealth-node key inspect-node-key` of the key 0x00…01.
        let mut seed = [0; 32];
        seed[31] = 1;
        let key = SigningKey::from_bytes(&seed).verifying_key();
        assert_eq!(
            network_identity(key.as_bytes()),
            "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
        );
    }

    #[test]
    fn keys_that_were_made_are_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("keys");
        files::make_private_folder(&out).expect("made");
        let made = node_keys(&out).expect("made");
        let (aura, grandpa) = session_keys(&out).expect("read");
        assert_eq!(aura.public_key(), made.aura.public_key());
        assert_eq!(grandpa.public_key(), made.grandpa.public_key());
    }

    #[test]
    fn a_folder_without_one_key_of_each_kind_has_no_session_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let (keystore, aura) = (folder.path().join("keystore"), hex::encode(AURA));
        let refused = |why: &str| {
            let refused = session_keys(folder.path()).expect_err(why);
            assert_eq!(refused.code(), "not_one_session_key", "{why}");
        };
        node_keys(folder.path()).expect("made");
        let second = keystore.join(format!("{aura}{}", "00".repeat(32)));
        files::write_secret(&second, "\"//Alice\"").expect("written");
        refused("two keys that make blocks");
        std::fs::remove_file(&second).expect("it is there");
        session_keys(folder.path()).expect("one of each");

        let files = std::fs::read_dir(&keystore).expect("read");
        let paths = files.map(|file| file.expect("a file").path());
        let grandpa = hex::encode(GRANDPA);
        let voting = paths.filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(&grandpa))
        });
        let voting: Vec<PathBuf> = voting.collect();
        std::fs::remove_file(&voting[0]).expect("it is there");
        refused("none that votes");
        files::write_secret(&voting[0], "\"//Alice\"").expect("written");
        refused("one that is no seed");
    }

    #[test]
    fn every_phrase_is_another() {
        let (one, other) = (phrase(), phrase());
        assert_ne!(*one, *other);
        assert_eq!(one.split(' ').count(), 12);
        Account::from_secret_uri(&one).expect("a phrase");
    }
}
