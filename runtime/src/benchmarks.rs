// SPDX-License-Identifier: Apache-2.0

//! The benchmarks from which the weights of this chain's own pallets are made.

use frame_benchmarking::define_benchmarks;

define_benchmarks!(
    [frame_system, frame_system_benchmarking::Pallet::<Runtime>]
    [pallet_studies, Studies]
    [pallet_consortium, Consortium]
    [pallet_client_hashchain, ClientHashchain]
);
