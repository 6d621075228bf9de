// SPDX-License-Identifier: Apache-2.0

//! What the tests of the whole system share: real nodes, and phones that write to them.

pub mod node;
pub mod phone;
