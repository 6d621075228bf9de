// SPDX-License-Identifier: Apache-2.0

//! Verification without a node and without state of its own: one entry at a time, in bounded memory.
//!
//! Who knows how much: [`LinkVerifier`] needs nothing but the entries; [`Verifier`] also compares
//! envelopes, checks tags when it has the secret, and checks signatures. What is wrong is named in a
//! fixed order: **link** before **digest** before **tag** of one entry, then the head that the entries
//! should end in (a link, too), then the **signature**.

use core::fmt;
use core::marker::PhantomData;

use crate::encoding::Sha256;
use crate::link::{link, Entry};
use crate::newtypes::LinkHash;

#[cfg(feature = "native")]
pub use whole::{Coverage, Verifier};

/// What kind of check refused an entry. The names are those of the test vectors (`caughtBy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The envelope is not the one that the entry was made for. Visible to a holder of the envelope.
    Digest,
    /// The entry does not follow the one before, or the entries do not end in the head. Visible to anybody.
    Link,
    /// Not made with the device's secret. Visible to a holder of the secret.
    Tag,
    /// Not signed by the device. Visible to anybody who knows the device's key.
    Signature,
}

impl Reason {
    /// The reason as one lower-case word. Stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Link => "link",
            Self::Tag => "tag",
            Self::Signature => "signature",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What exactly was found wrong. Each fault belongs to one [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The entry's sequence is not the next one: one is missing, twice there, or out of order.
    Sequence,
    /// The entry names another previous hash than that of the entry before.
    Previous,
    /// The entry's hash is not that of its sequence, previous hash, digest and tag.
    Hash,
    /// The entries do not end in the head: some are missing at the end, or the head is another's.
    Head,
    /// The envelope's digest is not the entry's.
    Envelope,
    /// The tag is not the one that the key of this position makes.
    Tag,
    /// The signature over the head is not that of the device's key.
    Signature,
}

impl Fault {
    /// The kind of check that finds this fault.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Sequence | Self::Previous | Self::Hash | Self::Head => Reason::Link,
            Self::Envelope => Reason::Digest,
            Self::Tag => Reason::Tag,
            Self::Signature => Reason::Signature,
        }
    }
}

/// An entry, a head or a signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Position of the refused entry, counted by the verifier and not taken from the entry. Of a head or
    /// a signature: position of the last entry before it, 0 if there is none.
    pub entry: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Refusal {
    /// The kind of check that refused.
    pub const fn reason(&self) -> Reason {
        self.fault.reason()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry, fault } = self;
        let what = match fault {
            Fault::Sequence => "its sequence is not the next one",
            Fault::Previous => "it does not follow the hash of the entry before",
            Fault::Hash => "its hash is not that of its contents",
            Fault::Head => "the chain ends here, in another head than the one given",
            Fault::Envelope => "the envelope is not the one that it was made for",
            Fault::Tag => "it was not made with the device's secret",
            Fault::Signature => "the signature over this head is not the device's",
        };
        write!(f, "entry {entry} refused ({}): {what}", fault.reason())
    }
}

impl core::error::Error for Refusal {}

/// Follows links, as anybody can. Hashing is the caller's choice.
pub struct LinkVerifier<H> {
    sequence: u64,
    head: LinkHash,
    hashing: PhantomData<fn() -> H>,
}

impl<H: Sha256> LinkVerifier<H> {
    /// Before the first entry of a chain that starts from `genesis`.
    pub fn new(genesis: LinkHash) -> Self {
        Self::resume(0, genesis)
    }

    /// After `sequence` entries that were verified before, and ended in `head`.
    pub fn resume(sequence: u64, head: LinkHash) -> Self {
        Self {
            sequence,
            head,
            hashing: PhantomData,
        }
    }

    /// How many entries were followed.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Hash of the last entry that was followed.
    pub fn head(&self) -> LinkHash {
        self.head
    }

    /// Whether `entry` follows. Stays where it is.
    pub fn check(&self, entry: &Entry) -> Result<(), Refusal> {
        let refuse = |fault| {
            Err(Refusal {
                entry: self.sequence.saturating_add(1),
                fault,
            })
        };
        if self.sequence.checked_add(1) != Some(entry.sequence) {
            return refuse(Fault::Sequence);
        }
        if entry.previous != self.head {
            return refuse(Fault::Previous);
        }
        if entry.hash != link::<H>(entry.sequence, &entry.previous, &entry.digest, &entry.tag) {
            return refuse(Fault::Hash);
        }
        Ok(())
    }

    /// Follows `entry`, or stays where it is and says why.
    pub fn follow(&mut self, entry: &Entry) -> Result<(), Refusal> {
        self.check(entry)?;
        self.sequence = entry.sequence;
        self.head = entry.hash;
        Ok(())
    }

    /// Whether the entries followed so far end in `head`.
    pub fn check_head(&self, head: &LinkHash) -> Result<(), Refusal> {
        if self.head == *head {
            Ok(())
        } else {
            Err(Refusal {
                entry: self.sequence,
                fault: Fault::Head,
            })
        }
    }
}

impl<H> fmt::Debug for LinkVerifier<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkVerifier")
            .field("sequence", &self.sequence)
            .field("head", &self.head)
            .finish()
    }
}

#[cfg(feature = "native")]
mod whole {
    use super::{Fault, LinkVerifier, Refusal};
    use crate::link::{data_digest, head_message, Entry};
    use crate::native::Native;
    use crate::newtypes::LinkHash;
    use crate::ratchet::{RatchetKey, Secret};
    use crate::signature::is_strictly_signed;

