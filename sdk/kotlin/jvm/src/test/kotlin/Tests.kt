// SPDX-License-Identifier: Apache-2.0
//
// Tests without a test library: each is a sentence and what holds then. `TestsKt ROOT`, the checkout's root folder.

package org.mhealthchain.test

import com.sun.net.httpserver.HttpServer
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.ServerSocket
import java.nio.file.Files
import java.nio.file.Path
import java.security.cert.CertificateExpiredException
import java.security.cert.CertificateNotYetValidException
import java.util.concurrent.CountDownLatch
import java.util.jar.JarFile
import javax.net.ssl.SSLHandshakeException
import kotlin.io.path.deleteIfExists
import kotlin.io.path.readBytes
import kotlin.io.path.readText
import kotlin.io.path.writeBytes
import kotlin.system.exitProcess
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlin.time.measureTime
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull
import org.mhealthchain.FileKeystore
import org.mhealthchain.FileStore
import org.mhealthchain.HttpTransport
import org.mhealthchain.Phone
import org.mhealthchain.code
import org.mhealthchain.core.HttpAnswer
import org.mhealthchain.core.HttpFault
import org.mhealthchain.core.HttpHeader
import org.mhealthchain.core.HttpRequest
import org.mhealthchain.core.KeyFault
import org.mhealthchain.core.KeystoreHost
import org.mhealthchain.core.Language
import org.mhealthchain.core.Origin
import org.mhealthchain.core.PhoneStatus
import org.mhealthchain.core.SdkException
import org.mhealthchain.core.StorageFault
import org.mhealthchain.core.StoreHost
import org.mhealthchain.core.StoreWrite
import org.mhealthchain.core.StoredPair
import org.mhealthchain.sentence

private inline fun <reified T : Throwable> refused(work: () -> Unit): T =
    try {
        work()
        throw AssertionError("nothing was refused")
    } catch (error: Throwable) {
        error as? T ?: throw error
    }

internal fun same(found: Any?, expected: Any?) = check(found == expected) { "$found is not $expected" }

/** A store that has no room when it is told so. */
private class Filling(private val store: FileStore) : StoreHost by store, AutoCloseable by store {
    @Volatile
    var isFull = false

    override fun apply(writes: List<StoreWrite>) {
        if (isFull) throw StorageFault.Full()
        store.apply(writes)
    }
}

private fun put(key: String, value: String) = StoreWrite(bytes(key), bytes(value))

private fun request(url: String, longest: ULong = 100u, patience: ULong = 20_000u) =
    HttpRequest("GET", url, emptyList(), null, patience, longest)

private fun <T> serving(status: Int, answer: ByteArray, work: (String) -> T): T {
    val server = HttpServer.create(InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0)
    server.createContext("/") {
        it.responseHeaders.add("DPoP-Nonce", "n")
        if (status in 300..399) it.responseHeaders.add("Location", "/elsewhere")
        it.sendResponseHeaders(status, answer.size.toLong())
        it.responseBody.use { body -> body.write(answer) }
    }
    server.start()
    try {
        return work("http://127.0.0.1:${server.address.port}/")
    } finally {
        server.stop(0)
    }
}

/** An authentication server that says what its code is for, and never enrols. */
private fun office(root: Path, work: (String, String) -> Unit) {
    val program = ProcessBuilder("python3", root.resolve("sdk/tests/office.py").toString())
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start()
    try {
        val said = Json.read(program.inputStream.bufferedReader().readLine())
        work(said.text("url"), said.text("code"))
    } finally {
        // It ends when its standard input does.
        program.outputStream.close()
        program.waitFor()
    }
}

