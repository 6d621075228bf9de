// SPDX-License-Identifier: Apache-2.0

//! Several devices in one [`Book`](crate::book::Book): what a phone does, for all of them, with few requests and few syncs of the disk.

pub use crate::{
    audit::audit,
    enrol::{enrol, enrol_all},
    export::export_queue,
    queue::{form_runs, runs},
    single::{enrol_one, sync_one, upload_one},
    sync::{sync, sync_all, Compared},
    upload::{upload, upload_all, Refused},
};
