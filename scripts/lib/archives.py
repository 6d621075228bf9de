#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints where cargo keeps the archive of every dependency, as the registry has it. Each is compared with its checksum in Cargo.lock."""

import hashlib
import sys

import crates


def main():
    tree = crates.Tree()
    for package in tree.foreign():
        # …/registry/src/INDEX/NAME-VERSION beside …/registry/cache/INDEX/NAME-VERSION.crate
        unpacked = crates.folder(package)
        archive = unpacked.parents[2] / "cache" / unpacked.parent.name / f"{unpacked.name}.crate"
        if not archive.exists() or hashlib.sha256(archive.read_bytes()).hexdigest() != tree.checksum(package):
            print(f"{archive} is not there, or is not what Cargo.lock has: cargo fetch --locked", file=sys.stderr)
            return 1
        print(archive)
    return 0


if __name__ == "__main__":
    sys.exit(main())
