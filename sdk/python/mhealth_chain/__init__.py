# SPDX-License-Identifier: Apache-2.0
"""The phone's part of mHealth Chain: enrols, seals, sends, proves. See README.md."""

from .errors import MHealthError
from .keystore import FileKeystore
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
