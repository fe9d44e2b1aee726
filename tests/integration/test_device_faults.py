"""A handler whose device fails in a real worker: its request is told why, a new worker serves the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelserver.testing import raw, serve

HANDLER = '''
import os


class AcceleratorError(RuntimeError):
    """As torch's, for a machine without a GPU."""

    __module__ = "torch"
    error_code = 710


def handle(data, context):
    if data is None:
        return None
    bodies = [bytes(row.get("data") or row.get("body")) for row in data]
    if b"poison" in bodies:
        raise AcceleratorError("CUDA error: device-side assert triggered")
    return [str(os.getpid())] * len(bodies)
'''


@pytest.mark.parametrize("batch_size", [1, 4])
def test_culprit_is_told_and_others_are_served_by_a_new_worker(tmp_path: Path, batch_size: int) -> None:
    handler = tmp_path / "poisoned.py"
    handler.write_text(HANDLER)
    with serve(handler, worker=True, batch_size=batch_size, max_batch_delay=300) as model:
        before = model.predict(raw(b"a")).text
        answers = model.predict_batch([raw(body) for body in (b"b", b"poison", b"c", b"d")])
        assert [answer.status for answer in answers] == [200, 500, 200, 200]
        assert "CUDA error 710 (device-side assert)" in answers[1].text
        assert model.predict(raw(b"e")).text not in ("", before)
