// SPDX-License-Identifier: Apache-2.0

//! Runs as bytes read and write as the list of runs that they stand for.

use crate::{Run, RunEntry, Runs, MAX_BATCH_LENGTH, MAX_RUN_LENGTH};
use codec::{Compact, Decode, DecodeWithMemLimit, Encode};
use frame_support::{traits::ConstU32, BoundedVec};
use proptest::prelude::*;
use scale_info::TypeInfo;
use sp_core::H256;

type List = BoundedVec<Run, ConstU32<MAX_BATCH_LENGTH>>;

fn run_of(device: u32, entries: usize, signed: bool) -> Run {
    let entry = |number: usize| RunEntry {
        digest: H256::from_low_u64_be(number as u64),
        tag: H256::repeat_byte(number as u8),
    };
    Run {
        device,
        sequence: u64::from(device) << 33,
        previous: H256::repeat_byte(9),
        entries: (0..entries)
            .map(entry)
            .collect::<Vec<_>>()
            .try_into()
            .expect("no more than a run may have"),
        signature: signed.then_some([device as u8; 64]),
    }
}

fn list_of(runs: &Runs) -> Vec<Run> {
    let run = |run: crate::RunView<'_>| Run {
        device: run.device,
        sequence: run.sequence,
        previous: run.previous,
        entries: run
            .entries
            .iter()
            .collect::<Vec<_>>()
            .try_into()
            .expect("as many"),
        signature: run.signature.copied(),
    };
    runs.iter().map(run).collect()
}

#[test]
fn batches_up_to_the_bounds_are_read_and_longer_ones_are_not() {
    for (runs, entries, fits) in [
        (MAX_BATCH_LENGTH, 1, true),
        (MAX_BATCH_LENGTH + 1, 1, false),
        (1, MAX_RUN_LENGTH, true),
        (1, MAX_RUN_LENGTH + 1, false),
    ] {
        let entries = vec![run_of(0, 1, false).entries[0]; entries as usize];
        let run = (0u32, Compact(1u64), H256::zero(), entries, None::<[u8; 64]>);
        let bytes = vec![run; runs as usize].encode();
        assert_eq!(Runs::decode(&mut &bytes[..]).is_ok(), fits);
        assert_eq!(List::decode(&mut &bytes[..]).is_ok(), fits);
    }
    let too_many = vec![run_of(1, 1, false); MAX_BATCH_LENGTH as usize + 1];
    assert!(Runs::try_from(too_many).is_err());
}

#[test]
fn a_length_in_more_bytes_than_it_needs_is_refused_as_in_a_list() {
    let run = run_of(5, 1, false);
    let mut bytes = vec![run.clone()].encode();
    let length = 1 + 4 + Compact(run.sequence).encoded_size() + 32;
    assert_eq!(bytes[length], Compact(1u32).encode()[0]);
    bytes.splice(length..=length, [1 << 2 | 1, 0]);
    assert!(List::decode(&mut &bytes[..]).is_err());
    assert!(Runs::decode(&mut &bytes[..]).is_err());
}

#[test]
fn a_sequence_takes_as_few_bytes_as_it_can_and_is_refused_in_more() {
    for (sequence, bytes) in [(1, 1), (64, 2), (1 << 14, 4), (1 << 30, 5), (u64::MAX, 9)] {
        let run = Run {
            sequence,
            ..run_of(5, 1, true)
        };
        let encoded = run.encode();
        assert_eq!(encoded.len(), 4 + bytes + 32 + 1 + 64 + 1 + 64);
        let runs = Runs::try_from(vec![run.clone()]).expect("it is one");
        let view = runs.iter().next().expect("it is one");
        assert_eq!(view.sequence, sequence);
        assert_eq!(crate::size::bytes_of(view) as usize, encoded.len());
        assert_eq!(Runs::decode(&mut &runs.encode()[..]), Ok(runs));
    }
    let mut bytes = vec![Run {
        sequence: 1,
        ..run_of(5, 1, false)
    }]
    .encode();
    bytes.splice(5..=5, [1 << 2 | 1, 0]);
    assert!(List::decode(&mut &bytes[..]).is_err());
    assert!(Runs::decode(&mut &bytes[..]).is_err());
}

#[test]
fn memory_is_asked_for_as_the_limit_allows() {
    let runs = Runs::try_from(vec![run_of(1, 40, true); 50]).expect("few");
    let bytes = runs.encode();
    assert!(Runs::decode_with_mem_limit(&mut &bytes[..], 4 * bytes.len()).is_ok());
    assert!(Runs::decode_with_mem_limit(&mut &bytes[..], bytes.len() / 2).is_err());
}

#[test]
fn the_metadata_shows_a_list_of_runs() {
    assert_eq!(Runs::type_info(), List::type_info());
}

proptest! {
    #[test]
    fn runs_read_and_write_as_a_list_does(
        shapes in prop::collection::vec((any::<u32>(), 0usize..200, any::<bool>()), 0..6),
    ) {
        let list: Vec<Run> = shapes
            .into_iter()
            .map(|(device, entries, signed)| run_of(device, entries, signed))
            .collect();
        let bytes = list.encode();
        let runs = Runs::decode(&mut &bytes[..]).expect("a list of runs");

        prop_assert_eq!(list_of(&runs), list.clone());
        prop_assert_eq!(runs.encode(), bytes);
        prop_assert_eq!(runs.len() as usize, list.len());
        let entries: usize = list.iter().map(|run| run.entries.len()).sum();
        prop_assert_eq!(runs.entries() as usize, entries);
        let signatures = list.iter().filter(|run| run.signature.is_some()).count();
        prop_assert_eq!(runs.signatures() as usize, signatures);
        prop_assert_eq!(Runs::try_from(list).expect("few"), runs);
    }

    /// Whatever the bytes, both read the same or both refuse, and leave the same rest.
    #[test]
    fn altered_bytes_are_read_or_refused_as_in_a_list(
        shapes in prop::collection::vec((any::<u32>(), 0usize..80, any::<bool>()), 0..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut: prop::sample::Index,
    ) {
        let list: Vec<Run> = shapes
            .into_iter()
            .map(|(device, entries, signed)| run_of(device, entries, signed))
            .collect();
        let mut bytes = list.encode();
        // What decides about the form: numbers and whether there is a signature.
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(1 + cut.index(bytes.len() + 64));

        let (mut for_list, mut for_runs) = (&bytes[..], &bytes[..]);
        let list = List::decode(&mut for_list);
        let runs = Runs::decode(&mut for_runs);

        prop_assert_eq!(list.is_ok(), runs.is_ok());
        if let (Ok(list), Ok(runs)) = (list, runs) {
            prop_assert_eq!(list_of(&runs), list.into_inner());
            prop_assert_eq!(for_list, for_runs);
        }
    }
}