    /// Verifies a chain from its first entry to its head, as far as the caller's knowledge goes.
    ///
    /// Nothing passes silently: a refusal is given at once *and* kept, so that [`Verifier::finish`] gives
    /// the first one again, and the [`Coverage`] of a chain without any says what was not looked at.
    #[derive(Debug)]
    pub struct Verifier {
        links: LinkVerifier<Native>,
        key: Option<RatchetKey>,
        coverage: Coverage,
        first_refusal: Option<Refusal>,
    }

    impl Verifier {
        /// Without the secret: tags are not covered.
        pub fn without_secret(genesis: LinkHash) -> Self {
            Self::new(LinkVerifier::new(genesis), None)
        }

        /// With the secret: tags are checked.
        pub fn with_secret(genesis: LinkHash, secret: &Secret) -> Self {
            Self::new(LinkVerifier::new(genesis), Some(RatchetKey::first(secret)))
        }

        /// Goes on after `sequence` entries that were verified before; tags are not covered.
        pub fn resume_without_secret(sequence: u64, head: LinkHash) -> Self {
            Self::new(LinkVerifier::resume(sequence, head), None)
        }

        /// Goes on at the key's position; tags are checked.
        pub fn resume_with_key(head: LinkHash, key: RatchetKey) -> Self {
            Self::new(LinkVerifier::resume(key.index(), head), Some(key))
        }

        fn new(links: LinkVerifier<Native>, key: Option<RatchetKey>) -> Self {
            Self {
                links,
                key,
                coverage: Coverage::default(),
                first_refusal: None,
            }
        }

        /// Position of the last entry that was followed.
        pub fn sequence(&self) -> u64 {
            self.links.sequence()
        }

        /// Hash of the last entry that was followed.
        pub fn head(&self) -> LinkHash {
            self.links.head()
        }

        /// The key of the next entry, when the verifier has the secret.
        pub fn key(&self) -> Option<&RatchetKey> {
            self.key.as_ref()
        }

        /// Checks the next entry, with its envelope if that is at hand.
        ///
        /// After a refusal by [`Reason::Digest`](super::Reason::Digest) or
        /// [`Reason::Tag`](super::Reason::Tag) the verifier stands behind the entry, because its link is
        /// sound and the entries after it can be judged. After a refusal by
        /// [`Reason::Link`](super::Reason::Link) it has not moved.
        pub fn check(&mut self, entry: &Entry, envelope: Option<&[u8]>) -> Result<(), Refusal> {
            let checked = self.check_next(entry, envelope);
            self.keep(checked)
        }

        fn check_next(&mut self, entry: &Entry, envelope: Option<&[u8]>) -> Result<(), Refusal> {
            self.links.follow(entry)?;
            self.coverage.entries += 1;

            // The ratchet turns with the link, whatever the other checks say.
            let tag = self.key.as_mut().map(|key| {
                let (tag, next) = key.step(&entry.previous, &entry.digest);
                *key = next;
                tag
            });
            let refusal = |fault| Refusal {
                entry: entry.sequence,
                fault,
            };
            if let Some(envelope) = envelope {
                if data_digest::<Native>(envelope) != entry.digest {
                    return Err(refusal(Fault::Envelope));
                }
                self.coverage.envelopes += 1;
            }
            if let Some(tag) = tag {
                if !tag.matches(&entry.tag) {
                    return Err(refusal(Fault::Tag));
                }
                self.coverage.tags += 1;
            }
            Ok(())
        }

        /// Checks that the entries followed so far end in `head`: that of a run, a receipt, the chain.
        pub fn check_head(&mut self, head: &LinkHash) -> Result<(), Refusal> {
            let checked = self.links.check_head(head);
            self.keep(checked)
        }

        /// Checks that the entries followed so far end in `head`, then the device's signature over it, which
        /// covers all of them, by the strict rule. One signature a run is enough; the last one covers the whole chain.
        pub fn check_signature(
            &mut self,
            device_key: &[u8; 32],
            head: &LinkHash,
            signature: &[u8; 64],
        ) -> Result<(), Refusal> {
            self.check_head(head)?;
            let message = head_message(head);
            let checked = if is_strictly_signed(device_key, &message, signature) {
                self.coverage.signed = self.coverage.entries;
                Ok(())
            } else {
                Err(Refusal {
                    entry: self.sequence(),
                    fault: Fault::Signature,
                })
            };
            self.keep(checked)
        }

        /// Checks that the entries end in the chain's `head`. Says what was covered, or gives the first refusal
        /// of all.
        pub fn finish(mut self, head: &LinkHash) -> Result<Coverage, Refusal> {
            let ends = self.check_head(head);
            self.first_refusal.map_or(ends, Err)?;
            Ok(self.coverage)
        }

        fn keep(&mut self, checked: Result<(), Refusal>) -> Result<(), Refusal> {
            if let Err(refusal) = checked {
                self.first_refusal.get_or_insert(refusal);
            }
            checked
        }
    }

    /// How much of a chain was looked at and found right. What is not counted here was **not covered**.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Coverage {
        /// Entries whose link is sound.
        pub entries: u64,
        /// Entries whose envelope was at hand and has the entry's digest.
        pub envelopes: u64,
        /// Entries whose tag was checked with the secret and is right.
        pub tags: u64,
        /// Entries up to the last valid signature.
        pub signed: u64,
    }

    impl Coverage {
        /// Whether every entry was checked in every way.
        pub const fn is_complete(&self) -> bool {
            self.envelopes == self.entries
                && self.tags == self.entries
                && self.signed == self.entries
        }
    }
}
