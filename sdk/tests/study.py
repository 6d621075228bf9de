# SPDX-License-Identifier: Apache-2.0
"""A study without a chain, for phones that take relays' words: an authentication server that enrols and a relay, which do as they are told.

What a phone sends again has to be what it sent before, byte for byte, and its runs have to follow each other; `report` says whether
that was so, and how often each address was asked. A run is final once a phone has offered it after being opened as often as `openings`
says.

Run as a program it prints `{"url": …, "code": …}` in one line, and ends when its standard input does. It is told what to do by
requests to that address: `POST /played/CONDUCT` with one of `CONDUCTS`, `GET /played/report`.
"""

import argparse
import base64
import collections
import json
import sys
import threading

import office

CONDUCTS = (
    "well",  # All is as it should be.
    "silent",  # The relay takes connections and never answers.
    "slow",  # The relay answers a byte a second.
    "gone",  # Nobody listens at the relay's address.
    "away",  # The node is away, and both servers say so. Only what a code is for can still be heard.
    "withholding",  # Enrolments are done, and their answers wait until something else is played.
)


class Study:
    """The study, with its servers."""

    def __init__(self, openings=1, number=0):
        self.openings = openings
        self.number = number
        self.conduct = "well"
        self._changed = threading.Condition()
        self._met = []
        self._codes = {}
        self._enrolments = set()
        self._devices = []
        self._tokens = 0
        self._faults = []
        self._office = office.opened(Front, study=self)
        self._relay = office.opened(Relay, study=self)
        self.url, self._relay_url = self._office.url, self._relay.url

    def code(self):
        """Issues a code."""
        code = office.code()
        with self._changed:
            self._codes[code] = None
        return code

    def play(self, conduct):
        """From now on the servers behave like this."""
        assert conduct in CONDUCTS, conduct
        if conduct == "gone":
            self._relay.shutdown()
            self._relay.server_close()
        elif self.conduct == "gone":
            self._relay = office.opened(Relay, self._relay.server_address[1], self)
        with self._changed:
            self.conduct = conduct
            self._changed.notify_all()

    def wait(self, holds, patience):
        """Waits until something holds, which is asked whenever something happened. Gives whether it does."""
        with self._changed:
            return self._changed.wait_for(holds, patience)

    def met(self, path=""):
        """How many requests came, to addresses that begin with this path."""
        return sum(met.startswith(path) for met in self._met)

    def final(self):
        """How many entries are final."""
        return sum(device.length for device in self._devices)

    def report(self):
        """What was asked, what was sent, and what was wrong with it."""
        with self._changed:
            runs = [run for device in self._devices for run in device.runs.values()]
            return {
                "devices": len(self._devices),
                "enrolments": len(self._enrolments),
                "runs": len(runs),
                "again": sum(len(run.openings) > 1 for run in runs),
                "final": self.final(),
                "met": dict(collections.Counter(self._met)),
                "faults": self._faults,
            }

    def close(self):
        """Ends the servers, and lets go of everybody who waits for an answer."""
        self.play("gone")
        self._office.shutdown()
        self._office.server_close()

    # What the servers do.

    def meet(self, path):
        """A request came."""
        with self._changed:
            self._met.append(path)
            self._changed.notify_all()

    def is_known(self, code):
        return code in self._codes

    def enrol(self, body):
        """Enrols a device, or finds it enrolled with the same bytes. Gives its number; none if the code was used for something else."""
        request = json.loads(body)
        with self._changed:
            self._enrolments.add(body)
            used = self._codes[request["code"]]
            if used is None:
                self._codes[request["code"]] = used = (body, len(self._devices))
                self._devices.append(Device(request, self.number))
            return used[1] if used[0] == body else None

    def token(self):
        """A token that is like no other: a phone asks for one each time that it is opened."""
        with self._changed:
            self._tokens += 1
            return {"token": f"opening-{self._tokens}", "token_type": "DPoP", "expires_in": 3600, "relays": [self._relay_url]}

    def take(self, body, opening):
        """Takes a run. Gives what there is to say of it."""
        with self._changed:
            upload = json.loads(body)
            run = self._devices[upload["device"]].take(upload, body, opening, self._faults)
            self._devices[upload["device"]].finalise(self.openings)
            self._changed.notify_all()
            return self._status(run)

    def status(self, name):
        """What became of a run; none if there is none of this name."""
        with self._changed:
            runs = (run for device in self._devices for run in device.runs.values())
            return next((self._status(run) for run in runs if run.name == name), None)

    def device(self, number):
        """A device as the chain has it; none if there is none of this number."""
        with self._changed:
            if number >= len(self._devices):
                return None
            device = self._devices[number]
            return {
                "device": number,
                "study": self.number,
                "key": device.key,
                "genesis": _digits(device.genesis),
                "status": "active",
                "chain": {"head": {"length": device.length, "hash": _digits(device.head)}, "block": BLOCK},
            }

    def await_another(self, conduct):
        """Waits until the servers behave otherwise."""
        with self._changed:
            self._changed.wait_for(lambda: self.conduct != conduct)

    def _status(self, run):
        is_final = run.last <= self._devices[run.device].length
        return {
            "run": run.name,
            "device": run.device,
            "sequence": run.first,
            "entries": run.last - run.first + 1,
            "head": _digits(run.head),
            "state": "finalised" if is_final else "pending",
        }


