// SPDX-License-Identifier: Apache-2.0

//! What a power cut must not take.

use std::{fs::File, io, path::Path};

/// Makes the name of a file durable, which its folder has.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
