# SPDX-License-Identifier: Apache-2.0
"""As much of an authentication server as a phone needs to seal: it says what a code is for, and never enrols.

Run as a program it prints `{"url": …, "code": …}` in one line, and ends when its standard input does.
"""

import hashlib
import json
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Hash of the first block of a chain that is nowhere.
CHAIN = b"\x11" * 32
# A participant's key, for those who want data sealed to somebody: the first public key of RFC 7748, section 6.1.
KEY = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")

_SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def code(key=b""):
    """An enrolment code for this chain and data that are sealed to this key, or to nobody (docs/protocol/device-api.md, section 3)."""
    secret = [secrets.randbelow(32) for _ in range(20)]
    pin = int.from_bytes(hashed("pin", CHAIN, key), "big") >> (256 - 95)
    symbols = secret + [pin >> (5 * place) & 31 for place in reversed(range(19))]
    state = 0
    for symbol in symbols:
        state = _doubled(state) ^ symbol
    symbols.append(_doubled(state))
    text = "".join(_SYMBOLS[symbol] for symbol in symbols)
    return "-".join(text[place : place + 5] for place in range(0, 40, 5))


def hashed(label, *parts):
    """`H` of docs/protocol/hashchain.md, section 2."""
    parts = (b"mhealth-hashchain/1", label.encode(), *parts)
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def _doubled(value):
    value <<= 1
    return value ^ 0b100101 if value & 32 else value


class Office(BaseHTTPRequestHandler):
    """Answers pages of every origin, too."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self._body()
        if self.path == "/v1/code":
            self._answer(200, self._terms())
        else:
            # What phones wait for.
            self._refuse(503, "chain_unavailable")

    def do_GET(self):
        self.do_POST()

    def do_OPTIONS(self):
        self._answer(204, None)

    do_HEAD = do_OPTIONS

    def _terms(self, study=0):
        return {
            "chain": "0x" + CHAIN.hex(),
            "issuer": self.server.url,
            "server": "0x" + "22" * 32,
            "study": study,
            "policy": "device_signed",
            "auditor_key": "0x" + "09" * 32,
            "auditor_epoch": 0,
            "participant_key": "0x" + self.server.key.hex() if self.server.key else None,
            "predecessor": None,
            "expires_at": int(time.time()) + 3600,
        }

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _refuse(self, status, code):
        problem = {"type": f"urn:mhealth-chain:problem:{code}", "title": "", "status": status, "detail": "", "code": code}
        self._answer(status, problem, "application/problem+json")

    def _answer(self, status, message, media_type="application/json"):
        body = b"" if message is None else json.dumps(message).encode()
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", self.headers.get("Origin", "*"))
        self.send_header("Access-Control-Allow-Headers", "authorization, dpop, content-type, content-encoding")
        self.send_header("Access-Control-Expose-Headers", "dpop-nonce, retry-after, www-authenticate, date")
        if status == 503:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client):
        # Those who ask are killed in some tests.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client)


def opened(handler=Office, port=0, study=None, key=b""):
    """Opens one, on a free port if none is named; gives the server, with its `url`. What is recorded is sealed to the key, if there is
    one: codes are made for it."""
    server = _Server(("127.0.0.1", port), handler)
    server.study = study
    server.key = key
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    print(json.dumps({"url": opened().url, "code": code()}), flush=True)
    sys.stdin.read()
