// SPDX-License-Identifier: Apache-2.0

//! An auditor verifies chains that do not fit into memory.

use hashchain::{data_digest, LinkHash, Native, Sealer, Secret, Verifier};

#[test]
fn a_million_entries_are_verified_one_at_a_time() {
    const ENTRIES: u64 = 1_000_000;
    let genesis = LinkHash([3; 32]);
    let secret = Secret::from_bytes(&[4; 32]);
    let mut sealer = Sealer::begin(genesis, &secret);
    let mut verifier = Verifier::with_secret(genesis, &secret);
    // All that the verifier is: no entry stays behind in it.
    assert!(!std::mem::needs_drop::<hashchain::LinkVerifier<Native>>());
    assert!(std::mem::size_of::<Verifier>() <= 256);
    for sequence in 1..=ENTRIES {
        let envelope = sequence.to_be_bytes();
        let entry = sealer.append(&data_digest::<Native>(&envelope));
        verifier
            .check(&entry, Some(&envelope))
            .expect("an honest chain");
    }
    let coverage = verifier.finish(&sealer.head()).expect("an honest chain");
    assert_eq!(
        (coverage.entries, coverage.tags, coverage.envelopes),
        (ENTRIES, ENTRIES, ENTRIES)
    );
    assert_eq!(coverage.signed, 0);
}
