#!/usr/bin/env bash
# h2 4.4.1: an acknowledgement of SETTINGS puts in force the next value of every setting that waits, not those of the frame
# that was acknowledged. A server that has sent two frames, one with a frame size and one with a smaller window, holds
# its peer to the smaller window at the first acknowledgement, before the peer has seen that frame: data that were allowed
# when they were sent end the connection with FlowControlError. Only several values of one setting wait for each other.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q h2==4.4.1
"$work/venv/bin/python" - <<'PY'
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import FlowControlError
from h2.settings import SettingCodes

FRAME, WINDOW = SettingCodes.MAX_FRAME_SIZE, SettingCodes.INITIAL_WINDOW_SIZE
HEADERS = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "localhost")]


def connected():
    client, server = (H2Connection(H2Configuration(client_side=is_client)) for is_client in (True, False))
    client.initiate_connection()
    server.initiate_connection()
    for _ in range(2):
        server.receive_data(client.data_to_send())
        client.receive_data(server.data_to_send())
    return client, server


def acknowledged(first, second):
    """Let the server send two frames of settings, and the client acknowledge the first; return both sides."""
    client, server = connected()
    server.update_settings(first)
    frames = [server.data_to_send()]
    server.update_settings(second)
    frames.append(server.data_to_send())
    client.receive_data(frames[0])
    server.receive_data(client.data_to_send())
    return client, server


_, server = acknowledged({WINDOW: 100_000}, {WINDOW: 200_000})
print("one setting twice: window", server.local_settings.initial_window_size, "after the first acknowledgement")
assert server.local_settings.initial_window_size == 100_000
client, server = acknowledged({FRAME: 20_000}, {WINDOW: 1_000})
print(
    "two settings: frame size", server.local_settings.max_frame_size,
    "and window", server.local_settings.initial_window_size, "after the first acknowledgement"
)
assert (server.local_settings.max_frame_size, server.local_settings.initial_window_size) == (20_000, 1_000)
assert client.remote_settings.initial_window_size == 65_535
client.send_headers(1, HEADERS)
client.send_data(1, b"x" * 5_000)
try:
    server.receive_data(client.data_to_send())
except FlowControlError as error:
    print("5,000 bytes from a client that knows of a window of 65,535:", type(error).__name__, error)
else:
    raise SystemExit("the data were taken")
print("as described")
PY
