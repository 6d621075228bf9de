// SPDX-License-Identifier: Apache-2.0
//
// One phone, for `tests/tests/sdk/`: `Nights FOLDER AUTHENTICATION-SERVER CODE NIGHTS [SECONDS]`. Sends until all is registered, or syncs
// twice for so many seconds, whatever comes of it. Prints its status as JSON in the last line, with the time that the longest sync
// took, in seconds.

package org.mhealthchain.test

import java.nio.file.Path
import kotlin.time.Duration
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.runBlocking
import org.mhealthchain.Phone
import org.mhealthchain.core.SdkException

/** `tests/tests/sdk/phone.rs` knows it, too. */
private val DEADLINE = 60.seconds

/** Syncs of a phone that is told for how long. */
private const val TRIES = 2

/** The object has a `main` of its own: there is another one in this package. */
object Nights {
    @JvmStatic
    fun main(arguments: Array<String>) = runBlocking {
        val (folder, authentication, code, nights) = arguments
        val told = arguments.getOrNull(4)?.toInt()?.seconds
        val until = TimeSource.Monotonic.markNow() + 4.minutes
        Phone.inFolder(Path.of(folder), copies = 2u).use { phone ->
            val device = phone.enrol(authentication, code)
            for (night in 1..nights.toInt()) {
                phone.seal("night $night", "application/json", """{"night":$night}""".toByteArray())
            }
            var longest = Duration.ZERO
            var tries = 0
            while (told == null || tries < TRIES) {
                tries += 1
                val begun = TimeSource.Monotonic.markNow()
                try {
                    if (phone.sync(told ?: DEADLINE).state in listOf("level", "frozen") || until.hasPassedNow()) break
                } catch (error: SdkException) {
                    System.err.println(error)
                    if (until.hasPassedNow()) throw error
                } finally {
                    longest = maxOf(longest, begun.elapsedNow())
                }
            }
            val status = phone.status()
            val stopped = status.stopped?.let { "\"$it\"" }
            val fault = status.lastFault?.let { "\"$it\"" }
            println(
                """{"device":$device,"sealed":${status.sealed},"finalised":${status.finalised},""" +
                    """"block":${status.provedIn},"stopped":$stopped,"fault":$fault,""" +
                    """"longest":${longest.inWholeMilliseconds / 1000.0}}""",
            )
        }
    }
}
