"""Management under hostile or merely large input: one call fails or takes its time, nobody else waits."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.harness.faults import OBEY, RawClient, WatchedServer, serving, statuses, watching
from tests.harness.server_process import ask

pytestmark = pytest.mark.xdist_group("management faults")

MODELS = 200
"""Registered, without workers: enough that what is slow for each of them is seen."""
LARGE = 6_500_000
"""Bytes just below ``max_request_size``."""
JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'


@pytest.fixture(scope="module")
def server() -> Iterator[WatchedServer]:
    """One server for all rows, with many models."""
    with serving({"obey": OBEY}, {"metrics_mode": "prometheus"}) as started:
        assert started.register("obey.mar").status == 200
        for number in range(MODELS):
            answer = started.register("obey.mar", model_name=f"m{number}", initial_workers=0)
            assert answer.status == 200, answer.text
        yield started


@pytest.fixture(autouse=True)
def watched(server: WatchedServer) -> Iterator[None]:
    """In any of these tests, the reactor is there all the time."""
    with watching(server):
        yield


REGISTRATIONS = (
    ("lists", JSON, b"[" + b"[]," * (LARGE // 3 - 10) + b"1]"),
    ("members", JSON, b"{" + b",".join(b'"k%d":1' % number for number in range(LARGE // 14)) + b"}"),
    ("deep", JSON, b"[" * LARGE),
    ("10,000-deep", JSON, b'{"url":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    ("huge-integer", JSON, b'{"batch_size":' + b"1" * 50_000 + b"}"),
    ("lone-surrogate", JSON, b'{"url":"\\ud800.mar"}'),
    ("broken-utf-8", JSON, b"\xff" * LARGE),
    ("no-json", JSON, b"{" + b"a:1," * 16_000),
    ("fields", FORM, b"a=1&" * (LARGE // 4)),
    ("percents", FORM, b"url=" + b"%ff" * (LARGE // 3 - 10)),
    ("bytes", FORM, b"url=" + b"\xff" * (LARGE - 10)),
)


@pytest.mark.parametrize(
    ("kind", "body"), [row[1:] for row in REGISTRATIONS], ids=[row[0] for row in REGISTRATIONS]
)
def test_a_hostile_registration_is_refused(server: WatchedServer, kind: bytes, body: bytes) -> None:
    """With 400 or 404, at once, whatever its body is."""
    answer = server.management("POST", "/models", body, {"Content-Type": kind.decode()})
    assert answer.status in (400, 404), answer
    assert len(answer.body) < 10_000


FORMS = (
    ("fields", FORM, b"a=1&" * (LARGE // 4)),
    ("percents", FORM, b"a=" + b"%ff" * (LARGE // 3 - 10)),
    ("bytes", FORM, b"a=" + b"\xff" * (LARGE - 10)),
    ("parts", MULTIPART, (PART + b"x\r\n") * 60_000 + b"--b--\r\n"),
    ("lines", MULTIPART, PART + b"\r\n" * (LARGE // 2 - 100) + b"\r\n--b--\r\n"),
    ("almost-ends", MULTIPART, PART + b"\r\n--" * (LARGE // 4 - 100) + b"\r\n--b--\r\n"),
    ("headers", MULTIPART, b"--b\r\n" + b"a:b\r\n" * (LARGE // 5 - 100)),
)


@pytest.mark.parametrize(("kind", "body"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS])
def test_a_form_that_names_no_model_is_refused(server: WatchedServer, kind: bytes, body: bytes) -> None:
    """``/invocations`` looks for a model's name in forms."""
    answer = server.inference("POST", "/invocations", body, {"Content-Type": kind.decode()})
    assert answer.status == 400, answer


QUESTIONS = (
    ("inference", "GET", "/ping", 200),
    ("inference", "GET", "/health/ready", 200),
    ("inference", "OPTIONS", "/", 200),
    ("management", "OPTIONS", "/", 200),
    ("management", "OPTIONS", "/models/obey", 200),
    ("management", "GET", "/models?limit=100", 200),
    ("management", "GET", "/models?" + "a=1&" * 1900, 400),
    ("management", "GET", "/models?a=" + "%ff" * 2600, 200),
    ("management", "GET", "/models/" + quote("é" * 250), 404),
    ("metrics", "GET", "/metrics", 200),
    ("metrics", "GET", "/metrics?name[]=none", 200),
)


@pytest.mark.parametrize(("listener", "method", "path", "code"), QUESTIONS)
def test_a_question_about_many_models(
    server: WatchedServer, listener: str, method: str, path: str, code: int
) -> None:
    """It is answered, and holds nobody up."""
    port = server.ports[("inference", "management", "metrics").index(listener)]
    assert ask(port, method, path).status == code


def test_all_versions_are_described(server: WatchedServer) -> None:
    """Many of one model."""
    _pack(server, "obey.mar", "versions.mar", {})
    for number in range(60):
        _pack(server, "obey.mar", "versions.mar", {"modelName": "versions", "modelVersion": f"{number}.0"})
        assert server.register("versions.mar", initial_workers=0).status == 200
    assert len(server.management("GET", "/models/versions/all").json()) == 60


DOCUMENTS = (
    ("10-mb-manifest", b'{"model":{"x":"' + b"x" * 10_000_000 + b'"}}', b""),
    ("many-lists", b"[" + b"[]," * 87_000 + b"1]", b""),
    ("deep-manifest", b"[" * 200_000, b""),
    ("10-mb-yaml", b"", b"a: " + b"x" * 10_000_000),
    ("deep-yaml", b"", b"a: " + b"[" * 100_000),
    ("many-lines-yaml", b"", b"- a\n" * 200_000),
    (
        "alias-bomb",
        b"",
        b"a: &a [x,x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 120)),
    ),
)


@pytest.mark.parametrize(
    ("manifest", "config"), [row[1:] for row in DOCUMENTS], ids=[row[0] for row in DOCUMENTS]
)
def test_a_hostile_document_of_an_archive(server: WatchedServer, manifest: bytes, config: bytes) -> None:
    """A manifest or a model-config like this is refused with 400; nobody waits for either."""
    documents = {"configFile": "model-config.yaml"} if config else {}
    _pack(server, "obey.mar", "hostile.mar", documents, manifest, config)
    answer = server.register("hostile.mar", model_name="hostile", initial_workers=0)
    assert answer.status == 400, answer.text
    assert server.management("GET", "/models/hostile").status == 404


def _pack(
    server: WatchedServer,
    source: str,
    target: str,
    changes: dict[str, str],
    manifest: bytes = b"",
    config: bytes = b"",
) -> None:
    """Copy an archive with another manifest."""
    with zipfile.ZipFile(server.store / source) as old, zipfile.ZipFile(server.store / target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "MAR-INF/MANIFEST.json":
                document = json.loads(content)
                document["model"].update(changes)
                content = manifest or json.dumps(document).encode()
            new.writestr(name, content)
        if config:
            new.writestr("model-config.yaml", config)


def test_ten_thousand_requests_in_one_piece(server: WatchedServer) -> None:
    """Pipelined pings, and requests that Twisted Web reads."""
    for line, count in ((b"GET /ping", 10_000), (b"GET /health/live", 1000)):
        with RawClient(server.ports[0]) as client:
            client.send((line + b" HTTP/1.1\r\nHost: x\r\n\r\n") * count)
            client.read_answers(count)
            assert statuses(client.received) == [200] * count
