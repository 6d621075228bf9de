// SPDX-License-Identifier: Apache-2.0

package org.mhealthchain.test

import java.nio.file.Files
import java.nio.file.Path
import java.util.HexFormat
import org.mhealthchain.code
import org.mhealthchain.core.ChainedEntry
import org.mhealthchain.core.Origin
import org.mhealthchain.core.ProofReader
import org.mhealthchain.core.SdkException
import org.mhealthchain.core.checkChain
import org.mhealthchain.core.hashParts

typealias Members = MutableMap<String, Any?>

@Suppress("UNCHECKED_CAST")
internal fun Members.list(name: String): MutableList<Members> = this[name] as MutableList<Members>

@Suppress("UNCHECKED_CAST")
internal fun Members.members(name: String): Members? = this[name] as Members?

internal fun Members.text(name: String): String = this[name] as String

internal fun Members.number(name: String): Long = this[name] as Long

internal fun bytes(digits: String): ByteArray = HexFormat.of().parseHex(digits)

internal fun digits(bytes: ByteArray): String = HexFormat.of().formatHex(bytes)

private fun Members.decoded(name: String): ByteArray = bytes(text(name))

/** The vectors that come out the same in every language. */
class Vectors(root: Path) {
    private val chainFile = root.resolve("hashchain/tests/vectors/hashchain-v1.json")
    private val proofFile = root.resolve("evidence/tests/vectors/head-proofs-v1.json")

    fun chains(): Members = Json.read(Files.readString(chainFile))

    fun proofs(): Members = Json.read(Files.readString(proofFile))

    /** One claim a case, in the order of the files. */
    fun cases(chains: Members?, proofs: Members?): List<Boolean> {
        val ofChains = chains?.list("testGroups").orEmpty().flatMap { group ->
            group.list("tests").map { if (group.text("type") == "Encoding") encodingHolds(it) else chainHolds(group, it) }
        }
        val ofProofs = proofs?.list("chains").orEmpty().flatMap { chain ->
            ProofReader(chain.decoded("genesis"), chain.number("device").toUInt()).use { reader ->
                chain.list("steps").map { stepHolds(reader, it) }
            }
        }
        return ofChains + ofProofs
    }

    private fun encodingHolds(test: Members): Boolean {
        @Suppress("UNCHECKED_CAST")
        val parts = (test["parts"] as List<String>).map(::bytes)
        val made = hashParts(test.text("label"), parts)
        val same = digits(made.encoding) == test["encoding"] && digits(made.hash) == test["hash"]
        return same == (test["result"] == "valid")
    }

    private fun chainHolds(group: Members, test: Members): Boolean {
        val device = group.members("device")!!
        val origin = Origin(
            device.decoded("chain"), device.number("study").toUInt(), device.decoded("deviceKey"),
            device.decoded("predecessor"), device.decoded("escrow"), group.decoded("secret"),
        )
        val entries = test.list("entries").map {
            ChainedEntry(
                it.number("sequence").toULong(), it.decoded("previous"), it.decoded("envelope"),
                it.decoded("digest"), it.decoded("tag"), it.decoded("hash"),
            )
        }
        return try {
            val count = checkChain(origin, entries, test.decoded("head"), test.decoded("signature"))
            test["result"] == "valid" && count == entries.size.toULong()
        } catch (error: SdkException) {
            test["result"] == "invalid" && error.code == "wrong_${test["caughtBy"]}"
        }
    }

    private fun stepHolds(reader: ProofReader, step: Members): Boolean = try {
        val shown = reader.check(step.decoded("proof"))
        val expected = step.members("shown")
        expected != null && expected == mapOf(
            "block" to shown.block.toLong(), "set" to shown.set.toLong(), "length" to shown.length.toLong(),
            "head" to digits(shown.head), "key" to shown.key?.let(::digits),
        )
    } catch (error: SdkException) {
        error.code == step["refused"]
    }
}
