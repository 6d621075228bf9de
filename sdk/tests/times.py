# SPDX-License-Identifier: Apache-2.0
"""One phone, for `seal_times.py`: `times.py FOLDER AUTHENTICATION-SERVER CODE NIGHTS`. Prints as JSON how many milliseconds each seal took."""

import contextlib
import json
import sys
import time
from bisect import bisect_left
from pathlib import Path

from mhealth_chain import FileKeystore, MHealthError, Phone, StoredPair
from mhealth_chain.native.mhealth import StoreHost


class MemoryStore(StoreHost):
    """A store that is gone with the program."""

    def __init__(self):
        self._values = {}
        # In their order.
        self._keys = []

    def get(self, key):
        return self._values.get(key)

    def scan(self, _from, until, most):
        keys = self._keys[bisect_left(self._keys, _from) : bisect_left(self._keys, until)]
        return [StoredPair(key=key, value=self._values[key]) for key in keys[:most]]

    def apply(self, writes):
        for write in writes:
            place, known = bisect_left(self._keys, write.key), write.key in self._values
            if write.value is not None:
                self._values[write.key] = write.value
                if not known:
                    self._keys.insert(place, write.key)
            elif known:
                del self._values[write.key], self._keys[place]


def main(folder, authentication, code, nights):
    with Phone(MemoryStore(), FileKeystore(Path(folder) / "phone.key")) as phone:
        # The server never enrols. What it says of the code is enough to seal.
        with contextlib.suppress(MHealthError):
            phone.enrol(authentication, code, timeout=2)
        times = []
        for night in range(1, int(nights) + 1):
            payload = json.dumps({"night": night, "notes": "x" * 1000}).encode()
            begun = time.perf_counter()
            phone.seal(f"night {night}", "application/json", payload)
            times.append(1000 * (time.perf_counter() - begun))
        print(json.dumps(times))


if __name__ == "__main__":
    main(*sys.argv[1:])
