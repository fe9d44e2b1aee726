#!/usr/bin/env bash
# protobuf 7.36.2 and 4.25.1, in C (upb) and in Python: DescriptorPool.FindFileContainingSymbol knows messages, their
# fields and services, but not the methods of a service, for which it raises KeyError. gRPC's reflection protocol lets a client ask for a method's file (package.Service.Method),
# so a reflection service that hands the name to the pool answers "not found" for what is there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/ask.py" <<'PY'
import sys
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.internal import api_implementation

file = descriptor_pb2.FileDescriptorProto(name="p.proto", package="p", syntax="proto3")
file.message_type.add(name="M").field.add(name="f", number=1, type=9, label=1)
file.service.add(name="S").method.add(name="Do", input_type=".p.M", output_type=".p.M")
pool = descriptor_pool.DescriptorPool()
pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
found = {}
for name in ("p.M", "p.M.f", "p.S", "p.S.Do"):
    try:
        found[name] = pool.FindFileContainingSymbol(name).name
    except KeyError:
        found[name] = None
kind = api_implementation.Type()
print(kind, found)
assert found["p.M"] == found["p.M.f"] == found["p.S"] == "p.proto", found
assert found["p.S.Do"] is None, found
assert kind == sys.argv[1]
PY
for version in 4.25.1 7.36.2; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install -q "protobuf==$version"
    echo "protobuf $version"
    PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=upb "$work/$version/bin/python" "$work/ask.py" upb
    PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python "$work/$version/bin/python" "$work/ask.py" python
done
echo "as described"
