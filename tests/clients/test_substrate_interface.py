# SPDX-License-Identifier: Apache-2.0
"""substrate-interface, the Python library of py-substrate-interface."""

import unittest

from substrateinterface import Keypair, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

from device import STUDY, Device, hexadecimal
from node import Node

# The library reads metadata of version 14, which has no runtime API: what is wanted of it has to be described.
RUNTIME_API = {
    "runtime_api": {
        "HashchainApi": {
            "methods": {
                "head": {"params": [{"name": "device", "type": "u32"}], "type": "Option<HeadView>"},
                "journal_length": {"params": [], "type": "u64"},
            },
            "types": {
                "HeadView": {
                    "type": "struct",
                    "type_mapping": [["hash", "H256"], ["length", "u64"], ["latest", "Option<u64>"]],
                },
            },
        },
    },
}


class SubstrateInterfaceReadsAndWrites(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node("--sealing=instant")
        cls.addClassCleanup(cls.node.stop)
        cls.chain = SubstrateInterface(url=cls.node.url, type_registry=RUNTIME_API)
        cls.addClassCleanup(cls.chain.close)
        cls.server, cls.relay, cls.nobody = (Keypair.create_from_uri(f"//{name}") for name in ("Charlie", "Dave", "Ferdie"))

    def submit(self, pallet, call, arguments, who):
        call = self.chain.compose_call(pallet, call, arguments)
        extrinsic = self.chain.create_signed_extrinsic(call, who)
        return self.chain.submit_extrinsic(extrinsic, wait_for_inclusion=True)

    def device(self):
        genesis = bytes.fromhex(self.chain.get_block_hash(0)[2:])
        return Device(genesis, self.server.public_key)

    def test_a_device_is_enrolled_and_its_head_is_read(self):
        device = self.device()
        enrolled = self.submit("ClientHashchain", "enrol", device.enrolment, self.server)
        self.assertTrue(enrolled.is_success, enrolled.error_message)
        events = [event.value["event"] for event in enrolled.triggered_events]
        (event,) = (event for event in events if event["event_id"] == "DeviceEnrolled")
        number = event["attributes"]["device"]
        self.assertEqual(event["attributes"]["genesis"], hexadecimal(device.head))

        # Bounded lists are tuples of one member: runs and their entries.
        run = device.run(number, b"\x00night")
        brought = self.submit("ClientHashchain", "submit", {"run": bounded(run)}, self.relay)
        self.assertTrue(brought.is_success, brought.error_message)
        head = self.chain.runtime_call("HashchainApi", "head", [number]).value
        self.assertEqual((head["hash"], head["length"]), (hexadecimal(device.head), 1))
        page = self.chain.query("ClientHashchain", "HeadPages", [number // 16]).value
        self.assertIn(hexadecimal(device.head), str(page))

    def test_a_study_is_read(self):
        study = self.chain.query("Studies", "Studies", [STUDY]).value
        self.assertEqual((study["status"], study["policy"]), ("Open", "DeviceSigned"))
        self.assertEqual(self.chain.query("Studies", "NextStudyId").value, 2)

    def test_a_refusal_has_its_name_and_its_sentence(self):
        run = self.device().run(4_000_000, b"\x00night")
        refused = self.submit("ClientHashchain", "submit", {"run": bounded(run)}, self.relay)
        self.assertFalse(refused.is_success)
        self.assertEqual(refused.error_message["name"], "UnknownDevice")
        self.assertIn("device", " ".join(refused.error_message["docs"]))

    def test_who_has_no_role_is_told_so_by_the_pool(self):
        with self.assertRaises(SubstrateRequestException) as refused:
            self.submit("System", "remark", {"remark": "0x01"}, self.nobody)
        self.assertEqual(refused.exception.args[0]["data"], "Custom error: 101")


def bounded(run):
    return {**run, "entries": (run["entries"],)}


if __name__ == "__main__":
    unittest.main()
