# SPDX-License-Identifier: Apache-2.0
"""One phone, for `tests/tests/sdk/`: `nights.py FOLDER AUTHENTICATION-SERVER CODE NIGHTS [SECONDS]`. Sends until all is registered, or
syncs twice for so many seconds, whatever comes of it. Prints its status as JSON in the last line, with the time that the longest
sync took, in seconds."""

import json
import sys
import time

from mhealth_chain import MHealthError, Phone

PATIENCE = 240.0
# `tests/tests/sdk/phone.rs` knows it, too.
DEADLINE = 60
# Syncs of a phone that is told for how long.
TRIES = 2


def main(folder, authentication, code, nights, seconds=None):
    until = time.monotonic() + PATIENCE
    with Phone.in_folder(folder, copies=2) as phone:
        device = phone.enrol(authentication, code)
        for night in range(1, int(nights) + 1):
            phone.seal(f"night {night}", "application/json", json.dumps({"night": night}).encode())
        deadline = float(seconds or DEADLINE)
        longest, tries = 0.0, 0
        while seconds is None or tries < TRIES:
            tries += 1
            begun = time.monotonic()
            try:
                if phone.sync(timeout=deadline).state in ("level", "frozen") or time.monotonic() > until:
                    break
            except MHealthError as error:
                print(error, file=sys.stderr)
                if time.monotonic() > until:
                    raise
            finally:
                longest = max(longest, time.monotonic() - begun)
        status = phone.status()
        said = {"device": device, "sealed": status.sealed, "finalised": status.finalised, "block": status.proved_in}
        print(json.dumps(said | {"stopped": status.stopped, "fault": status.last_fault, "longest": longest}))


if __name__ == "__main__":
    main(*sys.argv[1:])
