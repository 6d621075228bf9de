# SPDX-License-Identifier: Apache-2.0
"""One phone, for `tests/tests/sdk.rs`: `nights.py FOLDER AUTHENTICATION-SERVER CODE NIGHTS`. Prints its status as JSON in the last
line, with the time that the longest sync took, in seconds."""

import json
import sys
import time

from mhealth_chain import MHealthError, Phone

PATIENCE = 240.0
# `tests/tests/sdk.rs` knows it, too.
DEADLINE = 60


def main(folder, authentication, code, nights):
    until = time.monotonic() + PATIENCE
    with Phone.in_folder(folder, copies=2) as phone:
        device = phone.enrol(authentication, code)
        for night in range(1, int(nights) + 1):
            phone.seal(f"night {night}", "application/json", json.dumps({"night": night}).encode())
        longest = 0.0
        while True:
            begun = time.monotonic()
            try:
                if phone.sync(timeout=DEADLINE).state in ("level", "frozen") or time.monotonic() > until:
                    break
            except MHealthError as error:
                print(error, file=sys.stderr)
                if time.monotonic() > until:
                    raise
            finally:
                longest = max(longest, time.monotonic() - begun)
        status = phone.status()
        said = {"device": device, "sealed": status.sealed, "finalised": status.finalised, "block": status.proved_in}
        print(json.dumps(said | {"stopped": status.stopped, "longest": longest}))


if __name__ == "__main__":
    main(*sys.argv[1:])
