# SPDX-License-Identifier: Apache-2.0
"""How long a seal takes in each language: `python3 sdk/tests/seal_times.py [python|kotlin|node|chromium]…` after `sdk/build`.

Each seals 200 nights of a kilobyte one after the other, with a store in memory, so that no disk is measured. Nothing is left out: the first
seals of a program that was just started count, too. Fails when something does not work, and at no time.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import office

LANGUAGES = ("python", "kotlin", "node", "chromium")
NIGHTS = 200
PHONE = Path(__file__).resolve().parent / "phone"


def main(languages):
    server = office.opened()
    for language in languages:
        with tempfile.TemporaryDirectory() as folder:
            command = [PHONE, "times", language, folder, server.url, office.code(), str(NIGHTS)]
            # Any free port is good for the page.
            environment = os.environ | {"PAGE_PORT": "0"}
            said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        times = sorted(json.loads(said.splitlines()[-1]))
        assert len(times) == NIGHTS, f"{language}: {len(times)} seals"
        p99 = times[math.ceil(0.99 * NIGHTS) - 1]
        print(f"{language}: nights={NIGHTS} seal_ms_median={statistics.median(times):.3f} seal_ms_p99={p99:.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or LANGUAGES)
