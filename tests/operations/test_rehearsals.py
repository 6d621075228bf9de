# SPDX-License-Identifier: Apache-2.0
"""How `scripts/follow` follows a document, with commands of the shell alone."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from programs import ROOT


class Rehearsals(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mhealth-rehearsal-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.page = self.folder / "page.md"

    def run_script(self, *command):
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            env={**os.environ, "TMPDIR": str(self.folder)},
        )

    def follow(self, *blocks, within=60):
        """Follows a page with these blocks; `timeout` ends it as it ends those of `scripts/test`."""
        self.page.write_text("".join(f"Type:\n\n```sh\n{block}\n```\n\n" for block in blocks))
        return self.run_script("timeout", f"{within}s", ROOT / "scripts/follow", self.page)

    def test_blocks_run_where_they_say(self):
        done = self.follow("# at each of north south\necho $ORG > $ORG.name", "# at east\ncat north.name south.name")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("  | north\n  | south\n", done.stdout)
        self.assertIn("followed=1 blocks=2 ", done.stdout.splitlines()[-1])

    def test_the_first_command_that_fails_ends_it(self):
        done = self.follow("# at south\nfalse\necho on", "echo later")
        self.assertEqual(done.returncode, 1)
        self.assertIn("A command failed at south.", done.stdout)
        self.assertNotIn("| on", done.stdout)
        self.assertNotIn("later", done.stdout)

    def test_what_hangs_is_ended_with_the_last_words_of_the_services(self):
        log = "echo it waits for three >> $FOLLOW_WORLD/log/north.mhealth-node"
        done = self.follow(f"# at north\n{log}", "# at centre\necho waiting\nuntil false; do sleep 1; done", within=10)
        self.assertEqual(done.returncode, 124)
        self.assertIn("Time is up.", done.stderr)
        self.assertIn("| waiting", done.stdout)
        self.assertIn("A command failed at centre.", done.stdout)
        # The centre has no node; that of the first machine serves it.
        self.assertIn("it waits for three", done.stdout)

    def test_a_service_that_ends_at_once_is_told(self):
        done = self.follow("# at centre\nsystemctl start mhealth-relay\necho on")
        self.assertEqual(done.returncode, 1)
        self.assertIn("mhealth-relay ended at once", done.stdout)
        self.assertNotIn("| on", done.stdout)

    def test_a_port_is_nobody_elses_while_nobody_listens_there(self):
        # The same draw twice: what is taken the first time is not the second time.
        twice = "RANDOM=7; take_port; echo $port; RANDOM=7; take_port; echo $port"
        taken = self.run_script("bash", "-c", f". {ROOT}/scripts/lib/machines.sh; {twice}")
        first, second = taken.stdout.split()
        self.assertNotEqual(first, second, taken.stderr)
        locks = self.folder / "mhealth-test-ports"
        self.assertEqual({file.name for file in locks.iterdir()}, {first, second})
        held = self.run_script("bash", "-c", f". {ROOT}/scripts/lib/machines.sh; take_port; flock -n {locks}/$port true")
        self.assertEqual(held.returncode, 1)

    def test_nobody_uses_what_is_on_the_machine_of_another(self):
        for org, command in (
            ("north", "cat harbour/account.secret"),
            ("south", "cat --number south/keys south-2/keys east-2/network.key"),
            ("east", "echo --account-file centre-sponsor-3"),
            ("centre", "echo --account-file west"),
        ):
            done = self.follow(f"# at {org}\necho begun\n{command}")
            self.assertEqual(done.returncode, 1, command)
            self.assertIn(f"another organisation than {org}.", done.stdout)
            self.assertNotIn("| begun", done.stdout)
        mine = "mkdir centre; echo centre/relay.toml centre-relay-2 north.json $ORG/x --relay centre=http://127.0.0.1:1"
        done = self.follow(f"# at centre\n{mine}\nnorth=1; echo $north $north/")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_nothing_to_follow_is_no_success(self):
        self.page.write_text("# Title\n\n```bash\ntrue\n```\n")
        for what in (self.folder / "nowhere.md", f"{self.page}#Elsewhere", self.page):
            done = self.run_script(ROOT / "scripts/follow", what)
            self.assertEqual(done.returncode, 2, what)
            self.assertNotIn("followed=", done.stdout)
            self.assertTrue(done.stderr, what)


if __name__ == "__main__":
    unittest.main()
