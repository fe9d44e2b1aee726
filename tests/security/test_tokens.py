"""Keys: what is made, what an operator gives, how they are written, renewed and end."""

from __future__ import annotations

import json
import os
import stat
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import AccessDenied, BadRequest
from modelserver.interfaces import InThread
from modelserver.security.authorization import TokenAuthorizer
from modelserver.security.key_file import KINDS, AccessKey, KeyFileInvalid, parse_keys, read_keys, render_keys
from modelserver.security.tokens import Tokens
from tests.harness.management import HeldThread
from tests.harness.threads import at_once

START = 1_700_000_000.0
HOUR = 3600.0
OF_THE_PEER = """{
  "management": {"key": "T1b4bTYu", "expiration time": "2023-11-14T23:13:20.123456789Z"},
  "inference": {"key": "-wTs7ZmX", "expiration time": "2023-11-14T23:13:20Z"},
  "API": {"key": "yv9uQajP"}
}"""


class KeyFileTests(SynchronousTestCase):
    """The format."""

    def test_reads_the_peers_file(self) -> None:
        keys = parse_keys(OF_THE_PEER)
        self.assertEqual([keys[kind].secret for kind in KINDS], ["-wTs7ZmX", "T1b4bTYu", "yv9uQajP"])
        self.assertEqual(keys["inference"].expires, START + HOUR)
        self.assertAlmostEqual(keys["management"].expires, START + HOUR + 0.123457, 4)
        self.assertEqual(keys["token"].expires, float("inf"))

    def test_reads_what_it_writes(self) -> None:
        keys = {kind: AccessKey(kind * 3, START + 0.5) for kind in KINDS}
        self.assertEqual(parse_keys(render_keys(keys)), keys)

    def test_has_the_peers_names(self) -> None:
        written = json.loads(render_keys(parse_keys(OF_THE_PEER)))
        self.assertEqual(list(written), ["management", "inference", "API"])
        self.assertEqual(list(written["management"]), ["key", "expiration time"])
        self.assertEqual(written["inference"]["expiration time"], "2023-11-14T23:13:20.000000Z")
        self.assertEqual(list(written["API"]), ["key"])

    def test_refuses_what_is_no_key_file_and_shows_no_key(self) -> None:
        for text in (
            "",
            "[]",
            "[" * 100_000,
            '{"inference": "secret-key"}',
            '{"inference": {}}',
            '{"inference": {"key": 7}}',
            '{"inference": {"key": ""}}',
            '{"inference": {"key": "secret key"}}',
            '{"inference": {"key": "secret\\nkey"}}',
            '{"inference": {"key": "secret", "expiration time": "tomorrow"}}',
            '{"inference": {"key": "secret", "expiration time": "2023-99-14T23:13:20Z"}}',
            '{"inference": {"key": "secret", "expiration time": 5}}',
        ):
            with self.subTest(text[:60]):
                error = self.assertRaises(KeyFileInvalid, parse_keys, text)
                self.assertNotIn("secret", str(error))

    def test_a_key_does_not_show(self) -> None:
        self.assertNotIn("hush", repr(AccessKey("hush")))


class TokensCase(SynchronousTestCase):
    """Keys in a temporary folder, and a clock."""

    given: Path | None = None

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.clock = Clock()
        self.moved = 0.0
        self.numbers = count(1)
        self.tokens = self.make()

    def make(self, given: Path | None = None, in_thread: InThread = at_once) -> Tokens:
        return Tokens(
            self.folder / "key_file.json",
            given,
            HOUR,
            lambda: START + self.moved + self.clock.seconds(),
            self.clock.seconds,
            lambda size: next(self.numbers).to_bytes(size, "big"),
            in_thread,
        )

    @property
    def written(self) -> dict[str, dict[str, str]]:
        read: dict[str, dict[str, str]] = json.loads((self.folder / "key_file.json").read_text("ascii"))
        return read

    def reload(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.tokens.reload()))

    def renew(self, kind: str) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.tokens.renew(kind)))  # type: ignore[arg-type]


