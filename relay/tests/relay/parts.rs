// SPDX-License-Identifier: Apache-2.0

//! A record that is longer than an envelope may be, on its way through a relay to whoever may read it.

use std::collections::BTreeMap;

use hashchain::{
    join, plain_envelope, split, BrokenBecause, Content, Envelope, Found, Native, PART_MEDIA_TYPE,
};
use mhealth_api::{RunState, MAX_ENVELOPE_LENGTH};
use mhealth_testing::phone::with_envelopes;

use crate::exports::export;
use crate::world::{on_both_databases, Kind, World};

on_both_databases! {
    a_long_record_is_read_from_an_export_as_one_and_a_part_that_is_not_there_is_named
}

async fn a_long_record_is_read_from_an_export_as_one_and_a_part_that_is_not_there_is_named(
    kind: Kind,
) {
    let world = World::start(kind).await;
    let credential = world.launch.add_auditor("eva").unwrap();
    let mut phone = world.phone(1).await;
    world.upload_new(&mut phone, 2).await;
    let payload: Vec<u8> = (0..1_100_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let record = Content::new("application/octet-stream", &payload).unwrap();
    // As large as phones make them.
    let cut = split::<Native>(&record, MAX_ENVELOPE_LENGTH - 512).unwrap();
    let envelopes: Vec<Vec<u8>> = cut
        .parts()
        .map(|part| {
            let part = part.payload();
            plain_envelope(&[7; 32], &Content::new(PART_MEDIA_TYPE, &part).unwrap())
        })
        .collect();
    assert_eq!(envelopes.len(), 5);
    // In runs of two, as a phone's bytes a run allow; the last one goes alone.
    for some in envelopes.chunks(2) {
        let run = with_envelopes(&phone.run_with(some), some.to_vec());
        let status = world.upload(&phone, &run).await;
        assert_eq!(world.settled(status.run).await.state, RunState::Finalised);
    }
    let (runs, _) = export(&world, &credential, 0).await;
    let mut entries = BTreeMap::new();
    for run in &runs {
        for (sequence, entry) in (run.status.sequence..).zip(&run.entries) {
            entries.insert(sequence, &entry.envelope.0);
        }
    }
    let open = |lost: Option<u64>| {
        let kept = entries
            .iter()
            .filter(move |(sequence, _)| Some(**sequence) != lost);
        kept.filter_map(|(sequence, envelope)| match Envelope::parse(envelope) {
            Ok(Envelope::Plain { content, .. }) => Some((*sequence, content)),
            _ => None,
        })
    };
    let found: Vec<_> = join::<Native>(open(None)).collect();
    let [Ok(Found::Record(whole))] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((whole.first, whole.last), (3, 7));
    assert!(whole.content() == record);
    let found: Vec<_> = join::<Native>(open(Some(5))).collect();
    let broken = found[0].as_ref().unwrap_err();
    assert_eq!(broken.why, BrokenBecause::Missing(vec![5]));
}
