# SPDX-License-Identifier: Apache-2.0
"""async-substrate-interface, the asynchronous Python library. It has no keys of its own, so this reads."""

import unittest

from async_substrate_interface import AsyncSubstrateInterface

from node import Node


class AsyncSubstrateInterfaceReads(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node("--sealing=instant")
        cls.addClassCleanup(cls.node.stop)

    async def test_studies_constants_and_errors_are_read(self):
        async with AsyncSubstrateInterface(self.node.url, ss58_format=42) as chain:
            study = await chain.runtime_call("HashchainApi", "study", [0])
            study = getattr(study, "value", study)
            self.assertEqual((study["open"], study["device_signed"]), (True, True))
            nobody = await chain.runtime_call("HashchainApi", "head", [7])
            self.assertIsNone(getattr(nobody, "value", nobody))
            longest = await chain.get_constant("ClientHashchain", "MaxRunLength")
            self.assertEqual(getattr(longest, "value", longest), 256)
            studies = await chain.query("Studies", "NextStudyId")
            self.assertEqual(getattr(studies, "value", studies), 2)
            error = await chain.get_metadata_error("ClientHashchain", "UnknownDevice")
            self.assertIsNotNone(error)


if __name__ == "__main__":
    unittest.main()
