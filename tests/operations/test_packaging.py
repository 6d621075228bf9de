# SPDX-License-Identifier: Apache-2.0
"""systemd's units, the files that packages put beside them, and what is in an image."""

import ipaddress
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

from programs import PACKAGING, ROOT, built

UNITS = sorted((PACKAGING / "systemd").glob("*.service"))
# Of 10; systemd calls less than 3 "OK". In tenths, as --threshold has it.
MOST_EXPOSURE = 30
# What names the file itself, and secrets, which are refused there.
NOT_IN_A_FILE = {"config", "help", "version", "account", "key-secret", "oidc-client-secret"}


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)


def exposure(unit):
    """In tenths, as `systemd-analyze security` judges the file alone."""
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return round(float(found[1]) * 10)


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
class Units(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mhealth-units-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def copy(self, unit, change=lambda text: text):
        """A copy that names a program which this machine has: verify looks for it."""
        text = re.sub(r"/usr/bin/mhealth-\w+", "/bin/true", unit.read_text())
        copy = self.folder / unit.name
        copy.write_text(change(text))
        return copy

    def test_systemd_understands_every_line(self):
        self.assertEqual([unit.stem for unit in UNITS], ["mhealth-auth", "mhealth-node", "mhealth-relay"])
        for unit in UNITS:
            done = run("systemd-analyze", "verify", "--man=no", self.copy(unit))
            self.assertEqual((done.returncode, done.stderr), (0, ""), unit.name)

    def test_what_systemd_does_not_understand_is_found(self):
        wrong = self.copy(UNITS[0], lambda text: text.replace("PrivateTmp=yes", "PrivateTemp=yes"))
        done = run("systemd-analyze", "verify", "--man=no", wrong)
        self.assertIn("Unknown key", done.stderr)

    def test_no_program_is_more_exposed_than_it_must_be(self):
        for unit in UNITS:
            self.assertLessEqual(exposure(self.copy(unit)), MOST_EXPOSURE, unit.name)
            bare = lambda text: re.sub(r"(?m)^(Protect|Private|Restrict|System|Capability|NoNew)\w*=.*\n", "", text)
            self.assertGreater(exposure(self.copy(unit, bare)), MOST_EXPOSURE, unit.name)

    def test_programs_write_only_into_their_own_folders(self):
        for unit in UNITS:
            text = unit.read_text()
            for line in ("ProtectSystem=strict", f"StateDirectory={unit.stem}", f"User={unit.stem}", "UMask=0077"):
                self.assertIn(f"\n{line}\n", text, unit.name)
            self.assertNotRegex(text, r"ReadWritePaths|BindPaths")

    def test_packages_make_the_users_that_units_name(self):
        for unit in UNITS:
            name = unit.stem.removeprefix("mhealth-")
            script = PACKAGING / "debian" / name / "postinst"
            self.assertIn(f" {unit.stem}\n", script.read_text())
            self.assertTrue(os.access(script, os.X_OK))
            self.assertEqual(run("sh", "-n", script).returncode, 0)
            manifest = (ROOT / name / "Cargo.toml").read_text()
            self.assertIn(f'maintainer-scripts = "../packaging/debian/{name}"', manifest)


class Configuration(unittest.TestCase):
    def test_the_servers_understand_their_files(self):
        for name in ("auth", "relay"):
            config = PACKAGING / "config" / f"{name}.toml"
            program = built(f"mhealth-{name}")
            # Its database cannot be made here, and it has no account: the file itself is understood all the same.
            done = run(program, "--config", config, "doctor", "--json", cwd="/")
            self.assertNotIn("invalid_option", done.stdout + done.stderr)
            self.assertIn('"account"', done.stdout, done.stderr)
            wrong = config.read_text() + "\nlisten-at = 1\n"
            with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
                file.write(wrong)
                file.flush()
                done = run(program, "--config", file.name, "doctor", "--json", cwd="/")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("listen-at", done.stdout + done.stderr)

    def test_the_files_name_every_option_and_an_example_that_is_understood(self):
        documents = "\n".join(path.read_text() for path in (ROOT / "docs" / "operating").glob("*.md"))
        for name in ("auth", "relay"):
            program = built(f"mhealth-{name}")
            shown = run(program, "--help").stdout
            options = set(re.findall(r"(?m)^ {2,6}(?:-\w, )?--([a-z][a-z-]+)", shown)) - NOT_IN_A_FILE
            self.assertGreater(len(options), 30, shown)
            text = (PACKAGING / "config" / f"{name}.toml").read_text()
            named = re.findall(r"(?m)^(?:# )?([a-z][a-z-]+) = ", text)
            self.assertEqual(sorted(named), sorted(options), name)
            # And the documents say what each is for.
            for option in options:
                said = rf"--{option}(?![a-z-])|`{option}`|(?m:^){option} = |`{option} = "
                self.assertRegex(documents, said, f"no document names --{option} of mhealth-{name}")
            # With every example in force.
            whole = re.sub(r"(?m)^# (?=[a-z][a-z-]+ = )", "", text).replace("0x…", "0x" + "11" * 32)
            with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
                file.write(whole)
                file.flush()
                done = run(program, "--config", file.name, "doctor", "--json", cwd="/")
            self.assertIn('"account"', done.stdout, done.stderr)

    def test_the_node_knows_every_option_that_its_unit_and_the_documents_give(self):
        texts = [(PACKAGING / "systemd" / "mhealth-node.service").read_text()]
        texts.append((PACKAGING / "config" / "node.env").read_text())
        # Its last section is about servers.
        texts.append((ROOT / "docs/operating/networks.md").read_text().split("## Before relays")[0])
        known = run(built("mhealth-node"), "--help").stdout
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(texts))) - {"--help", "--admin-listen"}
        self.assertGreater(len(options), 15)
        for option in options:
            self.assertRegex(known, rf"{option}\b")


