#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the licence of every dependency with its text: as its own archive has it, or, where that has none, as SPDX does.

The texts of SPDX are those of packaging/licences. A dependency whose licence has no text anywhere is an error.
"""

import re
import sys

import crates

NAMES = re.compile(r"^(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICEN[CS]E)", re.I)
STANDARD = crates.ROOT / "packaging" / "licences"
# Where one text serves several names.
ALIASES = {
    "GPL-3.0-or-later": "GPL-3.0",
    "GPL-2.0-only": None,  # only ever the other half of an OR
}


def own_texts(package):
    """The texts that the package's archive has, without the same twice."""
    root = crates.folder(package)
    files = sorted(file for file in root.iterdir() if NAMES.match(file.name))
    for file in list(files):
        if file.is_dir():
            files.remove(file)
            files += sorted(each for each in file.iterdir() if each.is_file())
    if package["license_file"]:
        files.append(root / package["license_file"])
    texts = {}
    for file in files:
        texts.setdefault(file.read_text(errors="replace").strip(), file.name)
    return [(name, text) for text, name in texts.items() if text]


def standard_texts(expression):
    """The texts of SPDX that an expression needs: of an OR, the first that is here; of AND and WITH, all."""
    if expression is None:
        return None
    for choice in re.split(r"\s+OR\s+", expression.strip("()")):
        names = re.split(r"\s+(?:AND|WITH)\s+", choice.strip("() "))
        files = [STANDARD / f"{ALIASES.get(name, name)}.txt" for name in names]
        if all(file.exists() for file in files):
            return [(file.name, file.read_text().strip()) for file in files]
    return None


def main():
    tree, missing, shared = crates.Tree(), [], {}
    print("Licences of what the programs of mHealth Chain are made of, and their texts.\n")
    for package in tree.foreign():
        texts = own_texts(package) or standard_texts(crates.licence(package))
        title = f"{package['name']} {package['version']}: {crates.licence(package) or 'see the text'}"
        if not texts:
            missing.append(title)
            continue
        authors = ", ".join(package["authors"])
        source = package["repository"] or package["homepage"] or "https://crates.io/crates/" + package["name"]
        print(f"{'=' * 100}\n{title}\n{source}" + (f"\nBy {authors}" if authors else ""))
        for name, text in texts:
            number = shared.setdefault(text, len(shared) + 1)
            print(f"{name}: text {number}")
    for text, number in shared.items():
        print(f"\n{'-' * 40} text {number}\n\n{text}")
    if missing:
        print("no text for the licence of:", *missing, sep="\n  ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
