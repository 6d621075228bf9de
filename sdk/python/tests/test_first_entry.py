# SPDX-License-Identifier: Apache-2.0
"""The example program."""

import copy
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from mhealth_chain import Phone, first_entry

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
import study  # noqa: E402


class FirstEntry(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_at(self, played, code):
        """The program at a study that is played. Gives its status, and what it prints and complains."""
        program = [sys.executable, "-m", "mhealth_chain.first_entry", self.folder, played.url, code, "--trust-relays"]
        ended = subprocess.run(program, capture_output=True, text=True, timeout=60)
        return ended.returncode, ended.stdout, ended.stderr

    def test_it_registers_an_entry_and_ends(self):
        played = study.Study()
        self.addCleanup(played.close)
        # Relays' words are no proof, so that nothing is called safe.
        self.assertEqual(self.run_at(played, played.code()), (0, "Everything is registered. There is nothing to do.\n", ""))
        report = played.report()
        self.assertEqual((report["devices"], report["final"], report["faults"]), (1, 1, []))

    def test_it_explains_a_code_that_is_none_and_fails(self):
        played = study.Study()
        self.addCleanup(played.close)
        status, said, complained = self.run_at(played, "no code")
        self.assertEqual((status, said), (1, ""))
        self.assertRegex(complained, "^This is not a complete code[.]")
        self.assertEqual(played.report()["met"], {})

    def test_it_says_that_data_are_safe_when_all_of_them_are_proved_and_at_no_other_time(self):
        with Phone.in_folder(self.folder) as phone:
            safe = phone.status()
        safe.queued, safe.stopped, safe.proved_in = 0, None, 12
        self.assertIn("safe", first_entry.told(safe, "advice"))
        for name, value in (("queued", 1), ("left_behind", 1), ("stopped", "foreign_head"), ("proved_in", None)):
            other = copy.copy(safe)
            setattr(other, name, value)
            self.assertEqual(first_entry.told(other, "advice"), "advice")


if __name__ == "__main__":
    unittest.main()
