// SPDX-License-Identifier: Apache-2.0

package org.mhealthchain

import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.nio.file.Files
import java.nio.file.NoSuchFileException
import java.nio.file.Path
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardOpenOption.CREATE_NEW
import java.nio.file.StandardOpenOption.READ
import java.nio.file.StandardOpenOption.WRITE
import java.security.SecureRandom
import org.mhealthchain.core.KeyFault
import org.mhealthchain.core.KeystoreHost
import org.mhealthchain.core.unwrapWithKey
import org.mhealthchain.core.wrapWithKey

/**
 * A key in a file that only its owner reads, for servers and desktops. Keep it out of backups: a store that is restored without it cannot
 * be opened. A phone keeps its key in the Android Keystore instead: see `android/`.
 */
class FileKeystore(private val file: Path) : KeystoreHost {
    override fun wrap(secret: ByteArray): ByteArray = attempt { wrapWithKey(key() ?: made(), secret) }

    override fun unwrap(wrapped: ByteArray): ByteArray =
        attempt { unwrapWithKey(key() ?: throw KeyFault.Foreign(), wrapped) }

    private fun key(): ByteArray? {
        val key = try {
            Files.readAllBytes(file)
        } catch (_: NoSuchFileException) {
            return null
        }
        // Written by somebody else, or not to its end.
        if (key.size != LENGTH) throw KeyFault.Foreign()
        return key
    }

    /** A new key, durable before anything is wrapped with it. */
    private fun made(): ByteArray {
        val key = ByteArray(LENGTH).also(SecureRandom()::nextBytes)
        val folder = file.toAbsolutePath().parent
        Files.createDirectories(folder)
        val begun = folder.resolve("${file.fileName}.begun")
        Files.deleteIfExists(begun)
        FileChannel.open(begun, CREATE_NEW, WRITE).use {
            FileStore.keepFromOthers(begun)
            it.write(ByteBuffer.wrap(key))
            it.force(true)
        }
        Files.move(begun, file, ATOMIC_MOVE)
        FileChannel.open(folder, READ).use { it.force(true) }
        return key
    }

    private companion object {
        const val LENGTH = 32

        fun <T> attempt(work: () -> T): T = try {
            work()
        } catch (error: IOException) {
            throw KeyFault.Failed(error.toString())
        }
    }
}
