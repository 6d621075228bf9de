// SPDX-License-Identifier: Apache-2.0

package org.mhealthchain.test

import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.nio.file.Path

/** A study without a chain, which `sdk/tests/study.py` plays: an authentication server and a relay that do as they are told. */
class Study(root: Path) : AutoCloseable {
    private val program = ProcessBuilder("python3", root.resolve("sdk/tests/study.py").toString())
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start()
    private val said = Json.read(program.inputReader().readLine())
    private val client = HttpClient.newHttpClient()

    /** The authentication server. */
    val url = said.text("url")

    /** A code of it. */
    val code = said.text("code")

    /** From now on the servers behave like this. */
    fun play(conduct: String) {
        asked(conduct)
    }

    /** What was sent, and what was wrong with it. */
    fun report(): Members = Json.read(asked("report"))

    private fun asked(what: String): String {
        val request = HttpRequest.newBuilder(URI.create("$url/played/$what")).POST(HttpRequest.BodyPublishers.noBody()).build()
        val answer = client.send(request, HttpResponse.BodyHandlers.ofString())
        same(answer.statusCode(), 200)
        return answer.body()
    }

    override fun close() {
        program.outputStream.close()
        program.waitFor()
    }
}
