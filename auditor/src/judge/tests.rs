// SPDX-License-Identifier: Apache-2.0

mod attacks;
mod coverage;
mod exports;
mod laws;
mod roles;
mod signatures;
mod world;
