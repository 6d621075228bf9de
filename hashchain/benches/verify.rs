// SPDX-License-Identifier: Apache-2.0

//! How fast entries are made and verified on one core, against the bare SHA-256 of the same bytes.
//!
//! One element is one entry. `raw sha-256` hashes, call by call, what the checks of the same name must hash
//! (an HMAC counted as one hash of its message), so the difference is what everything but hashing costs.

// Criterion's macros make a public function without a word about it.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use ed25519_dalek::SigningKey;
use hashchain::encoding::encode;
use hashchain::{
    data_digest, head_message, is_strictly_signed, seal_envelope, sign_head, Content, Entry,
    LinkHash, LinkVerifier, Native, OpeningKey, Sealer, Secret, Sha256, Verifier,
};
use rand::{rngs::StdRng, RngCore, SeedableRng};

/// Entries in a pass: more than the caches hold with their envelopes.
const ENTRIES: usize = 10_000;
/// Bytes of an envelope: about a night's sleep episode.
const ENVELOPE: usize = 500;

struct Chain {
    genesis: LinkHash,
    secret: Secret,
    envelopes: Vec<Vec<u8>>,
    entries: Vec<Entry>,
}

impl Chain {
    fn make() -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        let (genesis, secret) = (LinkHash([0; 32]), Secret::from_bytes(&bytes));
        let mut sealer = Sealer::begin(genesis, &secret);
        let envelopes: Vec<Vec<u8>> = (0..ENTRIES)
            .map(|_| {
                let mut envelope = vec![0; ENVELOPE];
                rng.fill_bytes(&mut envelope);
                envelope
            })
            .collect();
        let entries = envelopes
            .iter()
            .map(|bytes| sealer.append(&data_digest::<Native>(bytes)))
            .collect();
        Self {
            genesis,
            secret,
            envelopes,
            entries,
        }
    }

    fn head(&self) -> LinkHash {
        self.entries[ENTRIES - 1].hash
    }

    /// The messages that are hashed for each entry: link, tag, ratchet, envelope.
    fn messages(&self, kinds: usize) -> Vec<Vec<u8>> {
        let all = self
            .entries
            .iter()
            .zip(&self.envelopes)
            .flat_map(|(entry, envelope)| {
                let position = entry.sequence.to_be_bytes();
                let (previous, digest) = (&entry.previous.0[..], &entry.digest.0[..]);
                [
                    encode("link", &[&position, previous, digest, &entry.tag.0]),
                    encode("tag", &[&position, previous, digest]),
                    encode("next", &[]),
                    encode("data", &[envelope]),
                ]
                .into_iter()
                .take(kinds)
            });
        all.collect()
    }
}

fn verify(c: &mut Criterion) {
    let chain = Chain::make();
    let mut group = c.benchmark_group("verify");
    group.throughput(Throughput::Elements(ENTRIES as u64));
    group.bench_function("links", |b| {
        b.iter(|| {
            let mut verifier = LinkVerifier::<Native>::new(chain.genesis);
            for entry in &chain.entries {
                verifier.follow(black_box(entry)).expect("an honest chain");
            }
            verifier.check_head(&chain.head()).expect("an honest chain");
        })
    });
    group.bench_function("links and tags", |b| {
        b.iter(|| {
            let mut verifier = Verifier::with_secret(chain.genesis, &chain.secret);
            for entry in &chain.entries {
                verifier
                    .check(black_box(entry), None)
                    .expect("an honest chain");
            }
            verifier.finish(&chain.head()).expect("an honest chain")
        })
    });
    group.bench_function("links, tags and envelopes", |b| {
        b.iter(|| {
            let mut verifier = Verifier::with_secret(chain.genesis, &chain.secret);
            for (entry, envelope) in chain.entries.iter().zip(&chain.envelopes) {
                verifier
                    .check(black_box(entry), Some(envelope))
                    .expect("an honest chain");
            }
            verifier.finish(&chain.head()).expect("an honest chain")
        })
    });
    group.finish();

    let mut group = c.benchmark_group("raw sha-256");
    group.throughput(Throughput::Elements(ENTRIES as u64));
    for (name, kinds) in [
        ("links", 1),
        ("links and tags", 3),
        ("links, tags and envelopes", 4),
    ] {
        let messages = chain.messages(kinds);
        group.bench_function(name, |b| {
            b.iter(|| {
                for message in &messages {
                    black_box(Native::sha256(black_box(message)));
                }
            })
        });
    }
    let link_bytes = chain.messages(1).concat();
    group.bench_function("bytes of the links in one call", |b| {
        b.iter(|| Native::sha256(black_box(&link_bytes)))
    });
    group.finish();
}

fn seal(c: &mut Criterion) {
    let chain = Chain::make();
    let mut group = c.benchmark_group("seal");
    group.throughput(Throughput::Elements(ENTRIES as u64));
    group.bench_function("digest, tag, link, ratchet", |b| {
        b.iter(|| {
            let mut sealer = Sealer::begin(chain.genesis, &chain.secret);
            for envelope in &chain.envelopes {
                black_box(sealer.append(&data_digest::<Native>(black_box(envelope))));
            }
        })
    });
    group.throughput(Throughput::Elements(1));
    let participant = OpeningKey::from_bytes(&[7; 32]).sealing_key();
    let content = Content::new("application/json", &chain.envelopes[0]).expect("a media type");
    let mut rng = StdRng::seed_from_u64(2);
    group.bench_function("envelope", |b| {
        b.iter(|| {
            let key = black_box(&participant);
            seal_envelope(key, &[9; 32], 1, &content, &mut rng).expect("a usable key")
        })
    });
    group.finish();

    let device = SigningKey::from_bytes(&[3; 32]);
    let key = device.verifying_key().to_bytes();
    let signature = sign_head(&device, &chain.head());
    let mut group = c.benchmark_group("signature of a run");
    group.throughput(Throughput::Elements(1));
    group.bench_function("sign", |b| {
        b.iter(|| sign_head(&device, black_box(&chain.head())))
    });
    group.bench_function("verify", |b| {
        b.iter(|| is_strictly_signed(&key, &head_message(black_box(&chain.head())), &signature))
    });
    group.finish();
}

criterion_group!(benches, verify, seal);
criterion_main!(benches);
