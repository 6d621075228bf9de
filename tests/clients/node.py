# SPDX-License-Identifier: Apache-2.0
"""Starts the node that `scripts/test` built; `MHEALTH_NODE` names another."""

import os
import pathlib
import re
import subprocess
import threading


class Node:
    """A development chain on ports that the system chooses, gone with `stop`."""

    def __init__(self, *options):
        cache = os.environ.get("XDG_CACHE_HOME", str(pathlib.Path.home() / ".cache"))
        target = os.environ.get("CARGO_TARGET_DIR", f"{cache}/mhealth-chain/target")
        program = os.environ.get("MHEALTH_NODE", f"{target}/release/mhealth-node")
        command = [program, "--dev", "--port=0", "--rpc-port=0", "--no-prometheus", "--no-mdns", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        log = []
        for line in self.process.stderr:
            log.append(line)
            address = re.search(r"JSON-RPC server: addr=(127\.0\.0\.1:\d+)", line)
            if address:
                self.url = f"ws://{address[1]}"
                break
        else:
            raise RuntimeError("the node ended:\n" + "".join(log[-50:]))
        # Nobody reads the rest of its log, and a full pipe would stop it.
        self.reader = threading.Thread(target=self.process.stderr.read)
        self.reader.start()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.reader.join()
        self.process.stderr.close()
