# SPDX-License-Identifier: Apache-2.0
"""A device for the tests in Python: link 0, one entry, and what it signs, by docs/protocol/hashchain.md."""

import hashlib
import hmac
import os

from nacl.signing import SigningKey

DOMAIN = b"mhealth-hashchain/1"
# The auditor's key of the presets' studies.
AUDITOR_KEY = bytes.fromhex("3b78cd0744759f346d3d0fbd72cbaff865109c1aa5e7f43e514c47563fabb23e")
STUDY = 0


def encode(label, *parts):
    return b"".join(len(part).to_bytes(4, "big") + part for part in (DOMAIN, label.encode(), *parts))


def digest(label, *parts):
    return hashlib.sha256(encode(label, *parts)).digest()


def u32(number):
    return number.to_bytes(4, "big")


def u64(number):
    return number.to_bytes(8, "big")


class Device:
    def __init__(self, chain, server):
        signer, secret = SigningKey.generate(), os.urandom(32)
        key, commitment, escrow = bytes(signer.verify_key), digest("secret", secret), os.urandom(81)
        sealed, participant = digest("escrow", escrow), digest("participant", b"")
        self.signer, self.secret = signer, secret
        self.head = digest("genesis", chain, u32(STUDY), key, bytes(32), commitment, sealed)
        proof = encode("key-proof", chain, u32(STUDY), server, key, b"", commitment, sealed, u32(0), AUDITOR_KEY, participant)
        self.enrolment = {
            "study": STUDY,
            "key": hexadecimal(key),
            "secret_commitment": hexadecimal(commitment),
            "escrow": hexadecimal(escrow),
            "auditor_epoch": 0,
            "participant": hexadecimal(participant),
            "predecessor": None,
            "key_proof": hexadecimal(signer.sign(proof).signature),
        }

    def run(self, number, envelope):
        """The device's first entry."""
        previous, data = self.head, digest("data", envelope)
        tag = hmac.new(self.secret, encode("tag", u64(1), previous, data), hashlib.sha256).digest()
        self.head = digest("link", u64(1), previous, data, tag)
        return {
            "device": number,
            "sequence": 1,
            "previous": hexadecimal(previous),
            "entries": [{"digest": hexadecimal(data), "tag": hexadecimal(tag)}],
            "signature": hexadecimal(self.signer.sign(encode("head", self.head)).signature),
        }


def hexadecimal(raw):
    return "0x" + raw.hex()
