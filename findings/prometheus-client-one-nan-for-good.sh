#!/usr/bin/env bash
# prometheus_client 0.26.0: counters and histograms take NaN, as a model's score or a mean of no rows may be. A counter,
# which refuses to go down, is NaN from then on. A histogram's sum is, too, while the observation is in no bucket, not even
# in +Inf, and so in no count: rates and means are gone until the process ends, and nothing tells which observation it
# was. The library's own parser of OpenMetrics refuses what the library then serves.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q prometheus_client==0.26.0
"$work/venv/bin/python" - <<'PY'
from math import isnan

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

registry = CollectorRegistry()
tokens = Counter("tokens", "Tokens.", registry=registry)
score = Histogram("score", "Scores.", registry=registry, buckets=[0.5, 1])
value = registry.get_sample_value
for number in (0.25, float("nan"), 0.75):
    tokens.inc(number)
    score.observe(number)
told = {
    "counter": value("tokens_total"),
    "sum": value("score_sum"),
    "count": value("score_count"),
    "buckets": [value("score_bucket", {"le": bound}) for bound in ("0.5", "1.0", "+Inf")],
}
print("after 0.25, NaN and 0.75:", told)
assert isnan(told["counter"]) and isnan(told["sum"]), told
assert told["count"] == 2 and told["buckets"] == [1, 2, 2], told
try:
    tokens.inc(-1)
except ValueError as error:
    print("-1:", error)
else:
    raise SystemExit("the counter went down")
try:
    list(text_string_to_metric_families(generate_latest(registry).decode()))
except ValueError as error:
    print("its parser:", error)
else:
    raise SystemExit("the parser took it")
print("as described")
PY