class MadeKeyTests(TokensCase):
    """Keys that the server makes."""

    def test_are_of_128_bits_and_different(self) -> None:
        self.tokens.start()
        secrets = [self.tokens.keys[kind].secret for kind in KINDS]
        self.assertEqual(len(set(secrets)), 3)
        self.assertEqual({len(secret) for secret in secrets}, {22})

    def test_are_in_the_file_for_the_owners_eyes(self) -> None:
        self.tokens.start()
        file = self.folder / "key_file.json"
        self.assertEqual(read_keys(file).keys(), set(KINDS))
        self.assertEqual(self.written["inference"]["key"], self.tokens.keys["inference"].secret)
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["key_file.json"])

    def test_mode_holds_whatever_the_mask(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.tokens.start()
        self.assertEqual(stat.S_IMODE((self.folder / "key_file.json").stat().st_mode), 0o600)

    def test_a_link_is_replaced_and_not_followed(self) -> None:
        victim = self.folder / "victim"
        victim.write_text("untouched", "ascii")
        (self.folder / "key_file.json").symlink_to(victim)
        self.tokens.start()
        self.assertEqual(victim.read_text("ascii"), "untouched")
        self.assertFalse((self.folder / "key_file.json").is_symlink())

    def test_the_file_goes_with_the_server(self) -> None:
        self.tokens.start()
        self.tokens.stop()
        self.assertEqual(list(self.folder.iterdir()), [])
        self.tokens.stop()

    def test_another_servers_file_stays(self) -> None:
        self.tokens.start()
        other = self.make()
        other.start()
        self.tokens.stop()
        self.assertEqual(self.written["inference"]["key"], other.keys["inference"].secret)

    def test_a_file_that_cannot_be_written_is_told(self) -> None:
        (self.folder / "key_file.json").mkdir()
        with self.assertRaisesRegex(KeyFileInvalid, r"cannot be written: Is a directory.*\(token_file\)"):
            self.tokens.start()
        self.assertEqual([path.name for path in self.folder.iterdir()], ["key_file.json"])

    def test_renewing_replaces_one_key(self) -> None:
        self.tokens.start()
        before = dict(self.tokens.keys)
        self.clock.advance(512.0)
        self.renew("inference")
        after = self.tokens.keys
        self.assertNotEqual(after["inference"].secret, before["inference"].secret)
        self.assertEqual(after["inference"].expires, START + 512.0 + HOUR)
        self.assertEqual((after["management"], after["token"]), (before["management"], before["token"]))
        self.assertEqual(self.written["inference"]["key"], after["inference"].secret)

    def test_a_key_that_cannot_be_written_is_not_renewed(self) -> None:
        self.tokens.start()
        before = self.tokens.keys["inference"]
        (self.folder / "key_file.json").unlink()
        (self.folder / "key_file.json").mkdir()
        renewed = Deferred.fromCoroutine(self.tokens.renew("inference"))
        self.failureResultOf(renewed, OSError)
        self.assertEqual(self.tokens.keys["inference"], before)

    def test_renewals_at_once_leave_the_last_keys_in_the_file(self) -> None:
        thread = HeldThread()
        self.tokens = self.make(in_thread=thread)
        self.tokens.start()
        thread.holds = True
        renewed = [Deferred.fromCoroutine(self.tokens.renew("inference")) for _ in range(3)]
        thread.run_all()
        for each in renewed:
            self.successResultOf(each)
        self.assertEqual(self.written["inference"]["key"], self.tokens.keys["inference"].secret)


class SpellingTests(TokensCase):
    """Which headers pass."""

    def assert_refused(self, header: bytes | None) -> None:
        error = self.assertRaises(AccessDenied, self.tokens.check_spelled, "inference", header)
        self.assertEqual(
            str(error),
            "Token Authorization failed. Token either incorrect, expired, or not provided correctly",
        )

    def test_the_key_with_any_space_between(self) -> None:
        self.tokens.start()
        secret = self.tokens.keys["inference"].secret.encode()
        for header in (b"Bearer " + secret, b"Bearer   " + secret, b"Bearer\t" + secret):
            self.tokens.check_spelled("inference", header)

    def test_everything_else_is_refused(self) -> None:
        self.tokens.start()
        secret = self.tokens.keys["inference"].secret.encode()
        for header in (
            None,
            b"",
            secret,
            b"Bearer",
            b"Bearer ",
            b"bearer " + secret,
            b"Basic " + secret,
            b"Bearer" + secret,
            b"Bearer " + secret + b" x",
            b"Bearer " + secret[:-1],
            b"Bearer " + secret + b"A",
            b"Bearer \xff\xfe",
            self.tokens.keys["management"].bearer,
            self.tokens.keys["token"].bearer,
        ):
            with self.subTest(header):
                self.assert_refused(header)

    def test_a_key_is_good_until_it_expires(self) -> None:
        self.tokens.start()
        header = self.tokens.keys["inference"].bearer
        self.clock.advance(HOUR - 0.5)
        self.tokens.check_spelled("inference", header)
        self.clock.advance(0.5)
        self.assert_refused(header)
        self.clock.advance(100 * HOUR)
        self.tokens.check_spelled("token", self.tokens.keys["token"].bearer)

    def test_corrections_of_the_time_of_day_make_no_key_good_or_bad(self) -> None:
        self.tokens.start()
        header = self.tokens.keys["inference"].bearer
        self.moved = 24 * HOUR
        self.tokens.check_spelled("inference", header)
        self.clock.advance(HOUR)
        self.assert_refused(header)
        self.moved = -24 * HOUR
        self.assert_refused(header)

    def test_the_refusal_of_a_renewal_has_the_peers_other_word(self) -> None:
        self.tokens.start()
        error = self.assertRaises(AccessDenied, self.tokens.check_spelled, "token", b"Bearer no")
        self.assertIn("Token Authentication failed", str(error))


class GivenKeyTests(TokensCase):
    """Keys of the operator."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.folder / "mine.json"

    def give(self, **keys: str) -> None:
        self.file.write_text(json.dumps({name: {"key": key} for name, key in keys.items()}), "ascii")

    def begin(self, **keys: str) -> None:
        self.give(**keys)
        self.tokens = self.make(self.file)
        self.tokens.start()

    def secret(self, kind: str) -> str:
        return self.tokens.keys[kind].secret  # type: ignore[index]

    def test_hold_and_do_not_expire(self) -> None:
        self.begin(inference="an-inference-key", management="a-management-key", API="a-key-for-renewals")
        self.clock.advance(100 * HOUR)
        self.tokens.check_spelled("inference", b"Bearer an-inference-key")
        self.tokens.check_spelled("management", b"Bearer a-management-key")
        self.assertFalse((self.folder / "key_file.json").exists())

    def test_are_completed(self) -> None:
        self.begin(inference="an-inference-key")
        self.assertEqual(self.written["inference"], {"key": "an-inference-key"})
        self.assertEqual(self.written["management"]["key"], self.secret("management"))

    def test_are_read_again_when_they_change(self) -> None:
        self.begin(inference="an-inference-key")
        made = self.secret("management")
        self.reload()
        self.give(inference="another-inference-key")
        self.reload()
        self.assertEqual(
            (self.secret("inference"), self.secret("management")), ("another-inference-key", made)
        )
        self.assertEqual(self.written["inference"]["key"], "another-inference-key")

    def test_one_that_goes_is_replaced_by_a_made_one(self) -> None:
        self.begin(inference="an-inference-key", management="a-management-key")
        self.give(management="a-management-key")
        self.reload()
        self.assertNotEqual(self.secret("inference"), "an-inference-key")
        self.assertEqual(self.written["inference"]["key"], self.secret("inference"))

    def test_stay_when_their_file_breaks(self) -> None:
        self.begin(inference="an-inference-key")
        for breaks in (lambda: self.file.write_text("{", "ascii"), self.file.unlink):
            breaks()
            self.reload()
            self.assertEqual(self.secret("inference"), "an-inference-key")

    def test_that_cannot_be_read_stop_the_start(self) -> None:
        self.tokens = self.make(self.file)
        self.assertRaises(KeyFileInvalid, self.tokens.start)

    def test_are_not_renewed_by_clients(self) -> None:
        self.begin(inference="an-inference-key")
        self.failureResultOf(Deferred.fromCoroutine(self.tokens.renew("inference")), BadRequest)
        self.renew("management")

    def test_a_folder_has_a_file_for_each_as_mounted_secrets_have(self) -> None:
        mounted = self.folder / "secret"
        (mounted / "..data").mkdir(parents=True)
        for name, key in (("inference", "an-inference-key\n"), ("API", "a-key-for-renewals")):
            (mounted / "..data" / name).write_text(key, "ascii")
            (mounted / name).symlink_to(Path("..data") / name)
        self.tokens = self.make(mounted)
        self.tokens.start()
        self.assertEqual(
            (self.secret("inference"), self.secret("token")), ("an-inference-key", "a-key-for-renewals")
        )

    def test_the_servers_own_file_is_taken_when_it_has_all_keys(self) -> None:
        file = self.folder / "key_file.json"
        file.write_text(OF_THE_PEER, "ascii")
        self.tokens = self.make(file)
        self.tokens.start()
        self.tokens.check_spelled("inference", b"Bearer -wTs7ZmX")
        self.clock.advance(HOUR)
        self.assertRaises(AccessDenied, self.tokens.check_spelled, "inference", b"Bearer -wTs7ZmX")
        self.tokens.stop()
        self.assertEqual(file.read_text("ascii"), OF_THE_PEER)

    def test_the_servers_own_file_is_not_written_over(self) -> None:
        file = self.folder / "key_file.json"
        file.write_text('{"API": {"key": "a-key-for-renewals"}}', "ascii")
        self.assertRaises(KeyFileInvalid, self.make(file).start)


class AuthorizerTests(TokensCase):
    """What fronts ask."""

    def test_who_has_not_the_key_is_noted(self) -> None:
        self.tokens.start()
        noted: list[str] = []
        gate = TokenAuthorizer(self.tokens, lambda cause, error: noted.append(cause))
        gate.check("inference", self.tokens.keys["inference"].bearer)
        for kind, header in (("inference", None), ("management", b"Bearer x"), ("token", b"x")):
            self.assertRaises(AccessDenied, gate.check, kind, header)
        self.assertEqual(noted, ["inference_key", "management_key", "token_key"])
