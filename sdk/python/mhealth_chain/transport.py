# SPDX-License-Identifier: Apache-2.0
"""Requests over HTTP with the standard library: no redirects, no cookies, no cache."""

import http.client
import io
import socket
import ssl
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
        parts = urlsplit(request.url)
        stream = None
        try:
            stream = self._opened(parts, until)
            return _ask(self._connection(parts), _Timely(stream, until), request)
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
                not_yet = error.verify_code == _NOT_YET_VALID
                raise HttpFault.WrongTime(not_yet=not_yet, reason=error.verify_message) from error
            raise HttpFault.Untrusted(reason=error.verify_message) from error
        except (OSError, http.client.HTTPException) as error:
            raise HttpFault.Unreachable(reason=f"{type(error).__name__}: {error}") from error
        finally:
            if stream is not None:
                stream.close()

    def _connection(self, parts):
        """What speaks HTTP. Its stream is brought to it."""
        if parts.scheme == "https":
            return http.client.HTTPSConnection(parts.hostname, parts.port, context=self._context)
        return http.client.HTTPConnection(parts.hostname, parts.port)

    def _opened(self, parts, until):
        """A stream to the server that shows its certificate if it has to."""
        secure = parts.scheme == "https"
        stream = _connected(parts.hostname, parts.port or (443 if secure else 80), until)
        if not secure:
            return stream
        try:
            stream.settimeout(_left(until))
            return self._context.wrap_socket(stream, server_hostname=parts.hostname)
        except BaseException:
            stream.close()
            raise


def _connected(host, port, until):
    """A stream to the first of a host's addresses that takes it. Each has its share of the time."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure = OSError("the host has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        stream = None
        try:
            stream = socket.socket(family, kind, protocol)
            stream.settimeout(_left(until) / (len(addresses) - tried))
            stream.connect(address)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return stream
        except OSError as error:
            failure = error
            if stream is not None:
                stream.close()
    raise failure


def _ask(connection, stream, request):
    connection.sock = stream
    parts = urlsplit(request.url)
    path = parts.path or "/"
    headers = {header.name: header.value for header in request.headers}
    connection.request(request.method, f"{path}?{parts.query}" if parts.query else path, request.body, headers)
    with connection.getresponse() as answer:
        body = bytearray()
        while piece := answer.read1(_PIECE):
            body += piece
            if len(body) > request.longest_answer:
                raise HttpFault.TooLong()
        if answer.length:
            raise http.client.IncompleteRead(bytes(body), answer.length)
        kept = [HttpHeader(name=name, value=value) for name, value in answer.getheaders()]
        return HttpAnswer(status=answer.status, headers=kept, body=bytes(body))


class _Timely:
    """As much of a socket as `http.client` uses. All of it is over at a moment, however small the pieces are in which it comes."""

    def __init__(self, stream, until):
        self._stream, self._until = stream, until

    def sendall(self, data):
        rest = memoryview(data)
        while rest:
            self._stream.settimeout(_left(self._until))
            rest = rest[self._stream.send(rest[:_PIECE]) :]

    def makefile(self, _mode):
        return io.BufferedReader(_Incoming(self._stream, self._until))

    def close(self):
        """Whoever opened the stream closes it."""


class _Incoming(io.RawIOBase):
    def __init__(self, stream, until):
        super().__init__()
        self._stream, self._until = stream, until

    def readable(self):
        return True

    def readinto(self, buffer):
        self._stream.settimeout(_left(self._until))
        return self._stream.recv_into(buffer)


def _left(until):
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no whole answer in time")
    return left
