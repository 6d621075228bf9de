// SPDX-License-Identifier: Apache-2.0

mod attacks;
mod coverage;
mod laws;
mod signatures;
mod world;