private fun tests(root: Path): Map<String, (Path) -> Unit> = mapOf(
    "every case comes out as it says" to {
        val vectors = Vectors(root)
        val (chains, proofs) = Pair(vectors.chains(), vectors.proofs())
        val expected = chains.number("numberOfTests") + proofs.list("chains").sumOf { it.list("steps").size }
        val outcomes = vectors.cases(chains, proofs)
        same(outcomes, List(expected.toInt()) { true })
        check(expected > 0)
        println("vectors: ${outcomes.size} cases hold")
    },
    "a false case of each kind is seen" to {
        val vectors = Vectors(root)
        for (kind in vectors.chains().list("testGroups").indices) {
            val chains = vectors.chains()
            val test = chains.list("testGroups")[kind].list("tests")[0]
            test["result"] = if (test["result"] == "valid") "invalid" else "valid"
            same(vectors.cases(chains, null).count { !it }, 1)
        }
        for (kind in vectors.proofs().list("chains").indices) {
            val proofs = vectors.proofs()
            val shown = proofs.list("chains")[kind].list("steps").firstNotNullOf { it.members("shown") }
            shown["length"] = shown.number("length") + 1
            same(vectors.cases(null, proofs).count { !it }, 1)
        }
    },
    "a store keeps what was applied, in the order of keys" to { folder ->
        FileStore(folder).use { it.apply(listOf(put("ff", "03"), put("01", "01"), put("0100", "02"))) }
        FileStore(folder).use { store ->
            store.apply(listOf(StoreWrite(bytes("ff"), null), put("01", "04")))
            same(store.get(bytes("ff")), null)
            val found = store.scan(bytes("00"), bytes("ff"), 10u).map { digits(it.key) to digits(it.value) }
            same(found, listOf("01" to "04", "0100" to "02"))
            same(store.scan(bytes("00"), bytes("ff"), 1u).size, 1)
        }
    },
    "a journal that is whole is finished, and one that is torn is not" to { folder ->
        FileStore(folder).use { it.apply(listOf(put("01", "01"))) }
        val journals = listOf(put("01", "02"), put("02", "02")).let { writes ->
            // What is there after the journal and before the values: taken from another store, stopped by a folder in its way.
            val other = folder.resolveSibling("other")
            FileStore(other).use { store ->
                Files.createDirectories(other.resolve("values/01/in-the-way"))
                refused<StorageFault> { store.apply(writes) }
            }
            other.resolve("journal").readBytes()
        }
        folder.resolve("journal").writeBytes(journals.copyOf(journals.size - 1))
        FileStore(folder).use { same(it.get(bytes("01"))?.let(::digits), "01") }
        folder.resolve("journal").writeBytes(journals)
        FileStore(folder).use { same(it.get(bytes("02"))?.let(::digits), "02") }
    },
    "what failed half-way is finished before anything else is done" to { folder ->
        FileStore(folder).use { store ->
            store.apply(listOf(put("01", "01")))
            val inTheWay = folder.resolve("values/02")
            Files.createDirectories(inTheWay.resolve("folder"))
            refused<StorageFault> { store.apply(listOf(put("01", "02"), put("02", "02"))) }
            // The journal is the only place that has the second value: nothing is read or written past it.
            refused<StorageFault> { store.get(bytes("01")) }
            refused<StorageFault> { store.scan(bytes("00"), bytes("ff"), 10u) }
            refused<StorageFault> { store.apply(listOf(put("03", "03"))) }
            refused<StorageFault.InUse> { FileStore(folder).get(bytes("01")) }
            inTheWay.toFile().deleteRecursively()
            val found = store.scan(bytes("00"), bytes("ff"), 10u).map { digits(it.key) to digits(it.value) }
            same(found, listOf("01" to "02", "02" to "02"))
        }
    },
    "a second store on the same folder is refused" to { folder ->
        FileStore(folder).use { store ->
            store.get(bytes("01"))
            refused<StorageFault.InUse> { FileStore(folder).get(bytes("01")) }
        }
        FileStore(folder).use { it.get(bytes("01")) }
    },
    "a store that was refused takes nothing from the one that has the folder" to { folder ->
        // What other programs see is the system's lock.
        val lock = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        val other = ProcessBuilder("python3", "-c", lock, folder.resolve("lock").toString())
        FileStore(folder).use { store ->
            store.get(bytes("01"))
            refused<StorageFault.InUse> { FileStore(folder).get(bytes("01")) }
            check(other.start().waitFor() != 0) { "another program takes the folder" }
        }
        same(other.inheritIO().start().waitFor(), 0)
    },
    "a closed store stays closed, and its folder is free" to { folder ->
        val store = FileStore(folder).also { it.get(bytes("01")) }
        store.close()
        refused<StorageFault.Unusable> { store.get(bytes("01")) }
        refused<StorageFault.Unusable> { store.apply(listOf(put("01", "01"))) }
        FileStore(folder).use { same(it.get(bytes("01")), null) }
    },
    "a closed phone stays closed" to { folder ->
        runBlocking {
            val phone = Phone.inFolder(folder).also { it.close() }
            refused<IllegalStateException> { phone.status() }
            Phone.inFolder(folder).use { same(it.status().sealed, 0uL) }
        }
    },
    "what an Android of version 8 lacks is not asked for" to {
        JarFile(Path.of(FileStore::class.java.protectionDomain.codeSource.location.toURI()).toFile()).use { jar ->
            val ours = Regex("org/mhealthchain/(?!HttpTransport)[^/]+\\.class")
            val classes = jar.entries().toList().filter { ours.matches(it.name) }
            check(classes.any { it.name.endsWith("/FileStore.class") })
            for (entry in classes) {
                val code = jar.getInputStream(entry).use { it.readBytes() }.toString(Charsets.ISO_8859_1)
                for (later in listOf("java/util/HexFormat", "readNBytes", "readString")) {
                    check(later !in code) { "${entry.name} asks for $later" }
                }
            }
        }
    },
    "Android's rules keep out of backups what its store is in" to {
        val android = root.resolve("sdk/kotlin/android/src/main")
        val store = android.resolve("kotlin/org/mhealthchain/android/AndroidStore.kt").readText()
        val folder = Regex("File\\(context\\.filesDir, \"(.+)\"\\)").find(store)!!.groupValues[1]
        val manifest = android.resolve("AndroidManifest.xml").readText()
        for ((attribute, rules) in listOf("dataExtractionRules" to "backup_rules", "fullBackupContent" to "full_backup_content")) {
            check("android:$attribute=\"@xml/$rules\"" in manifest) { "the manifest does not name $rules" }
            val text = android.resolve("res/xml/$rules.xml").readText()
            val kept = Regex("<exclude domain=\"file\" path=\"(.+)/\" />").findAll(text).map { it.groupValues[1] }.toSet()
            same(kept, setOf(folder))
        }
    },
    "a full disk is told from other faults" to {
        check(FileStore.fault("No space left on device") is StorageFault.Full)
        check(FileStore.fault("Permission denied") is StorageFault.Unusable)
    },
    "only the key that wrapped unwraps" to { folder ->
        val (key, other) = Pair(folder.resolve("a/key"), folder.resolve("b/key"))
        val wrapped = FileKeystore(key).wrap(ByteArray(32) { 7 })
        same(digits(FileKeystore(key).unwrap(wrapped)), "07".repeat(32))
        refused<KeyFault.Foreign> { FileKeystore(other).unwrap(wrapped) }
        FileKeystore(other).wrap(ByteArray(32))
        refused<KeyFault.Foreign> { FileKeystore(other).unwrap(wrapped) }
        same(Files.getPosixFilePermissions(key).map { it.name }.sorted(), listOf("OWNER_READ", "OWNER_WRITE"))
    },
    "answers come as they are, and no redirect is followed" to {
        serving(302, ByteArray(3)) { url ->
            val answer = HttpTransport().send(request(url))
            same(answer.status.toInt() to answer.body.size, 302 to 3)
            check(answer.headers.any { it.name.equals("dpop-nonce", true) && it.value == "n" })
        }
    },
    "what carries credentials or payloads says nothing of them as a text" to {
        val header = HttpHeader("authorization", "DPoP a.b.c")
        val records = listOf(
            header, HttpRequest("GET", "https://auth.example.org", listOf(header), bytes("07"), 1u, 1u),
            HttpAnswer(200u, listOf(header), bytes("07")), put("01", "07"), StoredPair(bytes("01"), bytes("07")),
            Origin(bytes("01"), 7u, bytes("02"), bytes("03"), bytes("04"), bytes("05")),
        )
        for (record in records) same(record.toString(), record.javaClass.simpleName)
    },
    "an answer that is too long is refused" to {
        serving(200, ByteArray(101)) { url -> refused<HttpFault.TooLong> { HttpTransport().send(request(url)) } }
    },
    "a server that does not answer is unreachable when patience is over" to {
        ServerSocket(0, 1, InetAddress.getLoopbackAddress()).use { silent ->
            val url = "http://127.0.0.1:${silent.localPort}/"
            refused<HttpFault.Unreachable> { HttpTransport().send(request(url, patience = 200u)) }
        }
    },
    "a certificate that is not valid at this time is told from one that is not trusted" to {
        fun fault(cause: Throwable?) = HttpTransport.fault(SSLHandshakeException("PKIX path validation failed").apply { initCause(cause) })
        same((fault(CertificateNotYetValidException()) as HttpFault.WrongTime).notYet, true)
        same((fault(CertificateExpiredException()) as HttpFault.WrongTime).notYet, false)
        check(fault(null) is HttpFault.Untrusted)
    },
    "nobody listening is unreachable" to {
        val port = ServerSocket(0, 1, InetAddress.getLoopbackAddress()).use { it.localPort }
        refused<HttpFault.Unreachable> { HttpTransport().send(request("http://127.0.0.1:$port/")) }
    },
    "a phone says that it is to be enrolled, in three languages" to { folder ->
        runBlocking {
            Phone.inFolder(folder).use { phone ->
                same(phone.status().advice, "enrol")
                val said = Language.entries.map { phone.advice(it) }
                same(said.toSet().size, 3)
            }
        }
    },
    "a phone that was stopped says why, in three languages" to { folder ->
        runBlocking {
            Phone.inFolder(folder).use { phone ->
                // The sync that stops a phone succeeds: there is no fault.
                fun stopped(reason: String, status: PhoneStatus) =
                    status.copy(stopped = reason, advice = "tell_study", lastFault = null)
                val status = phone.status()
                val reasons = listOf(
                    "foreign_head", "restored_backup", "other_enrolment", "another_participant_key", "device_retired", "never_enrolled",
                )
                for (reason in reasons) {
                    val said = Language.entries.map { stopped(reason, status).sentence(it) }
                    same(said.toSet().size, 3)
                    check(said.none { stopped("another_reason", status).sentence(Language.ENGLISH) == it })
                }
                check("the word another_reason." in stopped("another_reason", status).sentence(Language.ENGLISH))
            }
        }
    },
    "a phone whose store was copied without its key says so" to { folder ->
        runBlocking {
            Phone.inFolder(folder).close()
            folder.resolve("phone.key").deleteIfExists()
            val error = refused<SdkException> { Phone.inFolder(folder) }
            same(error.code, "wrong_keystore")
            check(error.sentence(Language.GERMAN).contains("Code"))
            // The one that failed left nothing behind.
            FileStore(folder.resolve("phone")).use { it.get(bytes("01")) }
        }
    },
    "a phone that may keep nothing says so" to { folder ->
        folder.writeBytes(ByteArray(0))
        runBlocking { same(refused<SdkException> { Phone.inFolder(folder) }.code, "state_unreadable") }
    },
    "an app for another chain uses no code" to { folder ->
        Study(root).use { study ->
            runBlocking {
                Phone.inFolder(folder, trustRelays = true, chain = "0x" + "22".repeat(32)).use { phone ->
                    same(refused<SdkException> { phone.enrol(study.url, study.code) }.code, "another_chain")
                    check(phone.status().study == null)
                }
                same(refused<SdkException> { Phone.inFolder(folder, chain = "22") }.code, "not_a_chain")
                Phone.inFolder(folder, trustRelays = true, chain = "0x" + "11".repeat(32)).use { phone ->
                    same(phone.enrol(study.url, study.code), 0u)
                }
            }
        }
    },
    "a phone without room says so, and goes on when there is some" to { folder ->
        Study(root).use { study ->
            runBlocking {
                val store = Filling(FileStore(folder))
                Phone.open(store, FileKeystore(folder.resolveSibling("key")), trustRelays = true).use { phone ->
                    phone.enrol(study.url, study.code)
                    store.isFull = true
                    val error = refused<SdkException> { phone.seal("night", "application/json", "{}".toByteArray()) }
                    same(error.code, "state_disk_full")
                    store.isFull = false
                    same(phone.seal("night", "application/json", "{}".toByteArray()).outcome, "new")
                    same(phone.sync(60.seconds).state, "level")
                }
            }
        }
    },
    "a second phone on the same folder is refused" to { folder ->
        runBlocking {
            Phone.inFolder(folder).use {
                same(refused<SdkException> { Phone.inFolder(folder) }.code, "state_in_use")
            }
        }
    },
    "a code that is none is named, and nothing is sent" to { folder ->
        runBlocking {
            Phone.inFolder(folder).use { phone ->
                val error = refused<SdkException> { phone.enrol("https://auth.example.org", "no code", 5.seconds) }
                same(error.code, "malformed_code")
            }
        }
    },
    "an enrolment and a sync that would go on for minutes end at their deadlines" to { folder ->
        office(root) { url, code ->
            runBlocking {
                Phone.inFolder(folder).use { phone ->
                    val deadline = 3.seconds
                    suspend fun ended(call: suspend () -> Unit) {
                        val took = measureTime {
                            val error = refused<SdkException> { call() }
                            check(error.code in listOf("deadline", "chain_unavailable")) { error }
                        }
                        check(took < deadline + 2.seconds) { "$took" }
                    }
                    ended { phone.enrol(url, code, deadline) }
                    // The server was heard: there is an enrolment to be finished.
                    check(phone.status().study != null)
                    ended { phone.sync(deadline) }
                }
            }
        }
    },
    "a sync is back in time whoever is away, and a later one finishes" to { folder ->
        Study(root).use { study ->
            runBlocking {
                Phone.inFolder(folder, trustRelays = true).use { phone ->
                    phone.enrol(study.url, study.code)
                    for (conduct in listOf("silent", "slow", "gone", "away")) {
                        phone.seal(conduct, "application/json", "{}".toByteArray())
                        study.play(conduct)
                        var (took, times) = Pair(Duration.INFINITE, 0)
                        // A machine with much else to do may be late, but not three times.
                        while (took >= 5.5.seconds && times++ < 3) {
                            took = measureTime { same(refused<SdkException> { phone.sync(5.seconds) }.code, "deadline") }
                            check(took < 10.seconds) { "$conduct: $took" }
                        }
                        check(took < 5.5.seconds) { "$conduct: $took" }
                        same(phone.status().queued, 1uL)
                        study.play("well")
                        same(phone.sync(60.seconds).state, "level")
                    }
                }
            }
        }
    },
    "whoever is cancelled goes on at once, and what was under way does not keep the folder" to { folder ->
        office(root) { url, code ->
            runBlocking {
                Phone.inFolder(folder).use { phone ->
                    val took = measureTime { withTimeoutOrNull(0.2.seconds) { phone.enrol(url, code, 10.seconds) } }
                    check(took < 5.seconds) { "$took" }
                }
                Phone.inFolder(folder).close()
            }
        }
    },
    "an opening that is cancelled ends at once, and leaves nothing open" to { folder ->
        val key = FileKeystore(folder.resolve("key"))
        val (asked, answer) = Pair(CountDownLatch(1), CountDownLatch(1))
        val slow = object : KeystoreHost {
            override fun wrap(secret: ByteArray): ByteArray {
                asked.countDown()
                answer.await()
                return key.wrap(secret)
            }

            override fun unwrap(wrapped: ByteArray): ByteArray = key.unwrap(wrapped)
        }
        runBlocking {
            val opening = launch(Dispatchers.IO) { Phone.open(FileStore(folder.resolve("phone")), slow) }
            asked.await()
            val ended = withTimeoutOrNull(5.seconds) { opening.cancelAndJoin() }
            answer.countDown()
            check(ended != null) { "it waits for the key store" }
        }
        val until = TimeSource.Monotonic.markNow() + 20.seconds
        while (runCatching { FileStore(folder.resolve("phone")).use { it.get(bytes("01")) } }.isFailure) {
            check(until.hasNotPassedNow()) { "the folder is taken" }
            Thread.sleep(10)
        }
    },
)

fun main(arguments: Array<String>) {
    val begun = System.nanoTime()
    val root = Path.of(arguments[0])
    val tests = tests(root) + firstEntryTests(root)
    val failures = tests.count { (claim, test) ->
        val folder = Files.createTempDirectory("mhealth-chain-test")
        try {
            test(folder.resolve("phone"))
            println("ok: $claim")
            false
        } catch (error: Throwable) {
            println("FAILED: $claim")
            error.printStackTrace(System.out)
            true
        } finally {
            folder.toFile().deleteRecursively()
        }
    }
    println("Ran ${tests.size} tests in ${(System.nanoTime() - begun) / 1_000_000_000} s")
    if (failures > 0) println("FAILED (failures=$failures)")
    exitProcess(if (failures > 0) 1 else 0)
}