def compose():
    return yaml.safe_load((PACKAGING / "container" / "compose.yaml").read_text())


class Images(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mhealth-image-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def test_an_image_has_a_program_and_no_shell(self):
        for name in ("mhealth-node", "mhealth-auth", "mhealth-relay"):
            root = self.folder / name
            done = run(PACKAGING / "container" / "root", built(name), root)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertFalse((root / "bin").exists() or (root / "usr/bin/sh").exists(), "there is no shell")
            again = run(PACKAGING / "container" / "root", built(name), root)
            self.assertEqual((again.returncode, again.stderr.strip()), (1, f"{root} is there already"))

    @unittest.skipUnless(os.geteuid() == 0, "only root may chroot")
    def test_a_program_runs_with_nothing_but_what_is_in_its_image(self):
        for name in ("mhealth-node", "mhealth-auth", "mhealth-relay"):
            root = self.folder / name
            run(PACKAGING / "container" / "root", built(name), root, check=True)
            done = run("chroot", "--userspec=65532:65532", root, "/program", "--version")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"^\S+ \d+\.\d+\.\d+")

    def test_the_containerfile_takes_what_was_put_together(self):
        text = (PACKAGING / "container" / "Containerfile").read_text()
        self.assertIn("\nFROM scratch\n", text)
        self.assertIn('ENTRYPOINT ["/program"]', text)
        self.assertIn("\nUSER 65532:65532\n", text)

    def test_the_programs_know_every_option_that_the_compose_file_gives(self):
        services = compose()["services"]
        self.assertEqual(sorted(services), ["auth", "node", "relay"])
        for name, service in services.items():
            self.assertEqual(service["image"], f"mhealth-{name}")
            known = run(built(service["image"]), "--help").stdout
            options = [option.split("=")[0] for option in service["command"]]
            self.assertGreater(len(options), 3, name)
            for option in options:
                self.assertRegex(known, rf"(?m)^ +(?:-\w, )?{re.escape(option)}(?![\w-])", name)

    def test_what_the_compose_file_names_is_there_and_nothing_else_can_be_written(self):
        whole = compose()
        for name, service in whole["services"].items():
            self.assertIs(service["read_only"], True, name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertLessEqual(set(service.get("depends_on", ())), set(whole["services"]), name)
            places = set()
            for volume in service["volumes"]:
                source, place, *how = volume.split(":")
                places.add(place)
                if source.startswith("./"):
                    self.assertEqual(how, ["ro"], volume)
                else:
                    self.assertEqual((source in whole["volumes"], place), (True, "/var/lib/mhealth"), volume)
            for option in service["command"]:
                path = option.partition("=")[2].removeprefix("sqlite:")
                if path.startswith("/"):
                    self.assertTrue(places & {path, os.path.dirname(path)}, option)

    def test_the_servers_believe_the_proxy_of_their_own_network_and_nobody_else(self):
        text = (PACKAGING / "container" / "compose.yaml").read_text()
        gateway = re.findall(r"(?m)^ +gateway: (\S+)$", text)
        self.assertEqual(len(gateway), 1)
        trusted = re.findall(r"--trusted-proxy=(\S+)", text)
        self.assertEqual(trusted, gateway * text.count("--behind-tls-proxy"))
        subnet = re.search(r"(?m)^ +- subnet: (\S+)$", text)[1]
        self.assertIn(ipaddress.ip_address(gateway[0]), ipaddress.ip_network(subnet))


if __name__ == "__main__":
    unittest.main()
