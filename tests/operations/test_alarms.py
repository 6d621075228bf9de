# SPDX-License-Identifier: Apache-2.0
"""The alarms and the dashboards: by promtool, and against a real Prometheus that asks a real node and real servers."""

import json
import re
import subprocess
import unittest

from programs import PACKAGING, Prometheus, System, until

MONITORING = PACKAGING / "monitoring"

# What a healthy chain of one validator and servers without TLS have nothing to show for, and why.
EMPTY = {
    "(mhealth_tls_certificate_expires_timestamp_seconds > 0) / 86400 - time() / 86400": "no TLS",
    'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay"} / node_filesystem_size_bytes': "another project's exporter",
}
# Metrics of other programs, which this test does not start.
FOREIGN = {"node_filesystem_avail_bytes", "node_filesystem_size_bytes"}
METRIC = re.compile(r"\b(?:mhealth|substrate|node)_[a-z0-9_]+|\bup\b")


def dashboards():
    files = sorted(MONITORING.glob("*.dashboard.json"))
    assert files, "there is no dashboard"
    return {file.name: json.loads(file.read_text()) for file in files}


def queries():
    for name, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"]


def alarms():
    """Name and expression of each alarm, and its text: the file is simple enough to be read by its lines."""
    rules = (MONITORING / "alarms.yml").read_text()
    parts = re.split(r"^ +- alert: (\w+)\n", rules, flags=re.M)[1:]
    for name, text in zip(parts[::2], parts[1::2]):
        expression = re.search(r"expr: (?:>-\n)?(.*?)\n +(?:for|labels):", text, flags=re.S)[1]
        yield name, " ".join(expression.split())


class Rules(unittest.TestCase):
    def test_promtool_finds_every_rule_good_and_every_alarm_sounds_when_it_must(self):
        for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alarms.test.yml"]):
            done = subprocess.run(["promtool", *command], cwd=MONITORING, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alarm_is_tested_and_explained(self):
        tests = (MONITORING / "alarms.test.yml").read_text()
        document = (PACKAGING.parent / "docs/operating/monitoring.md").read_text()
        for name, _ in alarms():
            for kind in ("sounds", "is silent"):
                self.assertIn(f"- name: {name} {kind}\n", tests)
            self.assertIn(f"| `{name}` |", document)

    def test_every_alarm_that_a_dashboard_names_is_there(self):
        names = {name for name, _ in alarms()}
        for board in dashboards().values():
            for panel in board["panels"]:
                for word in re.findall(r"Alarms?: ([A-Z]\w+)", panel["description"]):
                    self.assertIn(word, names)


class Running(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.system = System()
        cls.addClassCleanup(cls.system.stop)
        cls.prometheus = Prometheus(cls.system.metrics)
        cls.addClassCleanup(cls.prometheus.stop)
        jobs = " and ".join(f'on() up{{job="{job}"}} == 1' for job in cls.system.metrics)
        until("Prometheus has asked all of them", lambda: cls.prometheus.query(f"vector(1) and {jobs}") or None)
        # Rates need two looks, and a validator that has made a block.
        until(
            "the chain grows in Prometheus's eyes",
            lambda: cls.prometheus.query('changes(substrate_block_height{status="finalized"}[1m]) > 2') or None,
        )

    def test_every_query_of_the_dashboards_is_answered(self):
        for place, expression in queries():
            with self.subTest(place):
                answer = self.prometheus.query(expression)
                if expression in EMPTY:
                    self.assertEqual(answer, [])
                else:
                    self.assertNotEqual(answer, [], expression)

    def test_every_metric_that_an_alarm_or_a_dashboard_names_is_told_by_a_program(self):
        told = set(self.prometheus.ask("label/__name__/values"))
        named = set()
        for _, expression in [*queries(), *alarms()]:
            # What stands in quotes or brackets is no metric.
            bare = re.sub(r"\"[^\"]*\"|\{[^}]*\}|\[[^]]*\]", "", expression)
            named |= set(METRIC.findall(bare))
        self.assertGreater(len(named), 20)
        self.assertEqual(named - told - FOREIGN, set())

    def test_a_healthy_system_raises_no_alarm(self):
        # What one validator and a machine without an exporter bring about, and nothing else.
        expected = {"FewPeers"}
        for group in self.prometheus.ask("rules")["groups"]:
            for rule in group["rules"]:
                self.assertEqual(rule["health"], "ok", f"{rule['name']}: {rule.get('lastError')}")
                if rule["name"] not in expected:
                    self.assertEqual(rule["alerts"], [], rule["name"])

    def test_an_alarm_begins_when_a_program_is_gone(self):
        name, process = self.system.running[-1]
        self.assertEqual(name, "relay")
        process.terminate()
        process.wait(timeout=60)
        gone = 'ALERTS{alertname="NothingAnswers", job="mhealth-relay"}'
        until("the alarm is pending", lambda: self.prometheus.query(gone) or None)


# The last test takes a server away, so the order is that of the file.
def load_tests(loader, _standard, _pattern):
    suite = unittest.TestSuite()
    suite.addTests(loader.loadTestsFromTestCase(Rules))
    suite.addTests(
        Running(name)
        for name in (
            "test_every_query_of_the_dashboards_is_answered",
            "test_every_metric_that_an_alarm_or_a_dashboard_names_is_told_by_a_program",
            "test_a_healthy_system_raises_no_alarm",
            "test_an_alarm_begins_when_a_program_is_gone",
        )
    )
    return suite


if __name__ == "__main__":
    unittest.main()
