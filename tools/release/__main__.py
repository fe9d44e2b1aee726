"""
Makes what a release publishes, out of the last commit; the checkout is left as it is.

    python -m tools.release 0.2.0 --out dist/0.2.0

In the folder: source archive, wheel, bill of materials, list of licences, a record of the build, hashes, and
the changelog. Nothing is signed, tagged or uploaded: the commands for it are printed. ``--cut`` also gives
the checkout its new version and changelog, for a commit that you make.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.release.advisories import advisories, affected
from tools.release.building import build, hashes
from tools.release.installing import bill_of_materials, install, interpreters, licences
from tools.release.sources import Unreleasable, checked_version, commit_time, export, git, prepare, version_in

CHECKOUT = Path(__file__).parents[2]
TOOLS = ("build", "setuptools", "wheel", "towncrier", "twine", "check-wheel-contents", "cyclonedx-bom")
SUMS = "SHA256SUMS"


def main() -> int:
    """Make a release; 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tools.release")
    parser.add_argument("version")
    parser.add_argument("--out", type=Path, help="a new folder (default: dist/VERSION)")
    parser.add_argument(
        "--python", action="append", type=Path, help="interpreters to install with (default: all)"
    )
    parser.add_argument(
        "--cut", action="store_true", help="give the checkout the version and the changelog, too"
    )
    options = parser.parse_args()
    try:
        version = checked_version(options.version, version_in(CHECKOUT))
        out = (options.out or CHECKOUT / "dist" / version).resolve()
        release(version, out, options.python or list(interpreters()))
        if options.cut:
            cut(version)
        print(next_steps(version, out, options.cut))
    except (Unreleasable, OSError, subprocess.CalledProcessError) as error:
        print(f"no release: {error}", file=sys.stderr)
        return 1
    return 0


def release(version: str, out: Path, pythons: Sequence[Path]) -> None:
    """
    Fill the folder.

    :raises Unreleasable: a check failed.
    """
    if out.exists():
        raise Unreleasable(f"{out} is there already")
    epoch = commit_time(CHECKOUT)
    with TemporaryDirectory(prefix="modelserver-release-") as scratch:
        built = [_built(Path(scratch) / name, version, epoch) for name in ("one", "two")]
        if hashes(built[0]) != hashes(built[1]):
            raise Unreleasable(f"two builds differ: {hashes(built[0])}, {hashes(built[1])}")
        for name, value in hashes(built[0]).items():
            say(f"built twice, equal: {name} {value[:16]}")
        out.mkdir(parents=True)
        packages = [Path(shutil.copy(file, out)) for file in sorted(built[0].iterdir())]
        shutil.copy(Path(scratch) / "one" / "sources" / "CHANGELOG.md", out)
        check(packages)
        environments = [
            _installed(python, package, Path(scratch)) for python in pythons for package in packages
        ]
        if not environments:
            raise Unreleasable("there is no interpreter to install with")
        describe(environments[0], out, version)
    record(out, version, epoch)


def _built(folder: Path, version: str, epoch: int) -> Path:
    """Build in a folder; returns where the packages are."""
    export(CHECKOUT, folder / "sources")
    prepare(folder / "sources", version, f"{datetime.fromtimestamp(epoch, timezone.utc):%Y-%m-%d}")
    packages = folder / "packages"
    build(folder / "sources", packages, epoch)
    return packages


def check(packages: Sequence[Path]) -> None:
    """
    Look at the packages as the index would.

    :raises Unreleasable: it would not take them.
    """
    commands = [["twine", "check", "--strict", *map(str, packages)]]
    commands += [["check_wheel_contents", str(file)] for file in packages if file.suffix == ".whl"]
    for command in commands:
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unreleasable(f"{command[0]}:\n{done.stdout}{done.stderr}")
        say(f"{command[0]}: nothing to complain of")


def _installed(python: Path, package: Path, scratch: Path) -> Path:
    folder = scratch / f"{python.parent.parent.name}-{package.suffix[1:]}"
    folder.mkdir()
    own = install(python, package, folder)
    say(f"installed and used: {package.name} with {python}")
    return own


def describe(python: Path, out: Path, version: str) -> None:
    """
    Write what an installation brings along: the bill of materials, and the licences.

    :raises Unreleasable: it brings along a version that has an advisory.
    """
    materials = out / f"modelserver-{version}.cdx.json"
    bill_of_materials(python, materials)
    found = licences(python)
    versions = [(name, there) for name, (there, _) in found.items()]
    told = [each for row in advisories() for each in affected(row, versions)]
    if told:
        raise Unreleasable("an installation brings along: " + "; ".join(told))
    say(f"none of {len(versions)} packages has an advisory of etc/advisories.json")
    rows = [f"{name} {there}: {licence}\n" for name, (there, licence) in found.items()]
    (out / f"modelserver-{version}.licences.txt").write_text("".join(rows), "utf-8")
    say(f"bill of materials, and the licences of {len(found)} packages:")
    for licence in sorted({row[1] for row in found.values()}):
        say(f"  {licence}")


def record(out: Path, version: str, epoch: int) -> None:
    """Write how it was built, and the hashes of everything."""
    told: Mapping[str, object] = {
        "version": version,
        "commit": git(CHECKOUT, "rev-parse", "HEAD"),
        "source_date_epoch": epoch,
        "python": platform.python_version(),
        "tools": {name: installed_version(name) for name in TOOLS},
        "files": hashes(out),
    }
    (out / f"modelserver-{version}.build.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    sums = [f"{value}  {name}\n" for name, value in hashes(out).items()]
    (out / SUMS).write_text("".join(sums), "utf-8")


def cut(version: str) -> None:
    """Give the checkout its version and changelog."""
    prepare(CHECKOUT, version, f"{datetime.now(timezone.utc):%Y-%m-%d}")


def next_steps(version: str, out: Path, is_cut: bool) -> str:
    """Return the commands that are left to a person."""
    lines = [
        f"In {out}; what is left to do:",
        "  pip-audit --requirement etc/constraints.txt    # asks PyPI for advisories",
        *(
            []
            if is_cut
            else [f"  python -m tools.release {version} --cut --out NEW    # version and changelog"]
        ),
        f"  git commit -am 'Release {version}' && git tag --sign v{version}",
        f"  (cd {out} && gpg --armor --detach-sign {SUMS} && python -m sigstore sign *.whl *.tar.gz)",
        f"  python -m twine upload {out}/*.whl {out}/*.tar.gz",
    ]
    return "\n".join(lines)


def say(text: str) -> None:
    """Tell what was done."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
