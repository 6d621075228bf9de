# SPDX-License-Identifier: Apache-2.0
"""What the diary for web pages makes of mornings, held against the published schemas, and read by `mhealth-device`.

It is built by `sdk/build typescript`; without that there is nothing to look at.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

from test_payloads import ROOT, data_points, faults, payloads, schema_of, simulate, unknown_members

DIARY = pathlib.Path(__file__).with_name("diary.mjs")
BUILT = ROOT / "sdk/typescript/example/dist/night.js"
NAMES = "abcdefghijklmnopqrstuvwxyz"
# Half an hour beside the others, two with summer time, and one that is far ahead.
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Tokyo", "Pacific/Kiritimati"]


@unittest.skipUnless(BUILT.exists(), "the diary is not built: sdk/build typescript")
class WhatTheDiaryMakes(unittest.TestCase):
    def nights(self, zone):
        done = subprocess.run(["node", DIARY], capture_output=True, text=True, env={**os.environ, "TZ": zone})
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertGreater(len(lines), 10)
        for line in lines:
            self.assertEqual(line["media_type"], "application/vnd.mhealth-chain.night+json")
        return [line["night"] for line in lines]

    def test_its_nights_are_valid(self):
        schemas = {"ieee:sleep-episode:1.0", "ieee:time-in-bed:1.0", "mhealth-chain:consensus-sleep-diary:1.0"}
        for zone in ZONES:
            for night in self.nights(zone):
                points = data_points(night)
                for point in points:
                    self.assertEqual(faults(point), [], (zone, point))
                    self.assertEqual(unknown_members(point), set(), (zone, point))
                self.assertEqual({schema_of(point) for point in points}, schemas)
                self.assertEqual(set(night), {"participant", "night", "sleep_episode", "time_in_bed", "diary"})

    def test_the_program_takes_them_for_nights(self):
        for zone in ZONES:
            points = []
            for night in self.nights(zone):
                for point in (night["sleep_episode"], night["time_in_bed"]):
                    interval = point["body"]["effective_time_frame"]["time_interval"]
                    # To others a time frame without length is none.
                    if interval["start_date_time"] != interval["end_date_time"]:
                        # Each somebody else's: a person has one main sleep of a night.
                        header = {**point["header"], "user_id": "P-" + NAMES[len(points)]}
                        points.append({**point, "header": header})
            with tempfile.TemporaryDirectory() as folder:
                file = pathlib.Path(folder) / "nights.ndjson"
                file.write_text("".join(json.dumps(point) + "\n" for point in points))
                state, done = simulate(folder, f"--omh={file}")
                self.assertEqual(done.returncode, 0, (zone, done.stderr))
                taken = [payload for _, payload in payloads(state)]
            self.assertEqual(len(taken), len(points))


if __name__ == "__main__":
    unittest.main()
