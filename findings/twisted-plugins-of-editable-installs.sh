#!/usr/bin/env bash
# Twisted 26.10.0 with pip 25.3 and setuptools 80.9.0: a project that names its packages and is installed with
# `pip install --editable` brings no plugin: `twistd NAME` is an unknown command, though the package itself is imported,
# and a plain install of the same project has it. setuptools finds editable packages by a hook for imports; Twisted looks
# for plugins in the folders of sys.path. `--config-settings editable_mode=compat` brings the plugin.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/project/greeter" "$work/project/twisted/plugins"
cd "$work/project"
cat > setup.py <<'PY'
from setuptools import setup

setup(name="greeter", version="1.0", packages=["greeter", "twisted.plugins"])
PY
cat > greeter/__init__.py <<'PY'
from twisted.application.service import Service
from twisted.python.usage import Options


def makeService(options):
    return Service()
PY
cat > twisted/plugins/greeter_plugin.py <<'PY'
from twisted.application.service import ServiceMaker

greeter = ServiceMaker("greeter", "greeter", "Greets.", "greeter")
PY
# asked HOW: whether twistd knows the plugin of the project, which is installed like this; from another folder.
asked() {
    python3 -m venv "$work/$1"
    "$work/$1/bin/pip" install -q pip==25.3 setuptools==80.9.0
    "$work/$1/bin/pip" install -q Twisted==26.10.0
    "$work/$1/bin/pip" install -q --no-build-isolation "${@:2}"
    (cd / && "$work/$1/bin/python" -c "import greeter")
    help=$(cd / && "$work/$1/bin/twistd" --help)
    if grep -q "^ *greeter " <<< "$help"; then echo yes; else echo no; fi
}
plain=$(asked plain .)
editable=$(asked editable --editable .)
compat=$(asked compat --config-settings editable_mode=compat --editable .)
echo "twistd knows the plugin of a plain install: $plain, an editable one: $editable, with editable_mode=compat: $compat"
[ "$plain $editable $compat" = "yes no yes" ]
echo "as described"
