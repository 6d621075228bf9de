// SPDX-License-Identifier: Apache-2.0
//
// Seals one night after the other until it is killed, for `sdk/tests/test_kills.py`: `Sealing FOLDER AUTHENTICATION-SERVER CODE`. Says first how
// many it found, and what becomes of the last of them when it is sealed again; then each that it sealed.

package org.mhealthchain.test

import java.nio.file.Path
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.runBlocking
import org.mhealthchain.Phone

/** The object has a `main` of its own: there is another one in this package. */
object Sealing {
    @JvmStatic
    fun main(arguments: Array<String>) = runBlocking {
        val (folder, authentication, code) = arguments
        Phone.inFolder(Path.of(folder)).use { phone ->
            suspend fun seal(night: ULong) = phone.seal("night $night", "application/json", """{"night":$night}""".toByteArray())
            // The server never enrols; the phone knows its study after that.
            if (phone.status().study == null) runCatching { phone.enrol(authentication, code, 1.seconds) }
            var night = phone.status().sealed
            println("$night ${if (night == 0uL) "new" else seal(night).outcome}")
            while (true) {
                night++
                println(seal(night).sequence)
            }
        }
    }
}
