// SPDX-License-Identifier: Apache-2.0
//
// One phone, for `tests/tests/sdk.rs`: `Nights FOLDER AUTHENTICATION-SERVER CODE NIGHTS`. Prints its status as JSON in the last line.

package org.mhealthchain.test

import java.nio.file.Path
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.runBlocking
import org.mhealthchain.Phone
import org.mhealthchain.core.SdkException

/** The object has a `main` of its own: there is another one in this package. */
object Nights {
    @JvmStatic
    fun main(arguments: Array<String>) = runBlocking {
        val (folder, authentication, code, nights) = arguments
        val until = TimeSource.Monotonic.markNow() + 4.minutes
        Phone.inFolder(Path.of(folder), copies = 2u).use { phone ->
            val device = phone.enrol(authentication, code)
            for (night in 1..nights.toInt()) {
                phone.seal("night $night", "application/json", """{"night":$night}""".toByteArray())
            }
            while (true) {
                try {
                    if (phone.sync(30.seconds).state in listOf("level", "frozen") || until.hasPassedNow()) break
                } catch (error: SdkException) {
                    System.err.println(error)
                    if (until.hasPassedNow()) throw error
                }
            }
            val status = phone.status()
            val stopped = status.stopped?.let { "\"$it\"" }
            println(
                """{"device":$device,"sealed":${status.sealed},"finalised":${status.finalised},""" +
                    """"block":${status.provedIn},"stopped":$stopped}""",
            )
        }
    }
}
