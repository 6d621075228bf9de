// SPDX-License-Identifier: Apache-2.0
//
// Registers a first entry: `FirstEntryKt FOLDER AUTHENTICATION-SERVER CODE [--trust-relays]`.

package org.mhealthchain.example

import java.nio.file.Path
import java.time.LocalDate
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking
import org.mhealthchain.Phone
import org.mhealthchain.core.PhoneStatus
import org.mhealthchain.core.SdkException
import org.mhealthchain.sentence

fun main(arguments: Array<String>) = runBlocking {
    val (folder, authentication, code) = arguments
    try {
        Phone.inFolder(Path.of(folder), trustRelays = arguments.getOrNull(3) == "--trust-relays").use { phone ->
            phone.enrol(authentication, code)
            val night = LocalDate.now()
            phone.seal("night-$night", "application/json", """{"night":"$night","minutes_asleep":412}""".toByteArray())
            phone.sync()
            println(told(phone.status(), phone.advice()))
        }
    } catch (error: SdkException) {
        System.err.println(error.sentence())
        exitProcess(1)
    }
}

/** What may be said of a phone: that its data are safe only when all of them are proved; otherwise what there is to do. */
internal fun told(status: PhoneStatus, advice: String): String {
    val safe = status.queued == 0uL && status.leftBehind == 0uL && status.stopped == null && status.provedIn != null
    if (!safe) return advice
    return "Your data is safe: registered in block ${status.provedIn}, proved. Entries: ${status.finalised}."
}
