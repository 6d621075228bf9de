# SPDX-License-Identifier: Apache-2.0
"""Phones without a chain: storage, keys, deadlines. Kills are in sdk/tests/test_kills.py."""

import copy
import errno
import http.server
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from mhealth_chain import (
    FileKeystore,
    HttpTransport,
    KeyFault,
    Language,
    MHealthError,
    Phone,
    SqliteStore,
    StorageFault,
    StoredPair,
    StoreWrite,
)
from mhealth_chain.native.mhealth import HttpAnswer, HttpFault, HttpHeader, HttpRequest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
import office  # noqa: E402
import study  # noqa: E402


class InAFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Stores(InAFolder):
    def test_a_store_keeps_what_was_applied_in_the_order_of_keys(self):
        store = SqliteStore(self.folder / "db")
        store.apply([StoreWrite(key=b"\xff", value=b"3"), StoreWrite(key=b"\x01", value=b"1"), StoreWrite(key=b"\x01\x00", value=b"2")])
        store.close()
        store = SqliteStore(self.folder / "db")
        store.apply([StoreWrite(key=b"\xff", value=None), StoreWrite(key=b"\x01", value=b"4")])
        self.assertIsNone(store.get(b"\xff"))
        found = [(pair.key, pair.value) for pair in store.scan(b"\x00", b"\xff", 10)]
        self.assertEqual(found, [(b"\x01", b"4"), (b"\x01\x00", b"2")])
        self.assertEqual(len(store.scan(b"\x00", b"\xff", 1)), 1)
        self.assertEqual((self.folder / "db").stat().st_mode & 0o777, 0o600)
        store.close()

    def test_writes_of_which_one_fails_are_not_done(self):
        store = SqliteStore(self.folder / "db")
        store.get(b"x")
        store._database.execute("PRAGMA max_page_count = 20")
        with self.assertRaises(StorageFault.Full):
            store.apply([StoreWrite(key=b"a", value=b"1"), StoreWrite(key=b"b", value=bytes(1 << 20))])
        self.assertIsNone(store.get(b"a"))
        store.close()

    def test_writes_that_cannot_be_undone_at_once_are_undone_before_anything_else(self):
        store = SqliteStore(self.folder / "db")
        store.apply([StoreWrite(key=b"a", value=b"1")])

        class Failing:
            """The database, which can neither keep nor undo a transaction."""

            in_transaction = True

            def __init__(self, database):
                self.database = database

            def execute(self, statement, *values):
                if statement == "COMMIT":
                    raise sqlite3.OperationalError("disk I/O error")
                return self.database.execute(statement, *values)

            def rollback(self):
                raise sqlite3.OperationalError("disk I/O error")

            def close(self):
                self.database.close()

        store._database = Failing(store._database)
        with self.assertRaises(StorageFault.Unusable):
            store.apply([StoreWrite(key=b"a", value=b"2")])
        self.assertEqual(store.get(b"a"), b"1")
        store.close()

    def test_a_second_store_on_the_same_file_is_refused(self):
        store = SqliteStore(self.folder / "db")
        store.get(b"x")
        with self.assertRaises(StorageFault.InUse):
            SqliteStore(self.folder / "db").get(b"x")
        store.close()

    def test_a_store_that_was_refused_takes_nothing_from_the_one_that_has_the_file(self):
        store = SqliteStore(self.folder / "db")
        store.get(b"x")
        with self.assertRaises(StorageFault.InUse):
            SqliteStore(self.folder / "db").get(b"x")
        # What other programs see is the system's lock.
        program = (
            "import sys\n"
            "from mhealth_chain import SqliteStore, StorageFault\n"
            "try:\n    SqliteStore(sys.argv[1]).get(b'x')\n"
            "except StorageFault.InUse:\n    print('in use')\n"
        )
        other = subprocess.run([sys.executable, "-c", program, self.folder / "db"], stdout=subprocess.PIPE, text=True)
        self.assertEqual(other.stdout, "in use\n")
        store.close()

    def test_a_closed_store_stays_closed_and_its_file_is_free(self):
        store = SqliteStore(self.folder / "db")
        store.get(b"x")
        store.close()
        with self.assertRaises(StorageFault.Unusable):
            store.get(b"x")
        with self.assertRaises(StorageFault.Unusable):
            store.apply([StoreWrite(key=b"a", value=b"1")])
        again = SqliteStore(self.folder / "db")
        self.assertIsNone(again.get(b"a"))
        again.close()

    def test_a_file_that_is_no_database_is_damaged(self):
        (self.folder / "db").write_bytes(b"not a database" * 100)
        with self.assertRaises(StorageFault.Damaged):
            SqliteStore(self.folder / "db").get(b"x")

    def test_what_the_system_says_of_a_full_disk_is_told_from_other_faults(self):
        for number, expected in ((errno.ENOSPC, StorageFault.Full), (errno.EDQUOT, StorageFault.Full), (errno.EACCES, StorageFault.Unusable)):
            with mock.patch("os.open", side_effect=OSError(number, "as the system says it")), self.assertRaises(expected):
                SqliteStore(self.folder / "db").get(b"x")

    def test_only_the_key_that_wrapped_unwraps(self):
        key, other = FileKeystore(self.folder / "key"), FileKeystore(self.folder / "other")
        wrapped = key.wrap(bytes(32))
        self.assertEqual(FileKeystore(self.folder / "key").unwrap(wrapped), bytes(32))
        with self.assertRaises(KeyFault.Foreign):
            other.unwrap(wrapped)
        other.wrap(bytes(32))
        with self.assertRaises(KeyFault.Foreign):
            other.unwrap(wrapped)
        self.assertEqual((self.folder / "key").stat().st_mode & 0o777, 0o600)


