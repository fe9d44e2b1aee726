#!/usr/bin/env bash
# Twisted 26.10.0: Trial takes an attribute `suppress` of a test's module for the list of warnings that its tests are to
# ignore, whatever it is. With `from contextlib import suppress` in the module, each of its tests that use trial's TestCase
# is an error, "TypeError: 'ABCMeta' object is not iterable", be they run by trial or by pytest, although none calls it.
# With `import contextlib` they pass.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q twisted==26.10.0 pytest==9.2.0
cd "$work"
for way in "from contextlib import suppress" "import contextlib"; do
    name=test_$(echo "$way" | cut -d' ' -f1)
    printf '%s\n' "$way" "from twisted.trial.unittest import SynchronousTestCase" "" "" \
        "class Tests(SynchronousTestCase):" "    def test_nothing(self):" "        self.assertEqual(1, 1)" > "$name.py"
    "$work/venv/bin/python" -m twisted.trial "$name" > "$name.trial" 2>&1 || true
    "$work/venv/bin/python" -m pytest -q -p no:cacheprovider "$name.py" > "$name.pytest" 2>&1 || true
    echo "$way: trial: $(tail -n 1 "$name.trial"); pytest: $(tail -n 1 "$name.pytest")"
done
grep -q "TypeError: 'ABCMeta' object is not iterable" test_from.trial
grep -q "FAILED (errors=1)" test_from.trial
grep -q "1 failed" test_from.pytest
grep -q "PASSED (successes=1)" test_import.trial
grep -q "1 passed" test_import.pytest
echo "as described"
