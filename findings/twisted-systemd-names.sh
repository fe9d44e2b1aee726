#!/usr/bin/env bash
# Twisted 26.10.0: ListenFDs, below endpoints such as systemd:domain=INET:index=0, wants one name for each descriptor. With
# LISTEN_FDNAMES missing (systemd-socket-activate sets it only when told names) or shorter than LISTEN_FDS, it has none of
# them, and says nothing. Of descriptors that share a name, as all ListenStream= lines of one socket unit do, name=
# reaches the last one alone. Importing twisted.internet.endpoints reads the variables for itself and removes LISTEN_PID
# and LISTEN_FDS: whoever asks after it, ListenFDs.fromEnvironment() too, finds nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q twisted==26.10.0
cat > "$work/try.py" <<'PY'
import os
import sys

from twisted.python.systemd import ListenFDs

names, first = sys.argv[1], sys.argv[2:]
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3"}
if names != "-":
    os.environ["LISTEN_FDNAMES"] = names
if first:
    import twisted.internet.endpoints
given = ListenFDs.fromEnvironment()
print("names", names, *first, given.inheritedDescriptors(), given.inheritedNamedDescriptors(), end=" ")
print("left:", *sorted(name for name in os.environ if name.startswith("LISTEN_")))
PY
try() { "$work/venv/bin/python" "$work/try.py" "$@" | tee -a "$work/seen"; }
try a:b:c
try -
try a:b
try web.socket:web.socket:web.socket
try a:b:c endpoints-imported-first
diff - "$work/seen" <<'TXT'
names a:b:c [3, 4, 5] {'a': 3, 'b': 4, 'c': 5} left: LISTEN_FDNAMES
names - [] {} left:
names a:b [] {} left: LISTEN_FDNAMES
names web.socket:web.socket:web.socket [3, 4, 5] {'web.socket': 5} left: LISTEN_FDNAMES
names a:b:c endpoints-imported-first [] {} left: LISTEN_FDNAMES
TXT
echo "as described"
