#!/usr/bin/env bash
# opentelemetry-api 1.45.2: its baggage propagator writes blanks as `+` and reads `+` as a blank, as forms do. W3C's
# format is percent-encoding: a plus sign is allowed in a value as it is, and means itself. So a value from a client in
# another language loses its plus signs ("2026-12-01T10:00:00+02:00", "c++17", Base64), and blanks sent from Python are
# plus signs to everybody else. Properties behind a semicolon are read as part of the value, and go on with it encoded.
# Between two programs in Python, all but the properties is as it was.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q opentelemetry-api==1.45.2
"$work/venv/bin/python" - <<'PY'
from urllib.parse import unquote

from opentelemetry.baggage import get_all, set_baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

propagator = W3CBaggagePropagator()


def read(header):
    return dict(get_all(propagator.extract({"baggage": header}, Context())))["k"]


def written(value):
    carrier = {}
    propagator.inject(carrier, set_baggage("k", value, Context()))
    return carrier["baggage"].removeprefix("k=")


for header, meant, expected in (
    ("k=c++17", "c++17", "c  17"),
    ("k=2026-12-01T10:00:00+02:00", "2026-12-01T10:00:00+02:00", "2026-12-01T10:00:00 02:00"),
    ("k=big%20cat", "big cat", "big cat"),
    ("k=cat;p=1", "cat", "cat;p=1"),
):
    told = read(header)
    print(f"{header}: read as {told!r}, meant {meant!r}")
    assert told == expected, told
sent = written("big cat")
print(f"'big cat' is sent as {sent!r}, which others read as {unquote(sent)!r}")
assert sent == "big+cat" and unquote(sent) == "big+cat"
assert read("k=" + written("c++17 big cat")) == "c++17 big cat"
print("'cat' with a property goes on as", written(read("k=cat;p=1")))
assert written(read("k=cat;p=1")) == "cat%3Bp%3D1"
print("as described")
PY
