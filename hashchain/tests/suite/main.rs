// SPDX-License-Identifier: Apache-2.0

//! Tests of the hashchain's rules: vectors, laws, planted mistakes, and the worked example of the
//! specification.

mod envelopes;
mod hashing;
mod known_bad;
mod laws;
mod making;
mod parts;
mod signatures;
mod specification;
mod streaming;
mod vector_file;
mod vectors;
