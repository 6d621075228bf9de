# SPDX-License-Identifier: Apache-2.0
"""Phones that are killed while they enrol, seal and send, at points that a seed chooses: `python3 -m unittest test_kills`. Kills of pages
are in `sdk/typescript/test/crashes.test.js`."""

import os
import random
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import study

KILLS = int(os.environ.get("KILLS", "50"))
# Of these, while it enrols.
ENROLLING = max(1, KILLS // 10)
# Nothing is final before so many programs have sent it.
OPENINGS = 3
PATIENCE = 60
PHONE = Path(__file__).resolve().parent / "phone"


class Kills(unittest.TestCase):
    def killed(self, language):
        played = study.Study(openings=OPENINGS)
        self.addCleanup(played.close)
        code, chance = played.code(), random.Random(23)
        with tempfile.TemporaryDirectory() as folder:

            def start():
                asked = ["sealing", language, Path(folder) / "phone", played.url, code]
                program = subprocess.Popen([PHONE, *asked], stdout=subprocess.PIPE, text=True)
                self.addCleanup(program.kill)
                return program

            def meets(path, requests):
                before = played.met(path)
                holds = lambda: played.met(path) >= before + requests
                return lambda: self.assertTrue(played.wait(holds, PATIENCE), f"{requests} requests to {path or 'anything'}")

            # Somewhere between what the server hears and what the phone hears of it.
            played.play("withholding")
            for _ in range(ENROLLING):
                met = meets(chance.choice(("/v1/code", "/v1/enrol")), 1)
                program = start()
                met()
                self.assertEqual(killed(program, chance), [])
            played.play("well")

            reported = 0
            for _ in range(KILLS - ENROLLING + 1):
                program = start()
                found, outcome = program.stdout.readline().split()
                found = int(found)
                self.assertGreaterEqual(found, reported, "lost")
                self.assertLessEqual(found, reported + 1)
                self.assertEqual(outcome, "before" if found else "new", "doubled")
                met = meets("", chance.randint(1, 8))
                sealed = [int(program.stdout.readline()) for _ in range(chance.randint(1, 4))]
                # In the middle of the next one, wherever that is; or of what it sends meanwhile.
                if chance.random() < 0.5:
                    met()
                sealed += killed(program, chance)
                self.assertEqual(sealed, list(range(found + 1, found + 1 + len(sealed))), "none twice, none left out")
                reported = sealed[-1]

            played.openings = 1
            program = start()
            program.stdout.readline()
            self.assertTrue(played.wait(lambda: played.final() >= reported, PATIENCE), f"{played.final()} of {reported} are final")
            killed(program, chance)
        report = played.report()
        self.assertEqual(report["faults"], [])
        self.assertEqual((report["devices"], report["enrolments"]), (1, 1))
        self.assertGreaterEqual(report["again"], KILLS // 10)
        print(
            f"{language}: {KILLS} kills, 0 lost, 0 doubled of {reported}; "
            f"{report['again']} of {report['runs']} runs and the enrolment were sent again, with the same bytes"
        )

    def test_python(self):
        self.killed("python")

    def test_kotlin(self):
        self.killed("kotlin")

    def test_node(self):
        self.killed("node")


def killed(program, chance):
    """Kills a program a moment later. Gives what it said since it was heard last; a last line without an end was not said."""
    time.sleep(chance.random() / 200)
    program.kill()
    rest = program.communicate()[0]
    return [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]


if __name__ == "__main__":
    unittest.main()
