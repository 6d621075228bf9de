// SPDX-License-Identifier: Apache-2.0

//! Several devices in one file: what a simulator plays, and a shared phone may hold.
//!
//! Each function does for all devices of a [`Store`](crate::Store) what [`Device`](crate::Device) does for one, with few
//! requests and few syncs of the disk.

pub use crate::{
    enrol::enrol_all,
    export::export_queue,
    sync::sync_all,
    upload::{upload_all, Refused},
};
