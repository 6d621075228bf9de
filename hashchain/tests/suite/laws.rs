// SPDX-License-Identifier: Apache-2.0

//! What holds for every chain, and for every way to damage one.

use hashchain::encoding::{encode, DOMAIN};
use hashchain::{
    data_digest, link, plain_envelope, Content, Envelope, Fault, LinkVerifier, Native, RatchetKey,
    Reason, Refusal, Sealer, Verifier,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::making::{flip, made};

/// Where a bit is changed in an entry, a head or a signature, and who sees it.
#[derive(Clone, Copy, Debug)]
enum Place {
    Envelope,
    Digest,
    Tag,
    Previous,
    Sequence,
    Hash,
    Head,
    Signature,
}

impl Place {
    fn fault(self) -> Fault {
        match self {
            Self::Envelope => Fault::Envelope,
            Self::Digest | Self::Tag | Self::Hash => Fault::Hash,
            Self::Previous => Fault::Previous,
            Self::Sequence => Fault::Sequence,
            Self::Head => Fault::Head,
            Self::Signature => Fault::Signature,
        }
    }
}

/// What a device says at its enrolment, all of it part of `h_0`.
#[derive(Clone, Copy, Debug)]
enum Claim {
    Chain,
    Study,
    DeviceKey,
    Predecessor,
    SecretCommitment,
    Escrow,
}

fn place() -> impl Strategy<Value = Place> {
    use Place::*;
    prop::sample::select(vec![
        Envelope, Digest, Tag, Previous, Sequence, Hash, Head, Signature,
    ])
}

fn claim() -> impl Strategy<Value = Claim> {
    use Claim::*;
    prop::sample::select(vec![
        Chain,
        Study,
        DeviceKey,
        Predecessor,
        SecretCommitment,
        Escrow,
    ])
}

proptest! {
    #[test]
    fn what_a_device_makes_is_valid(made in made()) {
        let coverage = made.judge().expect("an honest chain");
        prop_assert_eq!(coverage.entries, made.entries.len() as u64);
        prop_assert!(coverage.is_complete());
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused(
        made in made(), place in place(), at in any::<Index>(), bit in any::<Index>(),
    ) {
        let mut made = made;
        let mut at = at.index(made.entries.len());
        match place {
            Place::Envelope => flip(&mut made.envelopes[at], bit),
            Place::Digest => flip(&mut made.entries[at].digest.0, bit),
            Place::Tag => flip(&mut made.entries[at].tag.0, bit),
            Place::Previous => flip(&mut made.entries[at].previous.0, bit),
            Place::Sequence => made.entries[at].sequence ^= 1 << bit.index(64),
            Place::Hash => flip(&mut made.entries[at].hash.0, bit),
            Place::Head => flip(&mut made.head.0, bit),
            Place::Signature => flip(&mut made.signature, bit),
        }
        if matches!(place, Place::Head | Place::Signature) {
            at = made.entries.len() - 1;
        }
        let refusal = Refusal { entry: at as u64 + 1, fault: place.fault() };
        prop_assert_eq!(made.judge(), Err(refusal));
    }

    #[test]
    fn one_flipped_bit_of_the_enrolment_is_refused(
        made in made(), claim in claim(), bit in any::<Index>(),
    ) {
        let mut made = made;
        match claim {
            Claim::Chain => flip(&mut made.chain, bit),
            Claim::Study => made.study ^= 1 << bit.index(32),
            Claim::DeviceKey => flip(&mut made.device_key, bit),
            Claim::Predecessor => flip(&mut made.predecessor, bit),
            Claim::SecretCommitment => flip(&mut made.secret_commitment, bit),
            Claim::Escrow => flip(&mut made.escrow, bit),
        }
        prop_assert_eq!(made.judge(), Err(Refusal { entry: 1, fault: Fault::Previous }));
    }

    #[test]
    fn another_secret_fits_no_entry(made in made(), bit in any::<Index>()) {
        let mut made = made;
        flip(&mut made.secret, bit);
        let mut verifier = Verifier::with_secret(made.genesis(), &made.secret());
        for (entry, envelope) in made.entries.iter().zip(&made.envelopes) {
            let refusal = Refusal { entry: entry.sequence, fault: Fault::Tag };
            prop_assert_eq!(verifier.check(entry, Some(envelope)), Err(refusal));
        }
        let first = Refusal { entry: 1, fault: Fault::Tag };
        prop_assert_eq!(verifier.finish(&made.head), Err(first));
    }

    #[test]
    fn entries_left_out_repeated_or_swapped_are_refused(
        made in made(), at in any::<Index>(), other in any::<Index>(), what in 0..3,
    ) {
        let mut made = made;
        let (at, other) = (at.index(made.entries.len()), other.index(made.entries.len()));
        match what {
            0 => {
                made.entries.remove(at);
                made.envelopes.remove(at);
            }
            1 => {
                let (entry, envelope) = (made.entries[at], made.envelopes[at].clone());
                made.entries.insert(at, entry);
                made.envelopes.insert(at, envelope);
            }
            _ => {
                prop_assume!(at != other);
                made.entries.swap(at, other);
                made.envelopes.swap(at, other);
            }
        }
        prop_assert_eq!(made.judge().map_err(|refusal| refusal.reason()), Err(Reason::Link));
    }

    #[test]
    fn an_entry_that_is_sound_in_itself_but_follows_another_is_refused(
        made in made(), at in any::<Index>(), bit in any::<Index>(), renumber in any::<bool>(),
    ) {
        let mut made = made;
        let at = at.index(made.entries.len());
        let entry = &mut made.entries[at];
        if renumber {
            entry.sequence ^= 1 << bit.index(64);
        } else {
            flip(&mut entry.previous.0, bit);
        }
        entry.hash = link::<Native>(entry.sequence, &entry.previous, &entry.digest, &entry.tag);
        let fault = if renumber { Fault::Sequence } else { Fault::Previous };
        prop_assert_eq!(made.judge(), Err(Refusal { entry: at as u64 + 1, fault }));
    }

    #[test]
    fn a_tag_by_the_key_of_another_position_is_refused(
        made in made(), at in any::<Index>(), index in 0..12u64,
    ) {
        let mut made = made;
        let at = at.index(made.entries.len());
        prop_assume!(index != at as u64);
        // All of the entry is as it should be, but for the index of the key.
        let right = RatchetKey::at(&made.secret(), at as u64).expect("a small index");
        let wrong = RatchetKey::at(&made.secret(), index).expect("a small index");
        let posing = RatchetKey::restore(right.index(), wrong.expose()).expect("a small index");
        let (previous, digest) = (made.entries[at].previous, made.entries[at].digest);
        prop_assert!(right.tag(&previous, &digest).matches(&made.entries[at].tag));
        made.entries[at].tag = posing.tag(&previous, &digest);
        made.relink();
        prop_assert_eq!(
            made.judge(),
            Err(Refusal { entry: at as u64 + 1, fault: Fault::Tag })
        );
    }

    #[test]
    fn a_relay_that_alters_data_and_relinks_is_seen_at_that_entry(
        made in made(), at in any::<Index>(), bit in any::<Index>(),
    ) {
        let mut made = made;
        let at = at.index(made.entries.len());
        flip(&mut made.envelopes[at], bit);
        made.entries[at].digest = data_digest::<Native>(&made.envelopes[at]);
        made.relink();
        let refusal = Refusal { entry: at as u64 + 1, fault: Fault::Tag };
        prop_assert_eq!(made.judge(), Err(refusal));
        // Who has not the secret sees that the device never signed this.
        let without = made.judge_by(Verifier::without_secret(made.genesis()));
        prop_assert_eq!(without.map_err(|refusal| refusal.reason()), Err(Reason::Signature));
    }

    #[test]
    fn all_see_the_same_broken_links(made in made(), place in place(), bit in any::<Index>()) {
        let mut made = made;
        match place {
            Place::Digest => flip(&mut made.entries[0].digest.0, bit),
            Place::Tag => flip(&mut made.entries[0].tag.0, bit),
            Place::Previous => flip(&mut made.entries[0].previous.0, bit),
            Place::Sequence => made.entries[0].sequence ^= 1 << bit.index(64),
            _ => flip(&mut made.entries[0].hash.0, bit),
        }
        let entry = made.entries[0];
        let mut links = LinkVerifier::<Native>::new(made.genesis());
        let refused = links.follow(&entry).expect_err("a broken link");
        prop_assert_eq!(links.sequence(), 0);
        let mut verifier = Verifier::with_secret(made.genesis(), &made.secret());
        prop_assert_eq!(verifier.check(&entry, None), Err(refused));
    }

    #[test]
    fn a_device_that_restarts_after_every_entry_makes_the_same_chain(made in made()) {
        let (mut head, mut sequence) = (made.genesis(), 0);
        let mut key = *made.secret().expose();
        for (given, envelope) in made.entries.iter().zip(&made.envelopes) {
            let restored = RatchetKey::restore(sequence, &key).expect("a small index");
            let sealer = Sealer::resume(head, restored);
            let (entry, after) = sealer.draft(&data_digest::<Native>(envelope));
            prop_assert_eq!(&entry, given);
            // Not durable yet? Then the old state makes the same entry again.
            prop_assert_eq!(&sealer.draft(&data_digest::<Native>(envelope)).0, given);
            (head, sequence, key) = (after.head(), after.sequence(), *after.key().expose());
        }
        prop_assert_eq!(head, made.head);
    }

    #[test]
    fn a_verifier_that_resumes_anywhere_says_the_same(made in made(), at in any::<Index>()) {
        let at = at.index(made.entries.len());
        let mut first = Verifier::with_secret(made.genesis(), &made.secret());
        for entry in &made.entries[..at] {
            first.check(entry, None).expect("an honest chain");
        }
        let key = first.key().expect("it has the secret");
        let key = RatchetKey::restore(key.index(), key.expose()).expect("a small index");
        let mut second = Verifier::resume_with_key(first.head(), key);
        let mut third = Verifier::resume_without_secret(first.sequence(), first.head());
        for entry in &made.entries[at..] {
            second.check(entry, None).expect("an honest chain");
            third.check(entry, None).expect("an honest chain");
        }
        let rest = (made.entries.len() - at) as u64;
        let covered = second.finish(&made.head).expect("an honest chain");
        prop_assert_eq!((covered.entries, covered.tags, covered.envelopes), (rest, rest, 0));
        let covered = third.finish(&made.head).expect("an honest chain");
        prop_assert_eq!((covered.entries, covered.tags, covered.signed), (rest, 0, 0));
        prop_assert!(!covered.is_complete());
    }

    #[test]
    fn an_encoding_can_be_taken_apart_so_it_is_injective(
        label in "[a-z]{0,9}", parts in vec(vec(any::<u8>(), 0..40), 0..6),
    ) {
        let borrowed: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mut all = vec![DOMAIN.to_vec(), label.clone().into_bytes()];
        all.extend(parts.clone());
        prop_assert_eq!(take_apart(&encode(&label, &borrowed)), all);
    }

    #[test]
    fn the_same_bytes_cut_elsewhere_encode_differently(
        bytes in vec(any::<u8>(), 0..40), one in any::<Index>(), other in any::<Index>(),
    ) {
        let (one, other) = (one.index(bytes.len() + 1), other.index(bytes.len() + 1));
        prop_assume!(one != other);
        let cut = |at: usize| encode("cut", &[&bytes[..at], &bytes[at..]]);
        prop_assert_ne!(cut(one), cut(other));
        prop_assert_ne!(cut(one), encode("cut", &[&bytes]));
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in vec(any::<u8>(), 0..120)) {
        let _ = Envelope::parse(&bytes);
        let _ = Content::parse(&bytes);
        let plain = [&[0][..], &bytes].concat();
        if let Ok(Envelope::Plain { random, content }) = Envelope::parse(&plain) {
            prop_assert_eq!(plain_envelope(random, &content), plain);
        }
    }

    #[test]
    fn a_plain_envelope_says_what_was_put_in(
        random in any::<[u8; 32]>(), media_type in "[ -~]{1,255}",
        payload in vec(any::<u8>(), 0..200),
    ) {
        let content = Content::new(&media_type, &payload).expect("a media type");
        let envelope = plain_envelope(&random, &content);
        prop_assert_eq!(
            Envelope::parse(&envelope),
            Ok(Envelope::Plain { random: &random, content })
        );
    }
}

#[test]
fn a_refusal_is_not_forgotten() {
    use hashchain::{Entry, LinkHash, Secret, Tag};

    let genesis = LinkHash([1; 32]);
    let secret = Secret::from_bytes(&[2; 32]);
    let mut sealer = Sealer::begin(genesis, &secret);
    let mut verifier = Verifier::with_secret(genesis, &secret);
    let first = sealer.append(&data_digest::<Native>(b"one"));
    let altered = Entry {
        tag: Tag([0; 32]),
        ..first
    };
    let refusal = verifier
        .check(&altered, None)
        .expect_err("an altered entry");
    // It has not moved, so the right entry still follows; the verdict on the whole stays.
    assert_eq!((verifier.sequence(), verifier.head()), (0, genesis));
    assert_eq!(verifier.check(&first, None), Ok(()));
    assert_eq!(verifier.finish(&first.hash), Err(refusal));
    assert_eq!(
        refusal.to_string(),
        "entry 1 refused (link): its hash is not that of its contents"
    );
}

/// The parts of `lp(p1) ‖ … ‖ lp(pn)`.
fn take_apart(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (part, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        parts.push(part.to_vec());
        bytes = rest;
    }
    assert!(bytes.is_empty());
    parts
}
