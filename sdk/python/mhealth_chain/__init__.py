# SPDX-License-Identifier: Apache-2.0
"""The phone's part of mHealth Chain: enrols, seals, sends, proves. See README.md."""

from .errors import MHealthError
from .keystore import FileKeystore
from .native import mhealth as _native
from .native.mhealth import (
    ChainedEntry,
    Hashed,
    KeyFault,
    Language,
    Origin,
    PhoneStanding,
    PhoneStatus,
    ProvedHead,
    SealedEntry,
    StorageFault,
    StoredPair,
    StoreWrite,
)
from .phone import Phone, ProofReader, check_chain, hash_parts, language_of_tag
from .store import SqliteStore
from .transport import HttpTransport

# What carries credentials, codes or payloads says nothing of them as a text: a log would keep it.
for _record in ("HttpAnswer", "HttpHeader", "HttpRequest", "Origin", "StoreWrite", "StoredPair"):
    getattr(_native, _record).__str__ = lambda self: type(self).__name__

__all__ = [
    "ChainedEntry",
    "FileKeystore",
    "Hashed",
    "HttpTransport",
    "KeyFault",
    "Language",
    "MHealthError",
    "Origin",
    "Phone",
    "PhoneStanding",
    "PhoneStatus",
    "ProofReader",
    "ProvedHead",
    "SealedEntry",
    "SqliteStore",
    "StorageFault",
    "StoreWrite",
    "StoredPair",
    "check_chain",
    "hash_parts",
    "language_of_tag",
]
