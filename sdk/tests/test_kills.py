# SPDX-License-Identifier: Apache-2.0
"""Phones that are killed while they seal, at points that a seed chooses: `python3 -m unittest test_kills`. Kills of pages are in
`sdk/typescript/test/browser.test.js`."""

import os
import random
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

import office

KILLS = int(os.environ.get("KILLS", "50"))
PHONE = Path(__file__).resolve().parent / "phone"


class Kills(unittest.TestCase):
    def killed(self, language):
        server = office.opened()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        code = office.code()
        chance = random.Random(23)
        reported = 0
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(KILLS + 1):
                program = subprocess.Popen(
                    [PHONE, "sealing", language, Path(folder) / "phone", server.url, code], stdout=subprocess.PIPE, text=True
                )
                found, outcome = program.stdout.readline().split()
                found = int(found)
                self.assertGreaterEqual(found, reported, "lost")
                self.assertLessEqual(found, reported + 1)
                self.assertEqual(outcome, "before" if found else "new", "doubled")
                sealed = [int(program.stdout.readline()) for _ in range(chance.randint(1, 4))]
                # In the middle of the next one, wherever that is.
                threading.Event().wait(chance.random() / 200)
                program.kill()
                rest = program.communicate()[0]
                # A last line without an end was not said.
                sealed += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
                self.assertEqual(sealed, list(range(found + 1, found + 1 + len(sealed))), "none twice, none left out")
                reported = sealed[-1]
        print(f"{language}: {KILLS} kills, 0 lost, 0 doubled of {reported}")

    def test_python(self):
        self.killed("python")

    def test_kotlin(self):
        self.killed("kotlin")

    def test_node(self):
        self.killed("node")


if __name__ == "__main__":
    unittest.main()
