// SPDX-License-Identifier: Apache-2.0

package org.mhealthchain

import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.nio.channels.OverlappingFileLockException
import java.nio.file.FileSystemException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardOpenOption.CREATE
import java.nio.file.StandardOpenOption.READ
import java.nio.file.StandardOpenOption.TRUNCATE_EXISTING
import java.nio.file.StandardOpenOption.WRITE
import java.security.MessageDigest
import java.util.TreeSet
import java.util.concurrent.ConcurrentHashMap
import org.mhealthchain.core.StorageFault
import org.mhealthchain.core.StoreHost
import org.mhealthchain.core.StoreWrite
import org.mhealthchain.core.StoredPair

/** A folder that is this program's alone, and in this program one store's. */
private class Taken private constructor(private val folder: Path, private val channel: FileChannel) : AutoCloseable {
    override fun close() {
        channel.close()
        OURS.remove(folder)
    }

    companion object {
        private val OURS = ConcurrentHashMap.newKeySet<Path>()

        fun of(folder: Path): Taken {
            val real = folder.toRealPath()
            // Asked first: whoever closes a file takes away every lock that this program has on it, whichever store has it.
            if (!OURS.add(real)) throw StorageFault.InUse()
            try {
                return Taken(real, locked(real.resolve("lock")))
            } catch (error: Throwable) {
                OURS.remove(real)
                throw error
            }
        }

        private fun locked(file: Path): FileChannel {
            val channel = FileChannel.open(file, CREATE, WRITE)
            val lock = try {
                channel.tryLock()
            } catch (_: OverlappingFileLockException) {
                null
            }
            if (lock == null) {
                channel.close()
                throw StorageFault.InUse()
            }
            return channel
        }
    }
}

/**
 * A store in a folder: one file a value, named by its key. A list of writes goes to the file `journal` first, and is durable when it is
 * there with its checksum; then the values are written, then the journal is emptied. Killed at any point, the next one finishes what is
 * in the journal, or finds it torn and nothing done. So does this one after a write that failed, and refuses everything until that worked.
 * A second store on the same folder is refused: `state_in_use`.
 *
 * Throws [StorageFault].
 */
class FileStore(private val folder: Path) : StoreHost, AutoCloseable {
    private val values = folder.resolve("values")
    private val journal = folder.resolve("journal")
    private var taken: Taken? = null

    /** Whether the values are what the journal says. Not so before the first use, nor after a write that failed. */
    private var sound = false
    private var closed = false

    /** Keys in hexadecimal digits, whose order is that of the bytes. */
    private val keys = TreeSet<String>()

    @Synchronized
    override fun get(key: ByteArray): ByteArray? = attempt {
        open()
        val name = digits(key)
        if (name in keys) Files.readAllBytes(values.resolve(name)) else null
    }

    @Synchronized
    override fun scan(from: ByteArray, until: ByteArray, most: UInt): List<StoredPair> = attempt {
        open()
        val (first, end) = Pair(digits(from), digits(until))
        if (first >= end) return@attempt emptyList()
        keys.subSet(first, end).asSequence().take(most.coerceAtMost(Int.MAX_VALUE.toUInt()).toInt())
            .map { StoredPair(bytes(it), Files.readAllBytes(values.resolve(it))) }
            .toList()
    }

    @Synchronized
    override fun apply(writes: List<StoreWrite>): Unit = attempt {
        open()
        // Whatever fails from here on, what stands in the journal decides, and comes before everything else.
        sound = false
        write(journal, framed(writes))
        synchronise(folder)
        finish(writes)
        sound = true
    }

    /** Lets go of the folder, for good, once what is being written is written. */
    @Synchronized
    override fun close() {
        closed = true
        letGo()
    }

    private fun letGo() {
        taken?.close()
        taken = null
        sound = false
    }

    /** Takes the folder when it is first used, and finishes what was begun in it. */
    private fun open() {
        if (closed) throw StorageFault.Unusable("the store is closed")
        if (sound) return
        val first = taken == null
        if (first) {
            Files.createDirectories(values)
            keepFromOthers(folder)
            taken = Taken.of(folder)
        }
        try {
            keys.clear()
            finishJournal()
            Files.list(values).use { files -> files.map { it.fileName.toString() }.forEach(::found) }
            sound = true
        } catch (error: Throwable) {
            // The journal of a phone that runs is finished by nobody else.
            if (first) letGo()
            throw error
        }
    }

