# SPDX-License-Identifier: Apache-2.0
"""One phone, and what anybody can check."""

import threading
from concurrent.futures import Future
from pathlib import Path

from .errors import ours
from .keystore import FileKeystore
from .native import mhealth
from .store import SqliteStore
from .transport import HttpTransport


# For those who want to wait for ever.
_LONGEST = 365 * 24 * 3600


class Phone:
    """A phone. All calls may be made from any thread, also at the same time."""

    def __init__(self, store, keystore, transport=None, *, copies=1, trust_relays=False, checkpoints=(), chain=None):
        """Opens the phone in a store, or makes the store ready for one. Nobody is asked but the key store.

        `copies` is how many relays are to hold each run. `trust_relays` is for development chains without proofs. `checkpoints` are
        blocks that the consortium names, each `0x…@NUMBER`, over which proofs may lead where the chain's authorities were changed by
        force. `chain` is the hash of the first block of the chain that the app is for, `0x…`: codes of any other are refused
        (`another_chain`), and so is a phone that is on another (`state_of_another_chain`). Without it: the chain that the code was made for.
        """
        self._store = store
        options = mhealth.PhoneOptions(
            copies=copies, trust_relays=trust_relays, checkpoints=list(checkpoints), chain=chain
        )
        with ours():
            self._core = mhealth.PhoneCore.open(store, keystore, transport or HttpTransport(), options)

    @classmethod
    def in_folder(cls, folder, **options):
        """The phone of a folder: the store in `phone.db`, the key in `phone.key`. Keep the key out of backups."""
        folder = Path(folder)
        store = SqliteStore(folder / "phone.db")
        try:
            return cls(store, FileKeystore(folder / "phone.key"), **options)
        except BaseException:
            store.close()
            raise

    def enrol(self, authentication, code, timeout=60.0):
        """Enrols with a code, at the authentication server of this address. Gives the phone's number on the chain. After a failure
        the same call goes on where it was."""
        with ours():
            return self._open_core().enrol(authentication, code, _milliseconds(timeout))

    def seal(self, source, media_type, payload, *, content=None, correct=False):
        """Seals a record. It is durable when this returns, and needs no connection. `source` names what was recorded, such as the
        night; the same source with the same content is sealed once. With other content it is a correction if `correct`.
        `content` is what the source said, where payloads that are made of it twice differ in identifiers and times."""
        # `bytes` alone would take a number for a length.
        payload = bytes(memoryview(payload))
        content = None if content is None else bytes(memoryview(content))
        with ours():
            return self._open_core().seal(source, media_type, payload, content, correct)

    def sync(self, timeout=60.0):
        """Sends what the chain lacks and has it proved. Error `deadline` when that takes longer; a later call goes on."""
        with ours():
            return self._open_core().sync(_milliseconds(timeout))

    def sync_in_background(self, timeout=60.0):
        """The same on a thread. Gives a `concurrent.futures.Future`; `asyncio.wrap_future` makes it one of asyncio. Its `cancel` ends the
        sync soon, with the error `cancelled`."""
        cancellation = mhealth.Cancellation()
        future = _Endable(cancellation)
        future.set_running_or_notify_cancel()

        def work():
            try:
                with ours():
                    standing = self._open_core().sync(_milliseconds(timeout), cancellation)
                future.set_result(standing)
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, name="mhealth-sync", daemon=True).start()
        return future

    def status(self):
        """How the phone stands, for a screen. Asks nobody."""
        with ours():
            return self._open_core().status()

    def advice(self, language=mhealth.Language.ENGLISH):
        """What the person should do now, as a sentence; of a phone that was stopped, also why."""
        status = self.status()
        if status.stopped is not None:
            failed = mhealth.SdkError.Failed(code=status.stopped, reason=None, advice=status.advice, detail="")
            return mhealth.error_sentence(failed, language)
        return mhealth.advice_sentence(status.advice, status.last_fault or "", language)

    def export_queue(self):
        """What is left on a stopped phone, for the auditor: one JSON object a line."""
        with ours():
            return self._open_core().export_queue()

    def export_unenrolled(self):
        """What was sealed with devices that could not be enrolled, for whoever holds the participants' keys: one JSON object a line."""
        with ours():
            return self._open_core().export_unenrolled()

    def close(self):
        """Lets go of the store, for good, once what is being written is written. Calls that are under way end with an error; others
        raise `ValueError`, as those of a closed file do."""
        self._core = None
        close = getattr(self._store, "close", None)
        if close is not None:
            close()

    def _open_core(self):
        core = self._core
        if core is None:
            raise ValueError("the phone is closed")
        return core

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Endable(Future):
    """Ends its sync when it is cancelled."""

    def __init__(self, cancellation):
        super().__init__()
        self._cancellation = cancellation

    def cancel(self):
        self._cancellation.cancel()
        return super().cancel()


class ProofReader:
    """Reads proofs of one device's head, one after the other; believes nobody but the chain's authorities."""

    def __init__(self, genesis, device, checkpoints=()):
        with ours():
            self._core = mhealth.ProofReader(genesis, device, list(checkpoints))

    def check(self, proof):
        """What a proof shows. What is refused changes nothing of what the reader knows. Code `proof_on_the_way` when another one is
        needed, from the present set on."""
        with ours():
            return self._core.check(proof)

    def set(self):
        """The set of authorities that the next proof is to lead on from; None before the first proof."""
        return self._core.set()


def check_chain(origin, entries, head, signature):
    """Checks a chain from its first entry to its head, with the secret and every envelope. Gives how many entries there are."""
    with ours():
        return mhealth.check_chain(origin, entries, head, signature)


def hash_parts(label, parts):
    """`enc` and `H` of docs/protocol/hashchain.md, section 2."""
    return mhealth.hash_parts(label, parts)


def language_of_tag(tag):
    """The language of a BCP 47 tag (`de-AT`, `ja`); English for all others."""
    return mhealth.language_of_tag(tag)


def _milliseconds(seconds):
    return round(1000 * max(0, min(seconds, _LONGEST)))
