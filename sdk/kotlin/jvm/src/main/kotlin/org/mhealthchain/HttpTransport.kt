// SPDX-License-Identifier: Apache-2.0

package org.mhealthchain

import java.io.InputStream
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest.BodyPublishers
import java.net.http.HttpResponse
import java.net.http.HttpResponse.BodyHandlers
import java.security.cert.CertificateExpiredException
import java.security.cert.CertificateNotYetValidException
import java.time.Duration
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ExecutionException
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import javax.net.ssl.SSLException
import org.mhealthchain.core.HttpAnswer
import org.mhealthchain.core.HttpFault
import org.mhealthchain.core.HttpHeader
import org.mhealthchain.core.HttpRequest
import org.mhealthchain.core.TransportHost

/** Requests by `java.net.http`: no redirects, no cookies, no cache. Android has no such package: see `android/`. */
class HttpTransport(private val client: HttpClient = plainClient()) : TransportHost {
    override fun send(request: HttpRequest): HttpAnswer {
        val until = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(request.patience.toLong().coerceIn(0, A_YEAR))
        val asked = client.sendAsync(request.toJava(), BodyHandlers.ofInputStream())
        try {
            val answer = asked.within(until)
            // Reading is on a thread of its own, because a stream has no timeout.
            val body = CompletableFuture.supplyAsync { answer.body().use { it.atMost(request.longestAnswer.toLong()) } }
            try {
                return HttpAnswer(answer.statusCode().toUShort(), answer.pairs(), body.within(until))
            } finally {
                answer.body().close()
            }
        } catch (error: ExecutionException) {
            throw fault(error.cause ?: error)
        } catch (error: TimeoutException) {
            asked.cancel(true)
            throw HttpFault.Unreachable("no whole answer in time")
        }
    }

    private fun HttpRequest.toJava(): java.net.http.HttpRequest {
        val publisher = body?.let(BodyPublishers::ofByteArray) ?: BodyPublishers.noBody()
        val made = java.net.http.HttpRequest.newBuilder(URI.create(url)).method(method, publisher)
        headers.forEach { made.header(it.name, it.value) }
        return made.build()
    }

    private fun HttpResponse<*>.pairs(): List<HttpHeader> =
        headers().map().flatMap { (name, values) -> values.map { HttpHeader(name, it) } }

    private fun <T> CompletableFuture<T>.within(until: Long): T = get(until - System.nanoTime(), TimeUnit.NANOSECONDS)

    private fun InputStream.atMost(longest: Long): ByteArray {
        val read = readNBytes(longest.coerceAtMost(Int.MAX_VALUE - 16L).toInt() + 1)
        if (read.size > longest) throw HttpFault.TooLong()
        return read
    }

    companion object {
        private const val A_YEAR = 365L * 24 * 3600 * 1000

        private fun plainClient(): HttpClient = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(Duration.ofSeconds(30))
            .build()

        /** What went wrong, by its innermost cause that says something. */
        internal fun fault(error: Throwable): HttpFault {
            val causes = generateSequence(error) { it.cause }.take(10).toList()
            causes.firstNotNullOfOrNull { it as? HttpFault }?.let { return it }
            val words = causes.last().run { "${javaClass.simpleName}: $message" }
            return when {
                causes.any { it is CertificateNotYetValidException } -> HttpFault.WrongTime(true, words)
                causes.any { it is CertificateExpiredException } -> HttpFault.WrongTime(false, words)
                causes.any { it is SSLException } && causes.none { it is java.io.EOFException } -> HttpFault.Untrusted(words)
                else -> HttpFault.Unreachable(words)
            }
        }
    }
}
