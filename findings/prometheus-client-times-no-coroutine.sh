#!/usr/bin/env bash
# prometheus_client 0.26.0: on an "async def", the decorators of metrics do their work and see none of the function's.
# @histogram.time() observes how long it takes to make the coroutine, some microseconds, however long it runs;
# @counter.count_exceptions() counts no exception, @gauge.track_inprogress() is 0 while calls are in progress. The same
# of functions with yield, whose parts are streamed. Nothing is refused or warned of, and counts are right: latencies
# look wonderful. "with histogram.time():" inside the function is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q prometheus-client==0.26.0
"$work/venv/bin/python" - <<'PY'
import asyncio
import time

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

latency = Histogram("latency", "of predictions", ["kind"])
failures = Counter("failures", "of predictions", ["kind"])
in_progress = Gauge("in_progress", "predictions")
during = []


@latency.labels("function").time()
def predict():
    time.sleep(0.2)


@latency.labels("coroutine").time()
@in_progress.track_inprogress()
async def predict_async():
    during.append(REGISTRY.get_sample_value("in_progress"))
    await asyncio.sleep(0.2)


async def predict_inside():
    with latency.labels("inside").time():
        await asyncio.sleep(0.2)


@latency.labels("stream").time()
def stream():
    for part in range(2):
        time.sleep(0.1)
        yield part


@failures.labels("function").count_exceptions()
def fail():
    raise ValueError


@failures.labels("coroutine").count_exceptions()
async def fail_async():
    raise ValueError


def caught(call):
    try:
        call()
    except ValueError:
        return
    raise AssertionError


predict()
asyncio.run(predict_async())
asyncio.run(predict_inside())
list(stream())
caught(fail)
caught(lambda: asyncio.run(fail_async()))
seconds = {}
for kind in ("function", "coroutine", "inside", "stream"):
    count = REGISTRY.get_sample_value("latency_count", {"kind": kind})
    seconds[kind] = REGISTRY.get_sample_value("latency_sum", {"kind": kind})
    print(f"{kind}: {count:.0f} observed, {seconds[kind]:.6f} s")
    assert count == 1
assert seconds["function"] >= 0.19 and seconds["inside"] >= 0.19
assert seconds["coroutine"] < 0.1 and seconds["stream"] < 0.1
failed = {kind: REGISTRY.get_sample_value("failures_total", {"kind": kind}) for kind in ("function", "coroutine")}
print("exceptions counted:", failed, "in progress, seen inside:", during)
assert failed == {"function": 1, "coroutine": 0}
assert during == [0]
print("as described")
PY
