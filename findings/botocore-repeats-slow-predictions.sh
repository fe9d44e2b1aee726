#!/usr/bin/env bash
# botocore 1.44.5: invoke_endpoint of the client of SageMaker's runtime is a POST that no library would repeat, and
# whose answer may take its time. When it has not come within read_timeout (60 seconds by default, 1 here), the client
# makes the prediction again, and once more: three in all, in each of the modes "standard" and that of none given, while
# the server may still work on those before. A model that is slower than the timeout is so asked three times for every
# prediction, and never answers. retries={"total_max_attempts": 1} asks once.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q botocore==1.44.5
"$work/venv/bin/python" - <<'PY'
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.config import Config
from botocore.exceptions import ReadTimeoutError
from botocore.session import Session

made = []


class Slow(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        made.append(self.path)
        ended.wait(60)
        self.close_connection = True

    def log_message(self, *words):
        pass


ended = threading.Event()
server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()


def client(**options):
    return Session().create_client(
        "sagemaker-runtime",
        region_name="eu-west-1",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(**options),
    )


def ask(**options):
    made.clear()
    began = time.monotonic()
    try:
        client(read_timeout=1, **options).invoke_endpoint(EndpointName="dog", Body=b"[1]")
    except ReadTimeoutError:
        pass
    else:
        raise AssertionError
    print(f"{options}: {len(made)} predictions were asked for in {time.monotonic() - began:.0f} s")
    return len(made)


print("read_timeout by default:", client().meta.config.read_timeout)
assert client().meta.config.read_timeout == 60
assert ask() == 3
assert ask(retries={"mode": "standard"}) == 3
assert ask(retries={"total_max_attempts": 1}) == 1
ended.set()
server.shutdown()
print("as described")
PY
