# SPDX-License-Identifier: Apache-2.0
"""The QR codes that people are handed, read from their pictures as a camera's program reads them: the sheet with an enrolment code, and
the passport of a study.

MHEALTH_BIN and MHEALTH_AUTH_BIN name other programs than those that `scripts/test` built.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
from urllib.parse import parse_qs, urlsplit

import numpy
import zxingcpp

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests" / folder) for folder in ("clients", "operations")]

import programs  # noqa: E402
from node import Node  # noqa: E402

# The one of docs/protocol/device-api.md, section 12.
CODE = "58N2M-AHA58-N2MAH-A58N2-H7P8X-P5PQ0-5DZ7W-RVA2G"
SERVER = "https://auth.example"


def built(name, variable):
    return os.environ.get(variable) or programs.built(name)


def picture(page):
    """The page's SVG as rows of grey values: a rectangle of light, and dark rectangles on it."""
    svg = re.search(r"<svg.*?</svg>", page, re.DOTALL)[0]
    width, height = (int(re.search(rf' {side}="(\d+)"', svg)[1]) for side in ("width", "height"))
    grey = numpy.full((height, width), 255, dtype=numpy.uint8)
    path = re.search(r' d="([^"]*)"', svg)[1]
    places = re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)H\d+V\d+", path)
    # Nothing else is drawn.
    assert "".join("M{} {}h{}v{}H{}V{}".format(*place, place[0], place[1]) for place in places) == path, path[:200]
    for x, y, right, down in (map(int, place) for place in places):
        grey[y : y + down, x : x + right] = 0
    return grey


def read(page):
    """What the only QR code of a page says."""
    found = zxingcpp.read_barcodes(picture(page))
    assert len(found) == 1, found
    return found[0].text


class Papers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def sheet(self, participant, given, *more):
        out = self.folder / "sheet.html"
        command = [built("mhealth-auth", "MHEALTH_AUTH_BIN"), "--issuer", SERVER, "paper"]
        command += ["--participant", participant, "--out", str(out), *more]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(CODE, done.stdout + done.stderr)
        page = out.read_text()
        # A sheet never takes the place of another one.
        out.unlink()
        return page

    def test_a_sheets_picture_is_the_code(self):
        for given in (CODE, json.dumps({"id": 1, "code": CODE, "expires_at": 1_800_086_400})):
            page = self.sheet("P-001", given)
            self.assertIn(CODE, page)
            self.assertEqual(read(page), CODE)

    def test_or_the_apps_address_with_server_code_and_participant(self):
        for participant in ("P-001", "P 1&2=#é", "参加者-7"):
            said = read(self.sheet(participant, CODE, "--app", "https://diary.example/start?lang=ja"))
            address = urlsplit(said)
            self.assertEqual(said.split("#")[0], "https://diary.example/start?lang=ja")
            expected = {"server": [SERVER], "code": [CODE], "participant": [participant]}
            self.assertEqual(parse_qs(address.fragment, strict_parsing=True), expected)

    def test_a_passports_picture_is_its_file(self):
        node = Node()
        self.addCleanup(node.stop)
        out = self.folder / "passport.json"
        command = [built("mhealth", "MHEALTH_BIN"), "passport", "make", "--study", "0", "--node", node.url]
        command += ["--auth", SERVER, "--relay", "https://relay.example", "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        page = pathlib.Path(f"{out}.html").read_text()
        self.assertEqual(json.loads(read(page)), json.loads(out.read_text()))


if __name__ == "__main__":
    unittest.main()
