# SPDX-License-Identifier: Apache-2.0
"""Seals some nights and sends them until it is killed, for `test_kills.py`: `sealing.py FOLDER AUTHENTICATION-SERVER CODE`.

Says first how many it found, and what becomes of the last of them when it is sealed again; then each that it sealed.
"""

import json
import sys
import threading
import time

from mhealth_chain import MHealthError, Phone

NIGHTS = 8


def main(folder, authentication, code):
    with Phone.in_folder(folder, trust_relays=True) as phone:
        seal = lambda night: phone.seal(f"night {night}", "application/json", json.dumps({"night": night}).encode())
        if phone.status().device is None:
            phone.enrol(authentication, code)
        night = phone.status().sealed
        print(night, seal(night).outcome if night else "new", flush=True)
        threading.Thread(target=send, args=(phone,), daemon=True).start()
        for _ in range(NIGHTS):
            night += 1
            print(seal(night).sequence, flush=True)
        threading.Event().wait()


def send(phone):
    while True:
        try:
            phone.sync(timeout=0.5)
        except MHealthError:
            pass  # Nothing is final before it was sent by several programs.
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
