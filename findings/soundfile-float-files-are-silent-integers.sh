#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile): read(dtype="int16") scales what is in a file of 16, 24 or 32 bit integers, of 8 bits,
# of A-law, FLAC, Vorbis and MP3: a half is 16384 or near it. Of a WAV file of floats, what browsers, numpy users and
# other models make, it takes the values as they are: all between -1 and 1, so all become 0, or -1 and 1. Silence is
# what a speech model gets, and answers with an empty transcript; nothing is refused or warned of. dtype="float32" is
# right for all of them. A WAV file whose header says that it has 0 bytes, as a recorder that streams leaves it, is read
# as no sound at all likewise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q soundfile==0.14.0 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import io

import numpy as np
import soundfile

tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.float32)


def encoded(kind, subtype):
    file = io.BytesIO()
    soundfile.write(file, tone, 16000, format=kind, subtype=subtype)
    return file.getvalue()


loudest = {}
for kind, subtype in (
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "PCM_U8"), ("WAV", "ALAW"), ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
):
    body = encoded(kind, subtype)
    integers, _ = soundfile.read(io.BytesIO(body), dtype="int16")
    floats, _ = soundfile.read(io.BytesIO(body), dtype="float32")
    loudest[subtype] = int(np.abs(integers.astype(int)).max())
    print(f"{kind} {subtype}: largest of int16 {loudest[subtype]}, of float32 {np.abs(floats).max():.2f}")
    assert len(integers) == len(floats) == 16000
    assert 0.45 < np.abs(floats).max() < 0.6
assert loudest.pop("FLOAT") <= 1 and loudest.pop("DOUBLE") <= 1
assert all(15000 < value < 19000 for value in loudest.values()), loudest
streamed = bytearray(encoded("WAV", "PCM_16"))
size = streamed.index(b"data") + 4
streamed[4:8] = streamed[size : size + 4] = bytes(4)
heard, _ = soundfile.read(io.BytesIO(bytes(streamed)))
print("samples of a file whose header says 0 bytes:", len(heard))
assert len(heard) == 0
print("as described")
PY
