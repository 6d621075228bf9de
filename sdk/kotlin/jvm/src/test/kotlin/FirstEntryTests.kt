// SPDX-License-Identifier: Apache-2.0
//
// Tests of the example program.

package org.mhealthchain.test

import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.TimeUnit
import kotlin.io.path.readText
import kotlinx.coroutines.runBlocking
import org.mhealthchain.Phone
import org.mhealthchain.example.told

/** The program at a study that is played, with a phone in this folder. Gives its status, and what it prints and complains. */
private fun firstEntry(folder: Path, study: Study, code: String): Triple<Int, String, String> {
    Files.createDirectories(folder)
    val (said, complained) = Pair(folder.resolve("said"), folder.resolve("complained"))
    val program = ProcessBuilder(
        Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp", System.getProperty("java.class.path"),
        "org.mhealthchain.example.FirstEntryKt", folder.resolve("diary").toString(), study.url, code, "--trust-relays",
    ).redirectOutput(said.toFile()).redirectError(complained.toFile()).start()
    try {
        check(program.waitFor(60, TimeUnit.SECONDS)) { "it does not end" }
    } finally {
        program.destroyForcibly()
    }
    return Triple(program.exitValue(), said.readText(), complained.readText())
}

internal fun firstEntryTests(root: Path): Map<String, (Path) -> Unit> = mapOf(
    "the example registers an entry, and ends" to { folder ->
        Study(root).use { study ->
            val (status, said, complained) = firstEntry(folder, study, study.code)
            // Relays' words are no proof, so that nothing is called safe.
            check(status == 0 && said == "Everything is registered. There is nothing to do.\n") { "$status: $said$complained" }
            val report = study.report()
            same(listOf(report["devices"], report["final"], report["faults"]), listOf(1L, 1L, emptyList<Any?>()))
        }
    },
    "the example explains a code that is none, and fails" to { folder ->
        Study(root).use { study ->
            val (status, said, complained) = firstEntry(folder, study, "no code")
            same(status to said, 1 to "")
            check("This is not a complete code." in complained) { complained }
            same(study.report()["met"], emptyMap<String, Any?>())
        }
    },
    "the example says that data are safe when all of them are proved, and at no other time" to { folder ->
        runBlocking {
            Phone.inFolder(folder).use { phone ->
                val safe = phone.status().copy(queued = 0u, stopped = null, provedIn = 12u)
                check("safe" in told(safe, "advice"))
                val others = listOf(
                    safe.copy(queued = 1u), safe.copy(leftBehind = 1u), safe.copy(stopped = "foreign_head"), safe.copy(provedIn = null),
                )
                for (status in others) same(told(status, "advice"), "advice")
            }
        }
    },
)
