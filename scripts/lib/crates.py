# SPDX-License-Identifier: Apache-2.0
"""What the programs of a release are made of, by cargo's own account.

`crates.py programs` prints the names of the programs, `crates.py packages` those of the packages of which there are Debian packages.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The programs that are given out, and the packages that they are of.
PROGRAMS = {
    "mhealth-node": "mhealth-node",
    "mhealth-auth": "mhealth-auth",
    "mhealth-relay": "mhealth-relay",
    "mhealth-device": "mhealth-simulator",
    "mhealth-auditor": "mhealth-auditor",
    "mhealth-data": "mhealth-dataset",
    "mhealth": "mhealth-founders",
}
SHIPPED = tuple(PROGRAMS.values())


def host():
    """The kind of machine that this one is."""
    said = subprocess.run(["rustc", "-vV"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return next(line.removeprefix("host: ") for line in said.splitlines() if line.startswith("host: "))


def metadata(option):
    """What cargo says of the workspace."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", option]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)


class Tree:
    """Packages that are linked into the programs, or run while they are built, each with what it depends on."""

    def __init__(self):
        read = metadata(f"--filter-platform={host()}")
        packages = {package["id"]: package for package in read["packages"]}
        nodes = {node["id"]: node for node in read["resolve"]["nodes"]}
        shipped = [each for each in read["workspace_members"] if packages[each]["name"] in SHIPPED]
        assert len(shipped) == len(SHIPPED), "a program is missing from the workspace"
        self.packages, self.dependencies, waiting = {}, {}, list(shipped)
        while waiting:
            each = waiting.pop()
            if each in self.packages:
                continue
            self.packages[each] = packages[each]
            # What only tests need is not part of a program.
            needed = [
                dependency["pkg"]
                for dependency in nodes[each]["deps"]
                if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
            ]
            self.dependencies[each] = needed
            waiting += needed
        lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
        self.checksums = {(each["name"], each["version"]): each.get("checksum") for each in lock["package"]}
        self.version = packages[shipped[0]]["version"]
        self.shipped = shipped

    def foreign(self):
        """Packages of others, by name and version."""
        others = (package for package in self.packages.values() if package["source"])
        return sorted(others, key=lambda package: (package["name"], package["version"]))

    def checksum(self, package):
        return self.checksums.get((package["name"], package["version"]))


def with_debian_packages():
    """Names of the packages whose manifests say what is in one of Debian."""
    workspace = metadata("--no-deps")["packages"]
    has_one = {package["name"] for package in workspace if "deb" in (package["metadata"] or {})}
    return [name for name in SHIPPED if name in has_one]


def folder(package):
    return pathlib.Path(package["manifest_path"]).parent


def licence(package):
    """The licence as an expression of SPDX. Old crates write a slash for `OR`; some name a file only."""
    text = package["license"]
    return re.sub(r"\s*/\s*", " OR ", text) if text else None


if __name__ == "__main__":
    lists = {"programs": lambda: PROGRAMS, "packages": with_debian_packages}
    print(*lists[sys.argv[1]](), sep="\n")
