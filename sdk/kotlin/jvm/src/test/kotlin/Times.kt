// SPDX-License-Identifier: Apache-2.0
//
// One phone, for `sdk/tests/seal_times.py`: `Times FOLDER AUTHENTICATION-SERVER CODE NIGHTS`. Prints as JSON how many milliseconds each seal
// took.

package org.mhealthchain.test

import java.nio.file.Path
import java.util.TreeMap
import kotlin.time.Duration.Companion.seconds
import kotlin.time.measureTime
import kotlinx.coroutines.runBlocking
import org.mhealthchain.FileKeystore
import org.mhealthchain.Phone
import org.mhealthchain.core.StoreHost
import org.mhealthchain.core.StoreWrite
import org.mhealthchain.core.StoredPair

/** A store that is gone with the program. Keys are texts whose order is that of the bytes. */
private class MemoryStore : StoreHost {
    private val values = TreeMap<String, ByteArray>()

    @Synchronized
    override fun get(key: ByteArray): ByteArray? = values[text(key)]

    @Synchronized
    override fun scan(from: ByteArray, until: ByteArray, most: UInt): List<StoredPair> {
        val (first, end) = Pair(text(from), text(until))
        if (first >= end) return emptyList()
        return values.subMap(first, end).entries.take(most.coerceAtMost(Int.MAX_VALUE.toUInt()).toInt())
            .map { StoredPair(it.key.toByteArray(Charsets.ISO_8859_1), it.value) }
    }

    @Synchronized
    override fun apply(writes: List<StoreWrite>) {
        for (write in writes) {
            val value = write.value
            if (value == null) {
                values.remove(text(write.key))
            } else {
                values[text(write.key)] = value
            }
        }
    }

    private fun text(key: ByteArray) = String(key, Charsets.ISO_8859_1)
}

/** The object has a `main` of its own: there is another one in this package. */
object Times {
    @JvmStatic
    fun main(arguments: Array<String>) = runBlocking {
        val (folder, authentication, code, nights) = arguments
        Phone.open(MemoryStore(), FileKeystore(Path.of(folder).resolve("phone.key"))).use { phone ->
            // The server never enrols. What it says of the code is enough to seal.
            runCatching { phone.enrol(authentication, code, 2.seconds) }
            val notes = "x".repeat(1000)
            val times = (1..nights.toInt()).map { night ->
                val payload = """{"night":$night,"notes":"$notes"}""".toByteArray()
                measureTime { phone.seal("night $night", "application/json", payload) }
            }
            println(times.map { it.inWholeNanoseconds / 1e6 })
        }
    }
}
