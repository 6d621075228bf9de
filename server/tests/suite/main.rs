// SPDX-License-Identifier: Apache-2.0

//! What all servers have in common, seen from outside. One program, because linking one takes longer than running them all.

mod bad_input;
mod copies;
mod crowd;
mod encodings;
mod files;
mod locks;
mod options;
mod pages;
mod parts;
mod proxies;
mod reserve;
mod serving;
mod silence;
mod stores;
mod support;
mod tls;
