# SPDX-License-Identifier: Apache-2.0
"""How `scripts/test` counts what other programs print, and that some run of it has every step."""

import re
import subprocess
import unittest

from programs import ROOT

# What each prints at the end, and how many passed, failed and were skipped.
ENDS = (
    ("test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.01s", (12, 0, 0)),
    ("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s", (4, 2, 0)),
    ("     Summary [ 12.345s] 20 tests run: 18 passed (1 slow), 1 failed, 1 timed out, 5 skipped", (18, 2, 0)),
    ("Ran 9 tests in 0.001s\n\nOK", (9, 0, 0)),
    ("Ran 9 tests in 0.001s\n\nOK (skipped=7)", (2, 0, 7)),
    ("Ran 1 test in 0.001s\n\nOK (skipped=1)", (0, 0, 1)),
    ("Ran 9 tests in 0.001s\n\nFAILED (failures=1, errors=2, skipped=3)", (3, 3, 3)),
    ("Ran 9 tests in 0.001s\n\nFAILED (failures=4)", (5, 4, 0)),
    ("ℹ tests 7\nℹ pass 5\nℹ fail 0\nℹ cancelled 0\nℹ skipped 2", (5, 0, 2)),
)


class Results(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        script = (ROOT / "scripts" / "test").read_text()
        cls.count = re.search(r"^count\(\) \{.*?^\}", script, re.S | re.M)[0]

    def counted(self, text):
        command = ["bash", "-c", f"{self.count}\ncount /dev/stdin"]
        done = subprocess.run(command, input=text + "\n", capture_output=True, text=True, check=True)
        return tuple(int(number) for number in done.stdout.split())

    def test_each_program_is_understood(self):
        for text, expected in ENDS:
            self.assertEqual(self.counted(text), expected, text)

    def test_what_was_skipped_did_not_pass(self):
        everything = "\n".join(text for text, _ in ENDS)
        sums = tuple(sum(column) for column in zip(*(expected for _, expected in ENDS)))
        self.assertEqual(self.counted(everything), sums)


class Steps(unittest.TestCase):
    def test_every_step_is_in_everything_or_in_what_is_long(self):
        script = (ROOT / "scripts" / "test").read_text()
        listed = lambda name: re.search(rf"^{name}=\((.*)\)$", script, re.M)[1].split()
        everything, long = listed("all_steps"), listed("more_steps")
        self.assertEqual(sorted(everything + long), sorted(re.findall(r"(?m)^step_([a-z-]+)\(\)", script)))
        self.assertLessEqual(set(listed("quick_steps")), set(everything))
        self.assertIn('--long) set -- "${more_steps[@]}"', script)


if __name__ == "__main__":
    unittest.main()
