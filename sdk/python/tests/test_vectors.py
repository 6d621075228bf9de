# SPDX-License-Identifier: Apache-2.0
"""The vectors that come out the same in every language, and false ones that do not."""

import copy
import json
import unittest
from pathlib import Path

from mhealth_chain import ChainedEntry, MHealthError, Origin, ProofReader, check_chain, hash_parts

ROOT = Path(__file__).resolve().parents[3]
CHAINS = json.loads((ROOT / "hashchain/tests/vectors/hashchain-v1.json").read_text())
PROOFS = json.loads((ROOT / "evidence/tests/vectors/head-proofs-v1.json").read_text())


def encoding_holds(test):
    made = hash_parts(test["label"], [bytes.fromhex(part) for part in test["parts"]])
    same = (made.encoding.hex(), made.hash.hex()) == (test["encoding"], test["hash"])
    return same == (test["result"] == "valid")


def chain_holds(group, test):
    device = group["device"]
    origin = Origin(
        chain=bytes.fromhex(device["chain"]),
        study=device["study"],
        device_key=bytes.fromhex(device["deviceKey"]),
        predecessor=bytes.fromhex(device["predecessor"]),
        escrow=bytes.fromhex(device["escrow"]),
        secret=bytes.fromhex(group["secret"]),
    )
    entries = [
        ChainedEntry(
            sequence=entry["sequence"],
            **{name: bytes.fromhex(entry[name]) for name in ("previous", "envelope", "digest", "tag", "hash")},
        )
        for entry in test["entries"]
    ]
    try:
        count = check_chain(origin, entries, bytes.fromhex(test["head"]), bytes.fromhex(test["signature"]))
    except MHealthError as error:
        return test["result"] == "invalid" and error.code == f"wrong_{test['caughtBy']}"
    return test["result"] == "valid" and count == len(entries)


def step_holds(reader, step):
    try:
        shown = reader.check(bytes.fromhex(step["proof"]))
    except MHealthError as error:
        return error.code == step.get("refused")
    key = shown.key and shown.key.hex()
    return step.get("shown") == {
        "block": shown.block,
        "set": shown.set,
        "length": shown.length,
        "head": shown.head.hex(),
        "key": key,
    }


def cases(chains, proofs):
    """One claim a case, in the order of the files."""
    for group in chains["testGroups"]:
        for test in group["tests"]:
            yield encoding_holds(test) if group["type"] == "Encoding" else chain_holds(group, test)
    for chain in proofs["chains"]:
        reader = ProofReader(bytes.fromhex(chain["genesis"]), chain["device"])
        for step in chain["steps"]:
            yield step_holds(reader, step)


class Vectors(unittest.TestCase):
    def test_every_case_comes_out_as_it_says(self):
        outcomes = list(cases(CHAINS, PROOFS))
        expected = CHAINS["numberOfTests"] + sum(len(chain["steps"]) for chain in PROOFS["chains"])
        self.assertEqual(outcomes, [True] * expected)
        self.assertGreater(expected, 0)
        print(f"vectors: {len(outcomes)} cases hold")

    def test_a_false_case_of_each_kind_is_seen(self):
        for kind in range(len(CHAINS["testGroups"])):
            false = copy.deepcopy(CHAINS)
            test = false["testGroups"][kind]["tests"][0]
            test["result"] = "invalid" if test["result"] == "valid" else "valid"
            self.assertEqual(list(cases(false, {"chains": []})).count(False), 1)
        for kind in range(len(PROOFS["chains"])):
            false = copy.deepcopy(PROOFS)
            shown = next(step["shown"] for step in false["chains"][kind]["steps"] if "shown" in step)
            shown["length"] += 1
            self.assertEqual(list(cases({"testGroups": []}, false)).count(False), 1)


if __name__ == "__main__":
    unittest.main()