class Device:
    """A device, and what it sent."""

    def __init__(self, request, study):
        self.key = request["device_key"]
        escrow = office.hashed("escrow", base64.b64decode(request["escrow"]))
        parts = (study.to_bytes(4, "big"), _bytes(self.key), bytes(32), _bytes(request["secret_commitment"]), escrow)
        self.genesis = office.hashed("genesis", office.CHAIN, *parts)
        # By their first entries.
        self.runs = {}
        # The last entry that was sent, and its link; the last one that is final.
        self.end = (0, self.genesis)
        self.length, self.head = 0, self.genesis

    def take(self, upload, body, opening, faults):
        known = self.runs.get(upload["sequence"])
        if known is None:
            run = Run(upload, body, faults)
            if (run.first - 1, run.previous) != self.end:
                faults.append(f"run {run.first}-{run.last} does not follow entry {self.end[0]}")
            self.end = (run.last, run.head)
            known = self.runs[run.first] = run
        elif known.body != body:
            faults.append(f"run {known.first}-{known.last} was sent with other bytes")
        known.openings.add(opening)
        return known

    def finalise(self, openings):
        """Calls final what was offered often enough, in its order."""
        while (run := self.runs.get(self.length + 1)) and len(run.openings) >= openings:
            self.length, self.head = run.last, run.head


class Run:
    """A run, as it was sent first."""

    def __init__(self, upload, body, faults):
        self.device, self.first, self.body = upload["device"], upload["sequence"], body
        self.previous = self.head = _bytes(upload["previous"])
        self.last = self.first - 1
        self.openings = set()
        for entry in upload["entries"]:
            self.last += 1
            digest = office.hashed("data", base64.b64decode(entry["envelope"]))
            if digest != _bytes(entry["digest"]):
                faults.append(f"entry {self.last} has the digest of another envelope")
            self.head = office.hashed("link", self.last.to_bytes(8, "big"), self.head, digest, _bytes(entry["tag"]))
        place = (self.device.to_bytes(4, "big"), self.first.to_bytes(8, "big"))
        self.name = _digits(office.hashed("run", *place, self.previous, self.head))


BLOCK = {"number": 7, "hash": "0x" + "07" * 32}


def _bytes(digits):
    return bytes.fromhex(digits.removeprefix("0x"))


def _digits(value):
    return "0x" + value.hex()


class Front(office.Office):
    """The authentication server. What the study is told comes here, too."""

    def do_POST(self):
        study, body = self.server.study, self._body()
        asked = self.path.removeprefix("/played/")
        if asked != self.path:
            if asked == "report":
                self._answer(200, study.report())
            else:
                study.play(asked)
                self._answer(200, {})
            return
        study.meet(self.path)
        is_of_a_code = self.path != "/v1/token"
        if is_of_a_code and not study.is_known(json.loads(body)["code"]):
            self._refuse(404, "unknown_code")
        elif self.path == "/v1/code":
            self._answer(200, self._terms(study.number))
        elif study.conduct == "away":
            self._refuse(503, "chain_unavailable")
        elif is_of_a_code:
            self._enrol(study, body)
        else:
            self._answer(200, study.token())

    def _enrol(self, study, body):
        number = study.enrol(body)
        if number is None:
            self._refuse(409, "code_used")
            return
        # Whoever waits for the answer is killed meanwhile.
        study.await_another("withholding")
        self._answer(200, {"device": number, "study": study.number, "genesis": study.device(number)["genesis"], "block": BLOCK})


class Relay(office.Office):
    """The relay."""

    def do_POST(self):
        study, body = self.server.study, self._body()
        study.meet(self.path)
        conduct = study.conduct
        if conduct in ("well", "withholding"):
            self._relay(study, body)
        elif conduct == "away":
            self._refuse(503, "chain_unavailable")
        else:
            if conduct == "slow":
                self._drip(study)
            elif conduct == "silent":
                study.await_another(conduct)
            # Connections from before are ended where nobody listens any more.
            self.close_connection = True

    def _relay(self, study, body):
        _, _, what, *place = self.path.split("/")
        answer = None
        if what == "runs" and not place:
            answer = study.take(body, self.headers["Authorization"].removeprefix("DPoP "))
        elif what == "runs":
            answer = study.status(place[0])
        elif what == "devices":
            answer = study.device(int(place[0]))
        if answer is None:
            self._refuse(404, "unknown_run" if what == "runs" else "unknown_device")
        else:
            self._answer(200, answer)

    def _drip(self, study):
        try:
            for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 600:
                self.wfile.write(bytes([letter]))
                study.wait(lambda: study.conduct != "slow", 1)
                if study.conduct != "slow":
                    return
        except OSError:
            pass  # Nobody waits for it any more.


def main():
    arguments = argparse.ArgumentParser(description="Plays a study.")
    arguments.add_argument("--openings", type=int, default=1)
    arguments.add_argument("--number", type=int, default=0)
    given = arguments.parse_args()
    study = Study(given.openings, given.number)
    print(json.dumps({"url": study.url, "code": study.code()}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
