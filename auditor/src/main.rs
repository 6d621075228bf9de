// SPDX-License-Identifier: Apache-2.0

//! `mhealth-auditor`.

fn main() {}