    private fun finish(writes: List<StoreWrite>) {
        for (write in writes) {
            val name = digits(write.key)
            val value = write.value
            if (value == null) {
                Files.deleteIfExists(values.resolve(name))
                keys.remove(name)
            } else {
                val begun = folder.resolve("begun")
                write(begun, value)
                Files.move(begun, values.resolve(name), ATOMIC_MOVE)
                keys.add(name)
            }
        }
        synchronise(values)
        write(journal, ByteArray(0))
    }

    private fun finishJournal() {
        if (!Files.exists(journal)) return
        unframed(Files.readAllBytes(journal))?.let(::finish)
    }

    private fun found(name: String) {
        if (!name.matches(KEY)) throw StorageFault.Damaged("a file is among the values that is none")
        keys.add(name)
    }

    companion object {
        private val KEY = Regex("([0-9a-f]{2}){1,64}")
        private const val DIGITS = "0123456789abcdef"
        private const val CHECKSUM = 32

        private fun framed(writes: List<StoreWrite>): ByteArray {
            val bytes = ByteArrayOutputStream()
            DataOutputStream(bytes).run {
                writeInt(writes.size)
                for (write in writes) {
                    writeInt(write.key.size)
                    write(write.key)
                    writeInt(write.value?.size ?: -1)
                    write.value?.let(::write)
                }
            }
            return checksum(bytes.toByteArray()) + bytes.toByteArray()
        }

        /** None when the journal is empty or was not written to its end: then nothing of it was done. */
        private fun unframed(bytes: ByteArray): List<StoreWrite>? {
            if (bytes.size < CHECKSUM) return null
            val content = bytes.copyOfRange(CHECKSUM, bytes.size)
            if (!checksum(content).contentEquals(bytes.copyOf(CHECKSUM))) return null
            val input = DataInputStream(ByteArrayInputStream(content))
            fun piece(length: Int) = ByteArray(length).also { input.readFully(it) }
            return List(input.readInt()) {
                val key = piece(input.readInt())
                val length = input.readInt()
                StoreWrite(key, if (length < 0) null else piece(length))
            }
        }

        /** Java's own class for this is missing on Android before version 14. */
        private fun digits(bytes: ByteArray): String = buildString(2 * bytes.size) {
            for (byte in bytes) {
                append(DIGITS[byte.toInt() shr 4 and 15])
                append(DIGITS[byte.toInt() and 15])
            }
        }

        private fun bytes(digits: String) =
            ByteArray(digits.length / 2) { digits.substring(2 * it, 2 * it + 2).toInt(16).toByte() }

        private fun checksum(bytes: ByteArray) = MessageDigest.getInstance("SHA-256").digest(bytes)

        /** Writes a file and waits until it is on the disk. */
        private fun write(file: Path, bytes: ByteArray) {
            FileChannel.open(file, CREATE, WRITE, TRUNCATE_EXISTING).use { channel ->
                val left = ByteBuffer.wrap(bytes)
                while (left.hasRemaining()) channel.write(left)
                channel.force(true)
            }
        }

        /** Waits until the names in a folder are on the disk. */
        private fun synchronise(folder: Path) = FileChannel.open(folder, READ).use { it.force(true) }

        internal fun keepFromOthers(path: Path) {
            val file = path.toFile()
            // Where there are no such rights, the folder's own decide.
            file.setReadable(false, false)
            file.setReadable(true, true)
            file.setWritable(false, false)
            file.setWritable(true, true)
            if (file.isDirectory) {
                file.setExecutable(false, false)
                file.setExecutable(true, true)
            }
        }

        private fun <T> attempt(work: () -> T): T = try {
            work()
        } catch (error: FileSystemException) {
            throw fault(error.reason ?: error.toString())
        } catch (error: IOException) {
            throw fault(error.message ?: error.toString())
        }

        /** The system's words are all that Java hands on. */
        internal fun fault(words: String): StorageFault = when {
            words.contains("No space left") || words.contains("Disk quota") -> StorageFault.Full()
            else -> StorageFault.Unusable(words)
        }
    }
}
