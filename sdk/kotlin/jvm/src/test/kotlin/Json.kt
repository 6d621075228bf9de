// SPDX-License-Identifier: Apache-2.0

package org.mhealthchain.test

/** As much of JSON as files of vectors use: objects, lists, texts without escapes beyond the simple ones, whole numbers, null. */
class Json private constructor(private val text: String) {
    private var at = 0

    private fun value(): Any? {
        blank()
        return when (text[at]) {
            '{' -> pairs()
            '[' -> list()
            '"' -> string()
            'n' -> null.also { at += 4 }
            't' -> true.also { at += 4 }
            'f' -> false.also { at += 5 }
            else -> number()
        }
    }

    private fun pairs(): MutableMap<String, Any?> {
        val made = mutableMapOf<String, Any?>()
        each('}') {
            val name = string()
            blank()
            check(text[at++] == ':')
            made[name] = value()
        }
        return made
    }

    private fun list(): MutableList<Any?> = mutableListOf<Any?>().also { made -> each(']') { made.add(value()) } }

    private fun each(end: Char, item: () -> Unit) {
        at++
        blank()
        while (text[at] != end) {
            item()
            blank()
            if (text[at] == ',') at++
            blank()
        }
        at++
    }

    private fun string(): String {
        val made = StringBuilder()
        at++
        while (text[at] != '"') {
            if (text[at] == '\\') at++
            made.append(text[at++])
        }
        at++
        return made.toString()
    }

    private fun number(): Long {
        val begin = at
        while (at < text.length && (text[at].isDigit() || text[at] == '-')) at++
        return text.substring(begin, at).toLong()
    }

    private fun blank() {
        while (at < text.length && text[at].isWhitespace()) at++
    }

    companion object {
        fun read(text: String): MutableMap<String, Any?> {
            @Suppress("UNCHECKED_CAST")
            return Json(text).value() as MutableMap<String, Any?>
        }
    }
}
