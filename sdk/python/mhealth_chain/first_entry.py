# SPDX-License-Identifier: Apache-2.0
"""Registers a first entry: `python -m mhealth_chain.first_entry FOLDER AUTHENTICATION-SERVER CODE [--trust-relays]`."""

import argparse
import datetime
import json
import sys

from . import MHealthError, Phone


def main():
    arguments = argparse.ArgumentParser(description="Registers a first entry.")
    arguments.add_argument("folder")
    arguments.add_argument("authentication")
    arguments.add_argument("code")
    arguments.add_argument("--trust-relays", action="store_true", help="for development chains without proofs")
    given = arguments.parse_args()
    try:
        with Phone.in_folder(given.folder, trust_relays=given.trust_relays) as phone:
            phone.enrol(given.authentication, given.code)
            night = datetime.date.today().isoformat()
            payload = json.dumps({"night": night, "minutes_asleep": 412}).encode()
            phone.seal(f"night-{night}", "application/json", payload)
            phone.sync()
            print(told(phone.status(), phone.advice()))
    except MHealthError as error:
        sys.exit(error.sentence())


def told(status, advice):
    """What may be said of a phone: that its data are safe only when all of them are proved; otherwise what there is to do."""
    if status.queued or status.left_behind or status.stopped is not None or status.proved_in is None:
        return advice
    return f"Your data is safe: registered in block {status.proved_in}, proved. Entries: {status.finalised}."


if __name__ == "__main__":
    main()
