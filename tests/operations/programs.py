# SPDX-License-Identifier: Apache-2.0
"""Programs that the tests start: on free ports, in a folder of their own, and gone at the end."""

import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
PATIENCE = 120


def built(name):
    """A program of this project, where cargo put it."""
    cache = os.environ.get("XDG_CACHE_HOME", str(pathlib.Path.home() / ".cache"))
    target = os.environ.get("CARGO_TARGET_DIR", f"{cache}/mhealth-chain/target")
    program = pathlib.Path(target) / "release" / name
    if not program.exists():
        raise FileNotFoundError(f"no {name} at {program}: cargo build --release --workspace")
    return str(program)


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def until(what, ask):
    """Asks until there is an answer that is not None."""
    patience = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if answer is not None:
            return answer
        assert time.monotonic() < patience, what
        time.sleep(0.2)


def get(url):
    """The body of an answer with status 200, otherwise None."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


class Programs:
    """What was started, and the folder for its files."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mhealth-operations-"))
        self.running = []

    def start(self, name, *command, **environment):
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        self.running.append((name, process))
        return process

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self):
        for _, process in reversed(self.running):
            process.terminate()
        for _, process in reversed(self.running):
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)

    def secret(self, name, text):
        file = self.folder / name
        file.write_text(text + "\n")
        file.chmod(0o600)
        return file


class System(Programs):
    """A development chain with a validator, its authentication server and a relay, and where each tells its metrics."""

    def __init__(self):
        super().__init__()
        self.metrics = {}
        try:
            self.begin()
        except BaseException:
            for name, _ in self.running:
                print(f"--- {name}\n{self.log(name)[-4000:]}")
            self.stop()
            raise

    def begin(self):
        metrics = free_port()
        # The node takes no port 0 for its metrics, and says nowhere which it would be.
        self.start(
            "node",
            built("mhealth-node"),
            *("--dev", "--port=0", "--rpc-port=0", "--no-mdns", f"--prometheus-port={metrics}"),
        )
        rpc = until("the node serves", lambda: re.search(r"JSON-RPC server: addr=127\.0\.0\.1:(\d+)", self.log("node")))
        node = f"ws://127.0.0.1:{rpc[1]}"
        auth, relay = free_port(), free_port()
        server = lambda name, port, *more: self.start(
            name,
            built(f"mhealth-{name}"),
            f"--node={node}",
            f"--listen=127.0.0.1:{port}",
            f"--database=sqlite:{self.folder}/{name}.db",
            *more,
        )
        server("auth", auth, "--study=0", f"--relay=http://127.0.0.1:{relay}",
               f"--account-file={self.secret('auth.secret', '//Charlie')}")
        server("relay", relay, f"--trusted-issuer=issuer=http://127.0.0.1:{auth},study=0",
               f"--account-file={self.secret('relay.secret', '//Dave')}")
        self.metrics = {"mhealth-node": metrics, "mhealth-auth": auth, "mhealth-relay": relay}
        for port in (auth, relay):
            until("the server is ready", lambda: get(f"http://127.0.0.1:{port}/readyz"))
        until("the node tells its metrics", lambda: get(f"http://127.0.0.1:{metrics}/metrics"))


class Prometheus(Programs):
    """A Prometheus that asks these programs, by the rules and under the names of jobs that the project gives out."""

    def __init__(self, targets):
        super().__init__()
        rules = (PACKAGING / "monitoring" / "alarms.yml").resolve()
        config = (PACKAGING / "monitoring" / "prometheus.yml").read_text()
        config = config.replace("- alarms.yml", f"- {rules}").replace("15s", "1s")
        for job, port in targets.items():
            pattern = rf"(job_name: {job}\n.*?targets: \[)\"[^\"]*\""
            config, count = re.subn(pattern, rf'\1"127.0.0.1:{port}"', config, flags=re.S)
            assert count == 1, f"prometheus.yml asks {job} {count} times"
        (self.folder / "prometheus.yml").write_text(config)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.start(
            "prometheus",
            "prometheus",
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        )
        until("Prometheus is ready", lambda: get(f"{self.url}/-/ready"))

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, expression):
        return self.ask("query", query=expression)["result"]
