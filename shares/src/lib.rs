// SPDX-License-Identifier: Apache-2.0

//! A secret in n files, k of which bring it back (Shamir's scheme, byte by byte). Fewer than k say nothing about it.
//!
//! The files are text for whoever keeps them: one JSON object each, with a checksum, so that a share that was damaged or is of
//! another secret is named, and not taken for a wrong secret.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use blahaj::{Share, Sharks};
use mhealth_api::Hash;
use serde::{de, Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Why a secret cannot be split, or does not come back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// So many of so many make no sense.
    #[error("at least 2 shares are needed, and at most as many as are made")]
    BadScheme,
    /// A file is no share of this kind, or does not fit the others.
    #[error("{file} is no share that fits here: {why}")]
    BadShare {
        /// The file, as the caller names it.
        file: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Too few different shares.
    #[error("{given} shares are too few: {needed} are needed")]
    TooFew {
        /// How many were given.
        given: usize,
        /// How many are needed.
        needed: u8,
    },
    /// Each share is good, and together they do not make what was split: their files were changed with their checksums.
    #[error("these shares do not belong together")]
    NotTogether,
}

/// How many shares are made, and how many of them are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    threshold: u8,
    shares: u8,
}

impl Scheme {
    /// `threshold` of `shares`: at least 2, and at most all.
    pub fn new(threshold: u8, shares: u8) -> Result<Self, ShareError> {
        match threshold < 2 || threshold > shares {
            true => Err(ShareError::BadScheme),
            false => Ok(Scheme { threshold, shares }),
        }
    }

    /// How the file of a share is named, from 1 on.
    fn file_name(self, index: u8) -> String {
        format!("share-{index}-of-{}.json", self.shares)
    }
}

/// A file to be written, which holds one share.
pub struct ShareFile {
    /// Its name, such as `share-1-of-5.json`.
    pub name: String,
    /// What is in it. Erased from memory when dropped.
    pub text: Zeroizing<String>,
}

/// A share, as its file has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// What was split.
    schema: String,
    /// What belongs together: a random number.
    set: Hash,
    /// How many shares are needed.
    threshold: u8,
    /// How many were made.
    shares: u8,
    /// Which of them this is, from 1.
    index: u8,
    /// SHA-256 of the bytes of the share.
    sha256: Hash,
    share: Bytes,
}

impl Content {
    /// Most bytes of it as text, with all that stands around a share.
    fn room(&self) -> usize {
        512 + 6 * self.schema.len() + self.share.0.len().div_ceil(3) * 4
    }
}

/// The bytes of a share, Base64 in its file. Erased from memory when dropped.
struct Bytes(Zeroizing<Vec<u8>>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(STANDARD.encode(&*self.0));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.as_bytes());
        let bytes = bytes.map_err(|_| de::Error::custom("it is no Base64"))?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}

/// Splits a secret. `schema` says what it is, such as `mhealth-key-share/1`; `set` is a number that no other split has.
pub fn split(schema: &str, secret: &[u8], scheme: Scheme, set: Hash) -> Vec<ShareFile> {
    // With its checksum: shares that do not belong together make other bytes, not an error.
    let mut checked = Zeroizing::new(Vec::with_capacity(32 + secret.len()));
    checked.extend_from_slice(&checksum(secret));
    checked.extend_from_slice(secret);
    let Scheme { threshold, shares } = scheme;
    let dealt = Sharks(threshold).dealer(&checked);
    let files = dealt.take(shares.into()).zip(1..=shares);
    files
        .map(|(share, index)| {
            let bytes = Zeroizing::new(Vec::from(&share));
            let content = Content {
                schema: schema.to_owned(),
                set,
                threshold,
                shares,
                index,
                sha256: Hash(checksum(&bytes)),
                share: Bytes(bytes),
            };
            ShareFile {
                name: scheme.file_name(index),
                text: written(&content),
            }
        })
        .collect()
}

fn written(content: &Content) -> Zeroizing<String> {
    // Room for all of it, so that no copy is left behind by a growing buffer.
    let mut text = Vec::with_capacity(content.room());
    serde_json::to_writer(&mut text, content).expect("string keys; qed");
    text.push(b'\n');
    Zeroizing::new(String::from_utf8(text).expect("JSON is text; qed"))
}

