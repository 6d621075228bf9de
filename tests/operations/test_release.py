# SPDX-License-Identifier: Apache-2.0
"""What `scripts/release` makes of the commit that is checked out, from the programs that are built."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from programs import ROOT, built

# Of each program the package that it is of.
PROGRAMS = {
    "mhealth": "mhealth-founders",
    "mhealth-auditor": "mhealth-auditor",
    "mhealth-auth": "mhealth-auth",
    "mhealth-data": "mhealth-dataset",
    "mhealth-device": "mhealth-simulator",
    "mhealth-node": "mhealth-node",
    "mhealth-relay": "mhealth-relay",
}
PACKAGES = ("mhealth", "mhealth-auditor", "mhealth-auth", "mhealth-data", "mhealth-node", "mhealth-relay")


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)


@unittest.skipUnless(shutil.which("cargo-deb"), "cargo-deb is not installed")
class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="mhealth-release-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        # Of a clone, with whatever is changed here as its latest commit: a release is made of commits alone.
        cls.tree = cls.folder / "tree"
        run("git", "clone", "--quiet", "--shared", ROOT, cls.tree, check=True)
        changes = subprocess.run(["git", "diff", "--binary", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        if changes:
            subprocess.run(["git", "apply", "--index"], cwd=cls.tree, input=changes, check=True)
            who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
            run("git", *who, "commit", "--quiet", "--message=what is changed here", cwd=cls.tree, check=True)
        cls.output = cls.folder / "release"
        cls.done = run(cls.tree / "scripts/release", "--built", "--output", cls.output)

    def setUp(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)

    def archive(self, ending):
        (file,) = self.output.glob(f"mhealth-chain-*{ending}")
        return file

    def text(self, name):
        with tarfile.open(self.archive("linux-gnu.tar.gz")) as archive:
            root = archive.getnames()[0].split("/")[0]
            return archive.extractfile(f"{root}/{name}").read().decode()

    def test_every_file_has_its_checksum(self):
        sums = dict(line.split("  ")[::-1] for line in (self.output / "SHA256SUMS").read_text().splitlines())
        files = {file.name for file in self.output.iterdir()} - {"SHA256SUMS"}
        self.assertEqual(set(sums), files)
        for name, digest in sums.items():
            self.assertEqual(hashlib.sha256((self.output / name).read_bytes()).hexdigest(), digest, name)

    def test_the_archive_has_programs_texts_pages_and_no_name_of_this_machine(self):
        with tarfile.open(self.archive("linux-gnu.tar.gz")) as archive:
            names = archive.getnames()
            root = names[0].split("/")[0]
            for name in (
                *(f"bin/{program}" for program in PROGRAMS),
                *("LICENSE", "README.md", "CHANGELOG.md", "COMMIT", "THIRD-PARTY-LICENCES.txt"),
                *("man/man1/mhealth-auditor-key-split.1", "completions/mhealth.bash", "docs/operating/README.md"),
                *("packaging/systemd/mhealth-node.service", "packaging/monitoring/alarms.yml"),
            ):
                self.assertIn(f"{root}/{name}", names)
            self.assertTrue(all(member.uid == member.gid == 0 and not member.uname for member in archive))
        commit = run("git", "rev-parse", "HEAD", cwd=self.tree).stdout
        self.assertEqual(self.text("COMMIT"), commit)

    def test_the_licence_of_every_dependency_is_there_with_its_text(self):
        licences = self.text("THIRD-PARTY-LICENCES.txt")
        for text in ("GNU GENERAL PUBLIC LICENSE", "As a special exception", "Permission is hereby granted", "sc-cli 0."):
            self.assertIn(text, licences)
        bill = json.loads(self.archive(".cdx.json").read_text())
        dependencies = {f"{each['name']} {each['version']}" for each in bill["components"] if "purl" in each}
        mark = f"{'-' * 40} text "
        head, *texts = licences.split(f"\n{mark}")
        there = {text.split("\n")[0] for text in texts if text.split("\n", 1)[1].strip()}
        named = {}
        for entry in head.split(f"{'=' * 100}\n")[1:]:
            name = entry.split(": ")[0]
            named[name] = set(re.findall(r"(?m)^.+: text (\d+)$", entry))
            self.assertTrue(named[name] and named[name] <= there, entry)
        self.assertEqual(set(named), dependencies)

    def test_the_bill_of_materials_names_what_the_lock_file_does(self):
        bill = json.loads(self.archive(".cdx.json").read_text())
        self.assertEqual((bill["bomFormat"], bill["specVersion"]), ("CycloneDX", "1.6"))
        lock = (ROOT / "Cargo.lock").read_text()
        packages = [each for each in bill["components"] if "purl" in each]
        self.assertGreater(len(packages), 500)
        for package in packages:
            (checksum,) = package["hashes"]
            self.assertIn(f'checksum = "{checksum["content"]}"', lock, package["name"])
            self.assertTrue(package.get("licenses") or package["name"] in ("ring",), package["name"])
        applications = {each["name"] for each in bill["components"] if each["type"] == "application"}
        self.assertEqual(applications, set(PROGRAMS.values()))
        known = {each["bom-ref"] for each in bill["components"]} | {"mhealth-chain"}
        for each in bill["dependencies"]:
            self.assertLessEqual({each["ref"], *each.get("dependsOn", ())}, known)

    def test_the_runtime_is_the_one_that_the_nodes_have(self):
        runtime = self.archive("-runtime.wasm").read_bytes()
        digest = hashlib.sha256(runtime).hexdigest()
        self.assertIn(f"runtime_sha256={digest}", self.done.stdout.splitlines()[-1])
        # The one by which members vote on it.
        code_hash = hashlib.blake2b(runtime, digest_size=32).hexdigest()
        self.assertIn(f"code_hash=0x{code_hash}", self.done.stdout.splitlines()[-1])
        specification = self.folder / "dev.json"
        run(built("mhealth-node"), "export-chain-spec", "--chain=dev", "--raw", f"--output={specification}", check=True)
        code = json.loads(specification.read_text())["genesis"]["raw"]["top"]["0x3a636f6465"]
        self.assertEqual(bytes.fromhex(code[2:]), runtime)

    def test_packages_have_programs_units_and_licences(self):
        for name in PACKAGES:
            (package,) = self.output.glob(f"{name}_*.deb")
            root = self.folder / "packages" / name
            root.mkdir(parents=True)
            run("dpkg-deb", "--extract", package, root, check=True)
            self.assertTrue((root / "usr/bin" / name).exists(), name)
            self.assertTrue((root / "usr/share/doc" / name / "THIRD-PARTY-LICENCES.txt").exists(), name)
            # cargo-deb puts units into the first folder from version 3.3 on, into the second before; systemd reads both.
            folders = (root / "usr/lib/systemd/system", root / "lib/systemd/system")
            unit = any((folder / f"{name}.service").exists() for folder in folders)
            self.assertEqual(unit, name in ("mhealth-node", "mhealth-auth", "mhealth-relay"), name)
            fields = run("dpkg-deb", "--field", package).stdout
            self.assertIn("\nDepends: ", fields)
        shared = self.folder / "packages" / "mhealth" / "usr/share"
        # Packed or not, as cargo-deb's version does it.
        pages = {file.name.removesuffix(".gz") for file in (shared / "man/man1").iterdir()}
        with tarfile.open(self.archive("linux-gnu.tar.gz")) as archive:
            paths = map(pathlib.PurePath, archive.getnames())
            self.assertEqual(pages, {path.name for path in paths if path.parent.name == "man1"})
        for completion in (
            "bash-completion/completions/mhealth",
            "zsh/vendor-completions/_mhealth",
            "fish/vendor_completions.d/mhealth.fish",
        ):
            self.assertIn("mhealth", (shared / completion).read_text())

    def test_sources_are_there_for_what_is_under_the_gpl(self):
        with tarfile.open(self.archive("-sources.tar")) as archive:
            names = {pathlib.PurePath(name).name for name in archive.getnames()}
        self.assertTrue(any(name.startswith("sc-service-") and name.endswith(".crate") for name in names))
        self.assertIn("Cargo.lock", names)

    def test_a_changed_checkout_and_a_folder_that_is_there_are_refused(self):
        again = run(self.tree / "scripts/release", "--built", "--output", self.output)
        self.assertEqual(again.returncode, 1)
        self.assertIn("is there already", again.stderr)
        # One that fails leaves nothing that looks like a release.
        tools = self.folder / "tools"
        tools.mkdir()
        (tools / "gzip").symlink_to("/bin/false")
        failing = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        failed = run(self.tree / "scripts/release", "--built", "--output", self.folder / "failed", env=failing)
        self.assertNotEqual(failed.returncode, 0)
        self.assertEqual(list(self.folder.glob("failed*")), [])
        (self.tree / "README.md").write_text("changed")
        changed = run(self.tree / "scripts/release", "--built", "--output", self.folder / "other")
        self.assertEqual(changed.returncode, 1)
        self.assertIn("changes that no commit has", changed.stderr)


if __name__ == "__main__":
    unittest.main()
