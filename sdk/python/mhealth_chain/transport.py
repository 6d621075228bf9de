# SPDX-License-Identifier: Apache-2.0
"""Requests over HTTP with the standard library: no redirects, no cookies, no cache."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

from .native.mhealth import HttpAnswer, HttpFault, HttpHeader, TransportHost

_PIECE = 64 << 10
# What OpenSSL says of a certificate's time.
_NOT_YET_VALID, _EXPIRED = 9, 10


class HttpTransport(TransportHost):
    """One connection a request. `context` is for servers whose certificates the system does not know."""

    def __init__(self, context=None):
        self._context = context or ssl.create_default_context()

    def send(self, request):
        until = time.monotonic() + request.patience / 1000
        connection = self._connection(request.url, until)
        # A socket's timeout is for each piece of an answer, and a server may send one byte after the other.
        end = threading.Timer(_left(until), _cut, (connection,))
        end.daemon = True
        end.start()
        try:
            return _ask(connection, request, until)
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
                not_yet = error.verify_code == _NOT_YET_VALID
                raise HttpFault.WrongTime(not_yet=not_yet, reason=error.verify_message) from error
            raise HttpFault.Untrusted(reason=error.verify_message) from error
        except (OSError, http.client.HTTPException) as error:
            raise HttpFault.Unreachable(reason=f"{type(error).__name__}: {error}") from error
        finally:
            end.cancel()
            connection.close()

    def _connection(self, url, until):
        parts = urlsplit(url)
        if parts.scheme == "https":
            return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_left(until), context=self._context)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=_left(until))


def _ask(connection, request, until):
    parts = urlsplit(request.url)
    path = parts.path or "/"
    headers = {header.name: header.value for header in request.headers}
    connection.request(request.method, f"{path}?{parts.query}" if parts.query else path, request.body, headers)
    stream = connection.sock
    stream.settimeout(_left(until))
    with connection.getresponse() as answer:
        body = bytearray()
        while True:
            stream.settimeout(_left(until))
            piece = answer.read1(_PIECE)
            if not piece:
                break
            body += piece
            if len(body) > request.longest_answer:
                raise HttpFault.TooLong()
        if answer.length:
            raise http.client.IncompleteRead(bytes(body), answer.length)
        kept = [HttpHeader(name=name, value=value) for name, value in answer.getheaders()]
        return HttpAnswer(status=answer.status, headers=kept, body=bytes(body))


def _cut(connection):
    """Ends what another thread waits for."""
    stream = connection.sock
    if stream is not None:
        # Below TLS, which that thread is in.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(stream, socket.SHUT_RDWR)


def _left(until):
    left = until - time.monotonic()
    if left <= 0:
        raise socket.timeout("no whole answer in time")
    return left
