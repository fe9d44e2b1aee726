#!/usr/bin/env bash
# h2 4.4.1: whoever has received GOAWAY takes nothing more from that peer, of streams that are open neither. HTTP/2 lets a peer
# go on with them (RFC 9113, 6.8): a client that leaves says so, and opens windows for the answers that it still waits
# for. Here a server with an answer in hand refuses that WINDOW_UPDATE with ProtocolError, cannot send the answer that it
# had room for, and has ended the connection; so does a client with what a server sends behind its GOAWAY, answers included.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q h2==4.4.1
"$work/venv/bin/python" - <<'PY'
import h2
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

HEADERS = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "localhost")]
GOAWAY = b"\0\0\x08\x07\0\0\0\0\0" + bytes(8)
OPENED = b"\0\0\4\x08\0\0\0\0\0" + (1000).to_bytes(4, "big")


def connected():
    client, server = (H2Connection(H2Configuration(client_side=is_client)) for is_client in (True, False))
    client.initiate_connection()
    server.initiate_connection()
    for _ in range(2):
        server.receive_data(client.data_to_send())
        client.receive_data(server.data_to_send())
    client.send_headers(1, HEADERS, end_stream=True)
    server.receive_data(client.data_to_send())
    return client, server


def fails(what, call):
    try:
        call()
    except ProtocolError as error:
        print(f"{what}: {type(error).__name__}: {error}")
    else:
        raise SystemExit(f"{what}: taken")


_, server = connected()
server.receive_data(OPENED)
print("before GOAWAY: a window is opened")
server.receive_data(GOAWAY)
fails("a window that a client opens behind its GOAWAY, stream 1 not answered yet", lambda: server.receive_data(OPENED))
fails("the answer on stream 1", lambda: server.send_headers(1, [(":status", "200")], end_stream=True))

client, server = connected()
client.receive_data(GOAWAY)
server.send_headers(1, [(":status", "200")], end_stream=True)
fails("the answer that comes behind a server's GOAWAY", lambda: client.receive_data(server.data_to_send()))
print("as described")
PY
