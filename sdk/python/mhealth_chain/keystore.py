# SPDX-License-Identifier: Apache-2.0
"""A key in a file, for servers and desktops. Keep it out of backups: a store that is restored without it cannot be opened."""

import os
import secrets

from .native.mhealth import KeyFault, KeystoreHost, unwrap_with_key, wrap_with_key

_LENGTH = 32


class FileKeystore(KeystoreHost):
    """Wraps with 32 random bytes in a file that only its owner reads."""

    def __init__(self, path):
        self._path = os.fspath(path)

    def wrap(self, secret):
        try:
            return wrap_with_key(self._key() or self._made(), secret)
        except OSError as error:
            raise KeyFault.Failed(reason=str(error)) from error

    def unwrap(self, wrapped):
        try:
            key = self._key()
        except OSError as error:
            raise KeyFault.Failed(reason=str(error)) from error
        if key is None:
            raise KeyFault.Foreign()
        return unwrap_with_key(key, wrapped)

    def _key(self):
        try:
            with open(self._path, "rb") as file:
                key = file.read(_LENGTH + 1)
        except FileNotFoundError:
            return None
        # Written by somebody else, or not to its end.
        if len(key) != _LENGTH:
            raise KeyFault.Foreign()
        return key

    def _made(self):
        """A new key, durable before anything is wrapped with it."""
        key = secrets.token_bytes(_LENGTH)
        begun = f"{self._path}.{secrets.token_hex(8)}"
        descriptor = os.open(begun, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        os.replace(begun, self._path)
        folder = os.open(os.path.dirname(os.path.abspath(self._path)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return key
