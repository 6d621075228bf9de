# SPDX-License-Identifier: Apache-2.0
"""How long a seal takes in each language: `python3 sdk/tests/seal_times.py [python|kotlin|node|chromium]…` after `sdk/build`.

Each seals 200 nights of a kilobyte one after the other, as they are (`plain`) and to a participant's key (`hpke`), with a store in memory, so
that no disk is measured. Nothing is left out: the first seals of a program that was just started count, too. Says where half of the seals
take longer than the aim, and fails where they take ten times as long: a machine may be slow. It may have other work, too, so a language
that misses the aim is measured again, three times at most.
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

# What half of the seals are to take at most, in milliseconds.
AIMS = {"python": 1, "kotlin": 1, "node": 1, "chromium": 5}
ENVELOPES = {"plain": b"", "hpke": office.KEY}
# What takes so many times as long as it is to take is a fault, on whatever machine.
FAULT = 10
NIGHTS = 200
TRIES = 3
PHONE = Path(__file__).resolve().parent / "phone"


def measured(language, server):
    """Milliseconds that the seals of one phone took, the shortest first."""
    with tempfile.TemporaryDirectory() as folder:
        command = [PHONE, "times", language, folder, server.url, office.code(server.key), str(NIGHTS)]
        # Any free port is good for the page.
        environment = os.environ | {"PAGE_PORT": "0"}
        said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    times = sorted(json.loads(said.splitlines()[-1]))
    assert len(times) == NIGHTS, f"{language}: {len(times)} seals"
    return times


def median_of(language, envelope, server):
    """The median of the first try that meets the aim, or else of the fastest."""
    medians = []
    for _ in range(TRIES):
        times = measured(language, server)
        median, p99 = statistics.median(times), times[math.ceil(0.99 * NIGHTS) - 1]
        print(f"{language} {envelope}: nights={NIGHTS} seal_ms_median={median:.3f} seal_ms_p99={p99:.3f}", flush=True)
        medians.append(median)
        if median <= AIMS[language]:
            break
    return min(medians)


def main(languages):
    medians = {}
    for envelope, key in ENVELOPES.items():
        server = office.opened(key=key)
        for language in languages:
            medians[language, envelope] = median_of(language, envelope, server)
    slower = {case: median / AIMS[case[0]] for case, median in medians.items()}
    late = [f"{' '.join(case)} ({factor:.2f} times)" for case, factor in slower.items() if factor > 1]
    if late:
        print(f"more than the aim: {', '.join(late)}")
    if any(factor > FAULT for factor in slower.values()):
        sys.exit(f"more than {FAULT} times the aim")


if __name__ == "__main__":
    main(sys.argv[1:] or AIMS)
