#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Independent reference for envelopes and escrows of the client hashchain, version 1.

Writes HPKE (RFC 9180, base mode) out in terms of X25519, HMAC and ChaCha20-Poly1305, compares itself with the
RFC's own test vector (A.2.1) and with the HPKE of the `cryptography` package, and prints a vector file:

    python3 envelopes.py [SEED] > envelopes-v1.json

Needs Python 3 and `cryptography` 46 or newer.
"""
import hashlib
import hmac
import json
import random
import sys

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

KEM = b"KEM\x00\x20"
SUITE = b"HPKE\x00\x20\x00\x01\x00\x03"
PAYLOAD = b"mhealth-hashchain/1 payload"
ESCROW = b"mhealth-hashchain/1 escrow"


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def extract(suite, salt, label, ikm):
    return mac(salt, b"HPKE-v1" + suite + label + ikm)


def expand(suite, prk, label, info, length):
    info = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return mac(prk, info + b"\x01")[:length]  # never more than one block here


def public(private):
    return private.public_key().public_bytes_raw()


def seal(recipient, ephemeral, info, aad, plaintext):
    """Encapsulated key and ciphertext."""
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    context = public(ephemeral) + recipient
    shared = expand(KEM, extract(KEM, b"", b"eae_prk", shared), b"shared_secret", context, 32)
    context = b"\x00" + extract(SUITE, b"", b"psk_id_hash", b"") + extract(SUITE, b"", b"info_hash", info)
    secret = extract(SUITE, shared, b"secret", b"")
    key = expand(SUITE, secret, b"key", context, 32)
    nonce = expand(SUITE, secret, b"base_nonce", context, 12)
    return public(ephemeral), ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad)


def check_reference():
    # RFC 9180, A.2.1, first encryption.
    ephemeral = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600"))
    recipient = bytes.fromhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
    encapsulated, ciphertext = seal(recipient, ephemeral, b"Ode on a Grecian Urn", b"Count-0",
                                    b"Beauty is truth, truth beauty")
    assert encapsulated.hex() == "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
    assert ciphertext.hex() == ("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db"
                                "21993c62ce81883d2dd1b51a28")
    # Another implementation, which has no associated data to give.
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    key = X25519PrivateKey.generate()
    sealed = b"".join(seal(public(key), ephemeral, PAYLOAD, b"", b"night"))
    assert suite.decrypt(sealed, key, PAYLOAD) == b"night"


def lp(part):
    return len(part).to_bytes(4, "big") + part


def hashed(label, part):
    return hashlib.sha256(lp(b"mhealth-hashchain/1") + lp(label) + lp(part)).digest()


def main():
    check_reference()
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 9180)
    groups, case = [], 0

    def private():
        return X25519PrivateKey.from_private_bytes(rng.randbytes(32))

    def test(result, comment, **fields):
        nonlocal case
        case += 1
        return {"tcId": case, "comment": comment, "result": result, **fields}

    # 1. the plain form, which anybody parses
    tests = []
    media, payload, noise = b"application/json", b'{"asleep":412}', rng.randbytes(32)
    for name, content in (("with a payload", payload), ("with an empty payload", b"")):
        tests.append(test("valid", name, envelope=b"\x00" + noise + lp(media) + content,
                          random=noise, mediaType=media.decode(), payload=content))
    for error, comment, envelope in (
            ("too-short", "no bytes", b""),
            ("unknown-form", "a form to come", b"\x02" + noise + lp(media) + payload),
            ("too-short", "ends in the random bytes", b"\x00" + noise[:31]),
            ("too-short", "ends in the length of the media type", b"\x00" + noise + lp(media)[:3]),
            ("too-short", "ends in the media type", b"\x00" + noise + lp(media)[:-1]),
            ("too-short", "the media type is said to be longer than all", b"\x00" + noise + b"\xff" * 4 + media),
            ("bad-media-type", "empty media type", b"\x00" + noise + lp(b"") + payload),
            ("bad-media-type", "media type with a line break", b"\x00" + noise + lp(b"text/plain\n") + payload),
            ("bad-media-type", "media type that is no ASCII", b"\x00" + noise + lp("text/plän".encode()) + payload),
            ("bad-media-type", "media type of 256 bytes", b"\x00" + noise + lp(b"a" * 256) + payload)):
        tests.append(test("invalid", comment, envelope=envelope, error=error))
    groups.append({"type": "Plain", "tests": tests})

    # 2. the sealed form
    participant, other, device = private(), private(), rng.randbytes(32)
    sequence = 7
    content = lp(media) + payload

    def envelope(info=PAYLOAD, to=participant, key=device, number=sequence, plaintext=content, form=b"\x01"):
        return form + b"".join(seal(public(to), private(), info, key + number.to_bytes(8, "big"), plaintext))

    good = envelope()
    flipped = good[:60] + bytes([good[60] ^ 1]) + good[61:]
    tests = [test("valid", "an envelope", envelope=good, mediaType=media.decode(), payload=payload),
             test("valid", "an empty payload", envelope=envelope(plaintext=lp(media)),
                  mediaType=media.decode(), payload=b"")]
    for error, comment, sealed in (
            ("undecipherable", "sealed to another participant", envelope(to=other)),
            ("undecipherable", "of another device", envelope(key=rng.randbytes(32))),
            ("undecipherable", "of the entry before", envelope(number=sequence - 1)),
            ("undecipherable", "sealed as an escrow", envelope(info=ESCROW)),
            ("undecipherable", "one bit of the ciphertext changed", flipped),
            ("undecipherable", "last byte cut off", good[:-1]),
            ("undecipherable", "encapsulated key of small order", b"\x01" + bytes(32) + good[33:]),
            ("too-short", "shorter than any ciphertext", good[:48]),
            ("not-sealed", "plain form", b"\x00" + noise + content),
            ("unknown-form", "version byte changed", b"\x03" + good[1:]),
            ("bad-content", "sealed, but not a media type and a payload", envelope(plaintext=payload[:3]))):
        tests.append(test("invalid", comment, envelope=sealed, error=error))
    groups.append({"type": "Sealed", "participantPrivate": participant.private_bytes_raw(),
                   "participantPublic": public(participant), "deviceKey": device, "sequence": sequence,
                   "tests": tests})

    # 3. the escrow
    auditor, secret = private(), rng.randbytes(32)

    def escrow(info=ESCROW, to=auditor, key=device, plaintext=secret, form=b"\x01"):
        return form + b"".join(seal(public(to), private(), info, key, plaintext))

    good = escrow()
    tests = [test("valid", "an escrow", escrow=good, secret=secret)]
    for error, comment, sealed in (
            ("undecipherable", "sealed to another auditor", escrow(to=other)),
            ("undecipherable", "of another device", escrow(key=rng.randbytes(32))),
            ("undecipherable", "sealed as an envelope", escrow(info=PAYLOAD)),
            ("undecipherable", "one bit changed", good[:-1] + bytes([good[-1] ^ 1])),
            ("too-short", "cut off after the encapsulated key", good[:33]),
            ("not-sealed", "plain form", b"\x00" + noise + content),
            ("unknown-form", "version byte changed", b"\x02" + good[1:]),
            ("not-the-secret", "another secret than the one committed to", escrow(plaintext=rng.randbytes(32))),
            ("not-the-secret", "the secret and more", escrow(plaintext=secret + b"\x00"))):
        tests.append(test("invalid", comment, escrow=sealed, error=error))
    groups.append({"type": "Escrow", "auditorPrivate": auditor.private_bytes_raw(),
                   "auditorPublic": public(auditor), "deviceKey": device,
                   "secretCommitment": hashed(b"secret", secret), "tests": tests})

    print(json.dumps({"schema": "envelopes-v1", "generator": "envelopes.py", "numberOfTests": case,
                      "testGroups": groups}, indent=1, default=bytes.hex))


if __name__ == "__main__":
    main()
