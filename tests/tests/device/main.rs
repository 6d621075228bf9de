// SPDX-License-Identifier: Apache-2.0

//! The real `mhealth-device` and a real node: the paper's Figure 1a, and everything that can come between the two.

mod cohort;
mod histories;
mod interruptions;
mod nights;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
