#!/usr/bin/env bash
# uvloop 0.22.1: call_later() counts in whole milliseconds, rounded to the nearest, from a cached clock: a delay of
# 10.4 ms ends after about 10.0 ms, and one of 0.4 ms at the next turn. asyncio's own loop never calls before the
# time. Code that looks at the clock in the callback and asks again for the rest (Twisted's reactor on asyncio does)
# turns the loop without pause until the time has come.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q uvloop==0.22.1
"$work/venv/bin/python" - <<'PY'
import asyncio, time
import uvloop

def earliest(make_loop, delay, tries=60):
    """The shortest time that a timer of ``delay`` seconds took, in seconds."""
    loop = make_loop()

    async def once():
        done = loop.create_future()
        begun = time.monotonic()
        loop.call_later(delay, lambda: done.set_result(time.monotonic() - begun))
        return await done

    async def many():
        return min([await once() for _ in range(tries)])

    try:
        return loop.run_until_complete(many())
    finally:
        loop.close()

for delay in (0.0104, 0.0004):
    own, other = earliest(asyncio.new_event_loop, delay), earliest(uvloop.new_event_loop, delay)
    print(f"delay {delay * 1000:.1f} ms: asyncio from {own * 1000:.2f} ms on, uvloop from {other * 1000:.2f} ms on")
    assert own > delay - 0.0001 and other < delay - 0.0001
print("as described")
PY
