// SPDX-License-Identifier: Apache-2.0
//
// Never compiled or run by this project: it needs Android's own libraries.

package org.mhealthchain.android

import android.content.Context
import java.io.File
import org.mhealthchain.FileStore

/** The store of this app's phone, in a folder that `backup_rules.xml` and `full_backup_content.xml` keep out of backups. Android 8 or newer. */
fun androidStore(context: Context): FileStore = FileStore(File(context.filesDir, "mhealth-chain").toPath())
