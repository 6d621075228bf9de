// SPDX-License-Identifier: Apache-2.0

//! The binary `mhealth-relay`.

fn main() {}
