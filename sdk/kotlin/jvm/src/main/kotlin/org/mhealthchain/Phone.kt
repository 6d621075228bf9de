// SPDX-License-Identifier: Apache-2.0

package org.mhealthchain

import java.nio.file.Path
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.launch
import org.mhealthchain.core.Cancellation
import org.mhealthchain.core.KeystoreHost
import org.mhealthchain.core.Language
import org.mhealthchain.core.PhoneCore
import org.mhealthchain.core.PhoneOptions
import org.mhealthchain.core.PhoneStanding
import org.mhealthchain.core.PhoneStatus
import org.mhealthchain.core.SdkException
import org.mhealthchain.core.SealedEntry
import org.mhealthchain.core.StoreHost
import org.mhealthchain.core.TransportHost
import org.mhealthchain.core.adviceSentence
import org.mhealthchain.core.errorSentence

/** What a participant is told about an error. [SdkException.Failed] is the one error that this library throws. */
fun SdkException.sentence(language: Language = Language.ENGLISH): String = errorSentence(this, language)

/** What the person should do, as a sentence; of a phone that was stopped, also why. */
internal fun PhoneStatus.sentence(language: Language): String {
    val reason = stopped ?: return adviceSentence(advice, lastFault ?: "", language)
    return errorSentence(SdkException.Failed(reason, null, advice, ""), language)
}

/** The stable code of an error. */
val SdkException.code: String
    get() = when (this) {
        is SdkException.Failed -> code
    }

/**
 * A phone. All calls may be made from any thread, also at the same time; none of those that suspend blocks its caller. Whoever is
 * cancelled goes on at once; what was asked for ends soon after, and may have been done.
 */
class Phone private constructor(private val core: PhoneCore, private val store: StoreHost) : AutoCloseable {
    @Volatile
    private var closed = false

    /**
     * Enrols with a code, at the authentication server of this address. Gives the phone's number on the chain. After a failure the
     * same call goes on where it was.
     */
    suspend fun enrol(authentication: String, code: String, deadline: Duration = 60.seconds): UInt =
        endable { core.enrol(authentication, code, deadline.milliseconds(), it) }

    /**
     * Seals a record. It is durable when this returns, and needs no connection. [source] names what was recorded, such as the
     * night; the same source with the same content is sealed once. With other content it is a correction if [correct]. [content] is what
     * the source said, where payloads that are made of it twice differ in identifiers and times.
     */
    suspend fun seal(
        source: String,
        mediaType: String,
        payload: ByteArray,
        content: ByteArray? = null,
        correct: Boolean = false,
    ): SealedEntry = asked { core.seal(source, mediaType, payload, content, correct) }

    /** Sends what the chain lacks and has it proved. Error `deadline` when that takes longer; a later call goes on. */
    suspend fun sync(deadline: Duration = 60.seconds): PhoneStanding = endable { core.sync(deadline.milliseconds(), it) }

    /** How the phone stands, for a screen. Asks nobody. */
    suspend fun status(): PhoneStatus = asked { core.status() }

    /** What the person should do now, as a sentence; of a phone that was stopped, also why. */
    suspend fun advice(language: Language = Language.ENGLISH): String = status().sentence(language)

    /** What is left on a stopped phone, for the auditor: one JSON object a line. */
    suspend fun exportQueue(): String = asked { core.exportQueue() }

    /** What was sealed with devices that could not be enrolled, for whoever holds the participants' keys: one JSON object a line. */
    suspend fun exportUnenrolled(): String = asked { core.exportUnenrolled() }

    /** Lets go of the store, for good, once what is being written is written. Calls that are under way end with an error. */
    override fun close() {
        closed = true
        (store as? AutoCloseable)?.close()
        core.close()
    }

    private suspend fun <T> asked(work: () -> T): T {
        check(!closed) { "the phone is closed" }
        return elsewhere(work)
    }

    /** The same for what asks servers: it ends when whoever waits for it is cancelled. */
    private suspend fun <T> endable(work: (Cancellation) -> T): T {
        val cancellation = Cancellation()
        try {
            return asked { work(cancellation) }
        } catch (error: CancellationException) {
            cancellation.cancel()
            throw error
        }
    }

    companion object {
        /**
         * Opens the phone in a store, or makes the store ready for one. Nobody is asked but the key store. [copies] is how many
         * relays are to hold each run; [trustRelays] is for development chains without proofs; [checkpoints] are blocks that the
         * consortium names, each `0x…@NUMBER`, over which proofs may lead where the chain's authorities were changed by force; [chain]
         * is the hash of the first block of the chain that the app is for, `0x…`: codes of any other are refused (`another_chain`), and so
         * is a phone that is on another (`state_of_another_chain`). Without it: the chain that the code was made for.
         */
        suspend fun open(
            store: StoreHost,
            keystore: KeystoreHost,
            transport: TransportHost = HttpTransport(),
            copies: UInt = 1u,
            trustRelays: Boolean = false,
            checkpoints: List<String> = emptyList(),
            chain: String? = null,
        ): Phone = opened {
            Phone(PhoneCore.open(store, keystore, transport, PhoneOptions(copies, trustRelays, checkpoints, chain)), store)
        }

        /** The phone of a folder: the store in `phone`, the key in `phone.key`. Keep the key out of backups. */
        suspend fun inFolder(
            folder: Path,
            copies: UInt = 1u,
            trustRelays: Boolean = false,
            checkpoints: List<String> = emptyList(),
            chain: String? = null,
        ): Phone {
            val store = FileStore(folder.resolve("phone"))
            try {
                val keystore = FileKeystore(folder.resolve("phone.key"))
                return open(
                    store,
                    keystore,
                    copies = copies,
                    trustRelays = trustRelays,
                    checkpoints = checkpoints,
                    chain = chain,
                )
            } catch (error: Throwable) {
                store.close()
                throw error
            }
        }

        /** Where calls wait, none of them as a part of whoever made it. */
        private val threads = CoroutineScope(SupervisorJob() + Dispatchers.IO)

        private suspend fun <T> elsewhere(work: () -> T): T = begun(work).await()

        private suspend fun opened(work: () -> Phone): Phone {
            val opening = begun(work)
            try {
                return opening.await()
            } catch (error: CancellationException) {
                // Nobody has it.
                threads.launch { runCatching { opening.await() }.onSuccess { it.close() } }
                throw error
            }
        }

        private suspend fun <T> begun(work: () -> T): Deferred<T> {
            currentCoroutineContext().ensureActive()
            return threads.async { work() }
        }

        private fun Duration.milliseconds(): ULong = inWholeMilliseconds.coerceAtLeast(0).toULong()
    }
}
