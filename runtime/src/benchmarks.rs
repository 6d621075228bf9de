// SPDX-License-Identifier: Apache-2.0

//! The benchmarks from which the weights of this chain's own pallets are made.

use alloc::{string::String, vec::Vec};
use frame_benchmarking::{define_benchmarks, BenchmarkBatch, BenchmarkConfig, BenchmarkList};
use frame_support::traits::{StorageInfo, StorageInfoTrait, WhitelistedStorageKeys};

use crate::{
    Accountability, AllPalletsWithSystem, ClientHashchain, Consortium, Finality, Runtime, Studies,
};

define_benchmarks!(
    [frame_system, frame_system_benchmarking::Pallet::<Runtime>]
    [pallet_studies, Studies]
    [pallet_consortium, Consortium]
    [pallet_finality, Finality]
    [pallet_client_hashchain, ClientHashchain]
    [pallet_accountability, Accountability]
);

impl frame_system_benchmarking::Config for Runtime {}

/// What can be measured, and what the storage looks like.
pub(crate) fn metadata(extra: bool) -> (Vec<BenchmarkList>, Vec<StorageInfo>) {
    let mut list = Vec::<BenchmarkList>::new();
    list_benchmarks!(list, extra);
    (list, AllPalletsWithSystem::storage_info())
}

/// Measures.
pub(crate) fn dispatch(config: BenchmarkConfig) -> Result<Vec<BenchmarkBatch>, String> {
    let whitelist = AllPalletsWithSystem::whitelisted_storage_keys();
    let mut batches = Vec::<BenchmarkBatch>::new();
    let params = (&config, &whitelist);
    add_benchmarks!(params, batches);
    Ok(batches)
}
