// SPDX-License-Identifier: Apache-2.0
//
// Seals some nights and sends them until it is killed, for `sdk/tests/test_kills.py`: `Sealing FOLDER AUTHENTICATION-SERVER CODE`. Says first
// how many it found, and what becomes of the last of them when it is sealed again; then each that it sealed.

package org.mhealthchain.test

import java.nio.file.Path
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.mhealthchain.Phone

private const val NIGHTS = 8

/** The object has a `main` of its own: there is another one in this package. */
object Sealing {
    @JvmStatic
    fun main(arguments: Array<String>) = runBlocking {
        val (folder, authentication, code) = arguments
        val phone = Phone.inFolder(Path.of(folder), trustRelays = true)
        suspend fun seal(night: ULong) = phone.seal("night $night", "application/json", """{"night":$night}""".toByteArray())
        if (phone.status().device == null) phone.enrol(authentication, code)
        var night = phone.status().sealed
        println("$night ${if (night == 0uL) "new" else seal(night).outcome}")
        launch(Dispatchers.IO) {
            while (true) {
                // Nothing is final before it was sent by several programs.
                runCatching { phone.sync(500.milliseconds) }
                delay(20.milliseconds)
            }
        }
        repeat(NIGHTS) {
            night++
            println(seal(night).sequence)
        }
    }
}