/// Brings a secret back from the texts of shares, each with the name of its file. The same share twice is one share.
pub fn join<'a>(
    schema: &str,
    texts: impl IntoIterator<Item = (String, &'a str)>,
) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    let mut read: Vec<Content> = Vec::new();
    for (file, text) in texts {
        let share = parse(schema, &file, text)?;
        if let Some(first) = read.first() {
            if (first.set, first.threshold) != (share.set, share.threshold) {
                let why = "it is of another split than the one before";
                return Err(ShareError::BadShare { file, why });
            }
        }
        if read.iter().all(|known| known.index != share.index) {
            read.push(share);
        }
    }
    let needed = read.first().map_or(2, |share| share.threshold);
    let given = read.len();
    if given < usize::from(needed) {
        return Err(ShareError::TooFew { given, needed });
    }
    let shares: Result<Vec<Share>, _> = read
        .iter()
        .map(|share| Share::try_from(share.share.0.as_slice()))
        .collect();
    let recovered = shares
        .ok()
        .and_then(|shares| Sharks(needed).recover(&shares).ok());
    let checked = Zeroizing::new(recovered.ok_or(ShareError::NotTogether)?);
    let (sum, secret) = checked
        .split_first_chunk::<32>()
        .ok_or(ShareError::NotTogether)?;
    match checksum(secret) == *sum {
        true => Ok(Zeroizing::new(secret.to_vec())),
        false => Err(ShareError::NotTogether),
    }
}

fn parse(schema: &str, file: &str, text: &str) -> Result<Content, ShareError> {
    let bad = |why| ShareError::BadShare {
        file: file.to_owned(),
        why,
    };
    let share: Content = serde_json::from_str(text).map_err(|_| bad("it has another form"))?;
    if share.schema != schema {
        return Err(bad("it is of something else, or of another version"));
    }
    if Hash(checksum(&share.share.0)) != share.sha256 {
        return Err(bad("its checksum is another"));
    }
    if share.share.0.first() != Some(&share.index) || share.index == 0 {
        return Err(bad("its number is another"));
    }
    Ok(share)
}

fn checksum(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "mhealth-something/1";
    const SECRET: &[u8] = b"thirty-two bytes, or any number.";

    fn two_of_three(set: u8) -> Vec<ShareFile> {
        let scheme = Scheme::new(2, 3).expect("good");
        split(KIND, SECRET, scheme, Hash([set; 32]))
    }

    fn together(kind: &str, files: &[&ShareFile]) -> Result<Zeroizing<Vec<u8>>, ShareError> {
        let texts = files.iter().map(|file| (file.name.clone(), &**file.text));
        join(kind, texts)
    }

    #[test]
    fn any_two_of_three_bring_the_secret_back_and_one_does_not() {
        let files = two_of_three(1);
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            let back = together(KIND, &[&files[one], &files[other]]);
            assert_eq!(**back.expect("it comes back"), *SECRET);
        }
        let alone = together(KIND, &[&files[1], &files[1]]);
        let (given, needed) = (1, 2);
        assert_eq!(alone.err(), Some(ShareError::TooFew { given, needed }));
        assert!(together(KIND, &[]).is_err());
    }

    #[test]
    fn no_file_outgrows_its_room_and_leaves_a_copy_behind() {
        let scheme = Scheme::new(2, 255).expect("good");
        for length in [0, 1, 2, 3, 32, 1_000] {
            let files = split(KIND, &vec![7; length], scheme, Hash([0xff; 32]));
            let last = files.last().expect("there are some");
            let content: Content = serde_json::from_str(&last.text).expect("JSON");
            assert!(last.text.len() <= content.room(), "{length}");
            assert_eq!(last.text.capacity(), content.room(), "{length}");
        }
    }

    #[test]
    fn no_file_shows_the_secret() {
        let seen = hex(SECRET);
        for file in two_of_three(1) {
            let content: Content = serde_json::from_str(&file.text).expect("JSON");
            assert!(!hex(&content.share.0).contains(&seen));
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn shares_of_another_split_or_of_another_thing_are_named() {
        let (one, other) = (two_of_three(1), two_of_three(2));
        let mixed = together(KIND, &[&one[0], &other[1]]);
        assert!(matches!(mixed, Err(ShareError::BadShare { file, .. }) if file == other[1].name));
        let kind = together("mhealth-something-else/1", &[&one[0], &one[1]]);
        assert!(matches!(kind, Err(ShareError::BadShare { .. })));
    }

    #[test]
    fn shares_that_were_changed_with_their_checksum_make_no_secret() {
        let mut files = two_of_three(1);
        let mut content: Content = serde_json::from_str(&files[0].text).expect("JSON");
        let last = content.share.0.len() - 1;
        content.share.0[last] ^= 1;
        content.sha256 = Hash(checksum(&content.share.0));
        files[0].text = Zeroizing::new(serde_json::to_string(&content).expect("JSON"));
        let forged = together(KIND, &[&files[0], &files[1]]);
        assert_eq!(forged.err(), Some(ShareError::NotTogether));
    }

    #[test]
    fn a_scheme_needs_two_and_no_more_than_there_are() {
        for (threshold, shares) in [(0, 3), (1, 3), (4, 3)] {
            let refused = Scheme::new(threshold, shares);
            assert_eq!(refused, Err(ShareError::BadScheme));
        }
    }
}
