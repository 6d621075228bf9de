# SPDX-License-Identifier: Apache-2.0
"""Seals one night after the other until it is killed, for `test_kills.py`: `sealing.py FOLDER AUTHENTICATION-SERVER CODE`.

Says first how many it found, and what becomes of the last of them when it is sealed again; then each that it sealed.
"""

import json
import sys

from mhealth_chain import MHealthError, Phone


def main(folder, authentication, code):
    with Phone.in_folder(folder) as phone:
        seal = lambda night: phone.seal(f"night {night}", "application/json", json.dumps({"night": night}).encode())
        if phone.status().study is None:
            try:
                phone.enrol(authentication, code, timeout=1)
            except MHealthError:
                pass  # The server never enrols; the phone knows its study now.
        night = phone.status().sealed
        print(night, seal(night).outcome if night else "new", flush=True)
        while True:
            night += 1
            print(seal(night).sequence, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