class Transports(unittest.TestCase):
    def request(self, port, patience=2000, address="http://127.0.0.1"):
        return HttpRequest(method="GET", url=f"{address}:{port}/", headers=[], body=None, patience=patience, longest_answer=100)

    def serving(self, status, body):
        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def test_answers_come_as_they_are_and_no_redirect_is_followed(self):
        answer = HttpTransport().send(self.request(self.serving(302, b"abc")))
        self.assertEqual((answer.status, answer.body), (302, b"abc"))

    def test_an_answer_that_is_too_long_is_refused(self):
        with self.assertRaises(HttpFault.TooLong):
            HttpTransport().send(self.request(self.serving(200, bytes(101))))

    def test_a_server_that_does_not_answer_is_unreachable_when_patience_is_over(self):
        with socket.create_server(("127.0.0.1", 0)) as silent, self.assertRaises(HttpFault.Unreachable):
            HttpTransport().send(self.request(silent.getsockname()[1], patience=200))

    def test_a_certificate_that_is_not_valid_at_this_time_is_told_from_one_that_is_not_trusted(self):
        for code, expected in ((9, True), (10, False), (18, None)):
            error = ssl.SSLCertVerificationError(1, "certificate verify failed")
            error.verify_code, error.verify_message = code, "as OpenSSL says it"
            with (
                socket.create_server(("127.0.0.1", 0)) as server,
                mock.patch("ssl.SSLContext.wrap_socket", side_effect=error),
                self.assertRaises(HttpFault.Untrusted if expected is None else HttpFault.WrongTime) as refused,
            ):
                HttpTransport().send(self.request(server.getsockname()[1], address="https://127.0.0.1"))
            self.assertEqual(getattr(refused.exception, "not_yet", None), expected)

    def test_what_carries_credentials_or_payloads_says_nothing_of_them_as_a_text(self):
        header = HttpHeader(name="authorization", value="secret")
        request = self.request(1)
        request.url, request.headers, request.body = "https://secret.example.org", [header], b"secret"
        answer = HttpAnswer(status=200, headers=[header], body=b"secret")
        for record in (header, request, answer, StoreWrite(key=b"secret", value=b"secret"), StoredPair(key=b"secret", value=b"secret")):
            for text in (str(record), repr(record), f"{[record]}"):
                self.assertIn(type(record).__name__, text)
                self.assertNotIn("secret", text)

    def test_a_server_that_drips_its_answer_is_unreachable_when_patience_is_over(self):
        def drip(server, begin):
            stream, _ = server.accept()
            with stream:
                stream.sendall(begin)
                # Whoever believes each of these to be progress waits for three seconds.
                for _ in range(60):
                    try:
                        stream.sendall(b"x")
                    except OSError:
                        return
                    time.sleep(0.05)

        head = b"HTTP/1.1 200 OK\r\n"
        for begin in (b"", head + b"X-Long: ", head + b"Content-Length: 90\r\n\r\n"):
            with self.subTest(begin), socket.create_server(("127.0.0.1", 0)) as server:
                threading.Thread(target=drip, args=(server, begin), daemon=True).start()
                begun = time.monotonic()
                with self.assertRaises(HttpFault.Unreachable):
                    HttpTransport().send(self.request(server.getsockname()[1], patience=300))
                self.assertLess(time.monotonic() - begun, 1.5)

    def test_what_is_asked_arrives_whole_and_as_it_is(self):
        heard = []

        class Listening(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                heard.append((self.path, self.headers["X-Name"], self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listening)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        body = bytes(1 << 20)
        request = self.request(server.server_address[1], patience=10_000)
        request.method, request.url, request.body = "POST", request.url + "v1?a=b", body
        request.headers = [HttpHeader(name="x-name", value="value")]
        answer = HttpTransport().send(request)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(heard, [("/v1?a=b", "value", body)])


class Phones(InAFolder):
    def enrolling(self, folder):
        """A phone that knows its study, at a server that never enrols."""
        server = office.opened()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        phone = Phone.in_folder(folder)
        with self.assertRaises(MHealthError) as refused:
            phone.enrol(server.url, office.code(), timeout=1)
        self.assertIn(refused.exception.code, ("chain_unavailable", "deadline"))
        return phone

    def test_a_phone_says_that_it_is_to_be_enrolled_in_three_languages(self):
        with Phone.in_folder(self.folder) as phone:
            self.assertEqual(phone.status().advice, "enrol")
            self.assertEqual(len({phone.advice(language) for language in Language}), 3)
            with self.assertRaises(MHealthError) as refused:
                phone.seal("night", "application/json", b"{}")
            self.assertEqual(refused.exception.code, "not_enrolled")

    def test_a_phone_that_was_stopped_says_why_in_three_languages(self):
        with Phone.in_folder(self.folder) as phone:
            status = copy.copy(phone.status())
            # The sync that stops a phone succeeds: there is no fault.
            status.advice, status.last_fault = "tell_study", None
            phone.status = lambda: status
            status.stopped = "another_reason"
            unknown = phone.advice()
            self.assertIn("the word another_reason.", unknown)
            reasons = ("foreign_head", "restored_backup", "other_enrolment", "another_participant_key", "device_retired", "never_enrolled")
            for status.stopped in reasons:
                said = {phone.advice(language) for language in Language}
                self.assertEqual(len(said - {unknown}), 3)

    def test_what_is_wrong_with_an_enrolment_is_named_before_anything_is_sent(self):
        for address, code, expected in (
            ("https://auth.example.org", "no code", "malformed_code"),
            ("not an address", office.code(), "not_an_address"),
            ("http://auth.example.org", office.code(), "plain_http"),
        ):
            with Phone.in_folder(self.folder) as phone, self.assertRaises(MHealthError) as refused:
                phone.enrol(address, code, timeout=1)
            self.assertEqual(refused.exception.code, expected)
            sentences = {refused.exception.sentence(language) for language in Language}
            self.assertEqual(len(sentences), 3)

    def test_an_app_for_another_chain_uses_no_code(self):
        server = office.opened()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        with Phone.in_folder(self.folder, chain="0x" + "22" * 32) as phone:
            with self.assertRaises(MHealthError) as refused:
                phone.enrol(server.url, office.code(), timeout=5)
            self.assertEqual((refused.exception.code, refused.exception.advice), ("another_chain", "tell_study"))
            sentences = {refused.exception.sentence(language) for language in Language}
            self.assertEqual(len(sentences), 3)
            self.assertIsNone(phone.status().study)
        with self.assertRaises(MHealthError) as refused:
            Phone.in_folder(self.folder, chain="22")
        self.assertEqual(refused.exception.code, "not_a_chain")
        with Phone.in_folder(self.folder, chain="0x" + office.CHAIN.hex()) as phone:
            with self.assertRaises(MHealthError) as refused:
                phone.enrol(server.url, office.code(), timeout=1)
            self.assertIn(refused.exception.code, ("chain_unavailable", "deadline"))

    def test_a_code_without_its_server_is_not_used_up(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        with Phone.in_folder(self.folder) as phone:
            with self.assertRaises(MHealthError) as refused:
                phone.enrol(f"http://127.0.0.1:{port}", office.code(), timeout=1)
            self.assertIn(refused.exception.code, ("server_unreachable", "deadline"))
            self.assertEqual(phone.status().sealed, 0)

    def test_a_store_that_was_copied_without_its_key_says_so(self):
        self.enrolling(self.folder / "phone").close()
        shutil.copytree(self.folder / "phone", self.folder / "copy")
        (self.folder / "copy" / "phone.key").unlink()
        with self.assertRaises(MHealthError) as refused:
            Phone.in_folder(self.folder / "copy")
        self.assertEqual((refused.exception.code, refused.exception.advice), ("wrong_keystore", "enrol_anew"))
        self.assertIn("code", refused.exception.sentence())

    def test_a_phone_that_may_keep_nothing_says_so(self):
        (self.folder / "file").touch()
        with self.assertRaises(MHealthError) as refused:
            Phone.in_folder(self.folder / "file")
        self.assertEqual((refused.exception.code, refused.exception.advice), ("state_unreadable", "tell_study"))

    def test_a_phone_without_room_says_so_and_goes_on_when_there_is_some(self):
        with self.enrolling(self.folder) as phone:
            room = lambda pages: phone._store._database.execute(f"PRAGMA max_page_count = {pages}").fetchone()
            seal = lambda: phone.seal("night", "application/json", bytes(200_000))
            room(1)
            with self.assertRaises(MHealthError) as refused:
                seal()
            self.assertEqual((refused.exception.code, refused.exception.advice), ("state_disk_full", "make_room"))
            self.assertEqual(phone.status().sealed, 0)
            room(1 << 30)
            self.assertEqual((seal().outcome, phone.status().sealed), ("new", 1))

    def test_a_second_phone_on_the_same_folder_is_refused(self):
        with Phone.in_folder(self.folder), self.assertRaises(MHealthError) as refused:
            Phone.in_folder(self.folder)
        self.assertEqual(refused.exception.code, "state_in_use")

    def test_a_closed_phone_stays_closed_whatever_was_under_way(self):
        phone = self.enrolling(self.folder)
        syncing = phone.sync_in_background(timeout=3)
        phone.close()
        with self.assertRaises(ValueError):
            phone.status()
        with Phone.in_folder(self.folder) as again:
            self.assertIsInstance(syncing.exception(), (MHealthError, ValueError))
            self.assertEqual(again.status().sealed, 0)

    def test_the_same_source_is_sealed_once_and_corrected_only_when_asked(self):
        with self.enrolling(self.folder) as phone:
            seal = lambda payload, **more: phone.seal("night", "application/json", payload, **more)
            outcomes = [
                seal(b'{"id":1}', content=b"412"),
                seal(b'{"id":2}', content=b"412"),
                seal(b'{"id":3}', content=b"413"),
                seal(b'{"id":3}', content=b"413", correct=True),
            ]
            self.assertEqual([(sealed.outcome, sealed.sequence) for sealed in outcomes], [("new", 1), ("before", 1), ("differs", 1), ("new", 2)])

    def test_what_is_no_payload_is_sealed_under_no_other_meaning(self):
        with self.enrolling(self.folder) as phone:
            for wrong in (412, "text", [1, 2], None):
                with self.assertRaises(TypeError):
                    phone.seal("night", "application/json", wrong)
                with self.assertRaises(TypeError):
                    phone.seal("night", "application/json", b"{}", content=wrong or 0)
            self.assertEqual(phone.status().sealed, 0)
            self.assertEqual(phone.seal("night", "application/json", bytearray(b"{}"), content=memoryview(b"{}")).outcome, "new")

    def test_who_has_time_without_an_end_waits_for_the_answer(self):
        with Phone.in_folder(self.folder) as phone:
            with self.assertRaises(MHealthError) as refused:
                phone.enrol("https://auth.example.org", "no code", timeout=float("inf"))
            self.assertEqual(refused.exception.code, "malformed_code")
            self.assertEqual(phone.sync(timeout=float("inf")).state, "unenrolled")

    def test_a_sync_without_a_server_ends_within_its_deadline_and_in_the_background(self):
        with self.enrolling(self.folder) as phone:
            begun = time.monotonic()
            with self.assertRaises(MHealthError):
                phone.sync_in_background(timeout=1).result()
            self.assertLess(time.monotonic() - begun, 1.5)
            self.assertIsNotNone(phone.status().last_fault)

    def test_a_sync_in_the_background_ends_when_it_is_cancelled(self):
        with self.enrolling(self.folder) as phone:
            syncing = phone.sync_in_background(timeout=60)
            begun = time.monotonic()
            syncing.cancel()
            self.assertEqual(syncing.exception(timeout=30).code, "cancelled")
            self.assertLess(time.monotonic() - begun, 5)

    def test_a_sync_is_back_in_time_whoever_is_away_and_a_later_one_finishes(self):
        played = study.Study()
        self.addCleanup(played.close)
        with Phone.in_folder(self.folder, trust_relays=True) as phone:
            phone.enrol(played.url, played.code())
            for conduct in ("silent", "slow", "gone", "away"):
                phone.seal(conduct, "application/json", b"{}")
                played.play(conduct)
                # A machine with much else to do may be late, but not three times.
                for _ in range(3):
                    begun = time.monotonic()
                    with self.assertRaises(MHealthError) as refused:
                        phone.sync(timeout=5)
                    took = time.monotonic() - begun
                    self.assertLess(took, 10, conduct)
                    self.assertEqual((refused.exception.code, refused.exception.advice), ("deadline", "wait"), conduct)
                    if took < 5.5:
                        break
                self.assertLess(took, 5.5, conduct)
                status = phone.status()
                self.assertEqual((status.queued, status.last_fault), (1, "deadline"), conduct)
                self.assertIsNotNone(status.next_try, conduct)
                played.play("well")
                self.assertEqual(phone.sync(timeout=60).state, "level", conduct)
        self.assertEqual(played.report()["faults"], [])


if __name__ == "__main__":
    unittest.main()
