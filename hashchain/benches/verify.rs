// SPDX-License-Identifier: Apache-2.0
//! Benchmarks of sealing and verification.
fn main() {}
