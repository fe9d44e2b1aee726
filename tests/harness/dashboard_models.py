"""Models that a dashboard has something to show of: they answer, draw, take their time, and fail loudly."""

from __future__ import annotations

import base64

PIXELS = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAE0lEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC"
    )
).decode()
"""A PNG of eight by eight points."""
MARKUP = "<img src=x onerror=\"document.title='run'\">"
"""What must stand on the page as text, wherever it comes from."""

ECHO = """
def handle(data, context):
    if data is None:
        return None
    return [row.get("body") or row.get("data") for row in data]
"""
PICTURE = f'''
import base64
def handle(data, context):
    if data is None:
        return None
    context.set_response_content_type(0, "image/png")
    return [base64.b64decode("{PIXELS}") for _ in data]
'''
LOUD = f"""
import sys
class Handler:
    def initialize(self, context):
        print({MARKUP!r}, file=sys.stderr, flush=True)
        raise RuntimeError("no weights: " + {MARKUP!r})
    def handle(self, data, context):
        return data
"""
SLOW = """
import time
def handle(data, context):
    if data is None:
        return None
    time.sleep(0.004 + 0.03 * (len(data) % 3 == 0))
    return ["ok"] * len(data)
"""
"""Quick, and now and then not."""
LOUD_PLAINLY = """
import sys
class Handler:
    def initialize(self, context):
        print("loading weights.pt", file=sys.stderr, flush=True)
        raise FileNotFoundError("weights.pt is not in the archive")
    def handle(self, data, context):
        return data
"""
"""What fails in a picture."""
