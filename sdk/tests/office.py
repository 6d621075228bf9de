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

_SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def code():
    """An enrolment code for data that are sealed to nobody (docs/protocol/device-api.md, section 3)."""
    secret = [secrets.randbelow(32) for _ in range(20)]
    parts = [b"mhealth-hashchain/1", b"participant", b""]
    digest = hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
    pin = int.from_bytes(digest, "big") >> (256 - 95)
    symbols = secret + [pin >> (5 * place) & 31 for place in reversed(range(19))]
    state = 0
    for symbol in symbols:
        state = _doubled(state) ^ symbol
    symbols.append(_doubled(state))
    text = "".join(_SYMBOLS[symbol] for symbol in symbols)
    return "-".join(text[place : place + 5] for place in range(0, 40, 5))


def _doubled(value):
    value <<= 1
    return value ^ 0b100101 if value & 32 else value


class Office(BaseHTTPRequestHandler):
    """Answers pages of every origin, too."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/v1/code":
            # What phones wait for.
            problem = {"type": "urn:mhealth-chain:problem:chain_unavailable", "title": "", "status": 503, "detail": "", "code": "chain_unavailable"}
            self._answer(503, problem, "application/problem+json")
            return
        terms = {
            "chain": "0x" + "11" * 32,
            "issuer": self.server.url,
            "server": "0x" + "22" * 32,
            "study": 0,
            "policy": "device_signed",
            "auditor_key": "0x" + "09" * 32,
            "auditor_epoch": 0,
            "participant_key": None,
            "predecessor": None,
            "expires_at": int(time.time()) + 3600,
        }
        self._answer(200, terms, "application/json")

    def do_GET(self):
        self.do_POST()

    def do_OPTIONS(self):
        self._answer(204, None, "application/json")

    def _answer(self, status, message, media_type):
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


def opened():
    """Opens one on a free port; gives the server, with its `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Office)
    server.daemon_threads = True
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    print(json.dumps({"url": opened().url, "code": code()}), flush=True)
    sys.stdin.read()
