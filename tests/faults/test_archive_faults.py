"""What operators put into stores and archives: served as the peers serve it, or refused with the reason."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from modelserver.archive.pack import PackRequest, pack
from tests.harness.parcels import has_pip, make_wheel
from tests.harness.server_process import LONGEST, ServerProcess, ask, eventually

pytestmark = pytest.mark.xdist_group("archive faults")

ECHO = """
def handle(data, context):
    return None if data is None else [context.manifest["model"]["modelName"]] * len(data)
"""


def packed(name: str, folder: Path, source: str = ECHO, config: str | None = None) -> Path:
    """An archive outside the store, of a handler's source and a model-config.yaml."""
    handler = folder / f"{name}_handler.py"
    handler.write_text(source)
    file = None
    if config is not None:
        file = folder / f"{name}.yaml"
        file.write_text(config)
    return pack(
        PackRequest(
            name,
            version="1.0",
            handler=str(handler),
            config_file=None if file is None else str(file),
            export_path=folder,
            force=True,
        )
    )


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server whose store holds links, all loaded at the start, and archives for the rows below."""
    with TemporaryDirectory(prefix="modelserver-test-") as name:
        started = ServerProcess(
            Path(name),
            {
                "load_models": "all",
                "disable_token_authorization": "true",
                "enable_model_api": "true",
                "metrics_mode": "prometheus",
                "default_workers_per_model": "1",
            },
        )
        started.store.mkdir()
        built = started.folder / "built"
        built.mkdir()
        (started.store / "linked.mar").symlink_to(packed("linked", built))
        folder = built / "opened"
        with zipfile.ZipFile(packed("opened", built)) as archive:
            archive.extractall(folder)
        (started.store / "opened").symlink_to(folder)
        started.start()
        try:
            yield started
        finally:
            started.end()


def test_a_store_of_links_is_a_store(server: ServerProcess) -> None:
    """Listed, loaded at the start, registered; a request still names nothing outside."""
    listed = {model["modelName"] for model in server.management("GET", "/models").json()["models"]}
    assert listed == {"linked", "opened"}
    eventually(lambda: server.inference("GET", "/health/ready").status == 200)
    for name in sorted(listed):
        assert server.predict(name).text == name
    assert server.register("linked.mar", model_name="again").status == 200
    built = server.folder / "built"
    shutil.copy(built / "linked.mar", built / "apart.mar")
    outside = server.register(quote(str(built / "apart.mar")), model_name="outside")
    assert outside.status == 404, outside.text
    # A whole path is a name in the store, as in TorchServe.
    assert server.register(quote(str(built / "linked.mar")), model_name="named").status == 200
    for name in ("again", "named"):
        assert server.management("DELETE", f"/models/{name}").status == 200


NAMES = ("my model", "modèle", "team:model", "a+b", "_private", "1.0-beta+7", "x" * 255)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_that_the_peers_take(server: ServerProcess, name: str) -> None:
    """As a name and as a version, in every path, and in a label."""
    archive = server.store / "named.mar"
    with zipfile.ZipFile(server.store / "linked.mar") as source, zipfile.ZipFile(archive, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            if entry.endswith("MANIFEST.json"):
                document = json.loads(content)
                document["model"].update(modelName=name, modelVersion=name)
                content = json.dumps(document).encode()
            target.writestr(entry, content)
    path = quote(name, safe="")
    try:
        assert server.register("named.mar").status == 200
        for target_path in (path, f"{path}/{path}"):
            assert server.predict(target_path).text == name
        assert server.inference("POST", f"/v1/models/{path}:predict", b'{"instances": [1]}').status == 200
        described = server.management("GET", f"/models/{path}/{path}").json()[0]
        assert (described["modelName"], described["modelVersion"]) == (name, name)
        assert f'"{name}"' in ask(server.ports[2], "GET", "/metrics").text
        assert server.management("PUT", f"/models/{path}/{path}/set-default").status == 200
    finally:
        assert server.management("DELETE", f"/models/{path}/{path}").status == 200


REFUSED_NAMES = ("a/b", ".", "..", "a\tb", "a\nb", "\x7f", "x" * 256, "é" * 128)


@pytest.mark.parametrize("name", REFUSED_NAMES, ids=range(len(REFUSED_NAMES)))
def test_names_that_are_none(server: ServerProcess, name: str) -> None:
    """Each is refused with the rule."""
    answer = server.register("linked.mar", model_name=quote(name, safe=""))
    assert answer.status == 400
    assert "1 to 255 bytes" in answer.text


CONFIGS = (
    ("minWorkers: 1\nmaxWorkers: [1\nbatchSize: 2\n", "line 3"),
    ("- a list\n", "not a mapping"),
    (f"minWorkers: 1\nmaxWorkers: 1\nresponseTimeout: {'9' * 350}\n", "responseTimeout"),
    (f"maxBatchDelay: {'9' * 350}\n", "maxBatchDelay"),
    (f"torchrun:\n  nnodes: {'9' * 350}\nparallelType: tp\n", "torchrun.nnodes"),
)


@pytest.mark.parametrize(("config", "word"), CONFIGS, ids=range(len(CONFIGS)))
def test_a_model_config_that_cannot_be_read(server: ServerProcess, config: str, word: str) -> None:
    """The registration is refused, and says where."""
    made = packed("config", server.folder, config=config)
    os.replace(made, server.store / made.name)
    answer = server.register(made.name)
    assert answer.status == 400, answer.text
    assert word in answer.text
    assert server.management("GET", "/models/config").status == 404


def test_a_store_that_is_missing_ends_the_start() -> None:
    """A name in quotation marks, or a volume that is not mounted: a server without models looks healthy."""
    with TemporaryDirectory(prefix="modelserver-test-") as name:
        server = ServerProcess(Path(name), {"load_models": "all"})
        server.start()
        server.end()
        server.store.rmdir()
        config = server.folder / "config.properties"
        config.write_text(config.read_text() + 'model_store="store"\n')
        arguments = list(map(str, server.process.args))  # type: ignore[arg-type]  # a list, as given
        at = arguments.index("--model-store")
        del arguments[at : at + 2]
        ended = subprocess.run(
            arguments,
            cwd=server.folder,
            env={**os.environ, "TMPDIR": str(server.temporary)},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        assert ended.returncode == 1, ended.stderr
        assert "--model-store directory not found: " in ended.stdout + ended.stderr


LISTING = """
import os
import shutil
import tempfile

def handle(data, context):
    models = os.path.join(tempfile.gettempdir(), "models")
    here = os.path.dirname(os.path.abspath(__file__))
    return None if data is None else [str(os.path.dirname(here) == models)] * len(data)
"""


def test_archives_are_unpacked_to_the_folder_of_models(server: ServerProcess) -> None:
    """Where TorchServe and MMS have them, for handlers that look there."""
    made = packed("listing", server.folder, LISTING)
    os.replace(made, server.store / made.name)
    assert server.register(made.name).status == 200
    assert server.predict("listing").text == "True"


def test_what_a_killed_server_has_unpacked_goes_at_the_next_start() -> None:
    """Its lock went with it; what a living one has stays."""
    with TemporaryDirectory(prefix="modelserver-test-") as name:
        server = ServerProcess(
            Path(name), {"disable_token_authorization": "true", "enable_model_api": "true"}
        )
        server.store.mkdir()
        packed("echo", server.folder).rename(server.store / "echo.mar")
        server.start()
        try:
            assert server.register("echo.mar", initial_workers=0).status == 200
            models = server.temporary / "models"
            (left,) = models.iterdir()
            server.kill()
            server.end()
            server.start()
            assert not left.exists()
            assert server.register("echo.mar").status == 200
            assert server.predict("echo").text == "echo"
            (kept,) = models.iterdir()
            assert kept != left
        finally:
            server.end()
        assert list(server.temporary.iterdir()) == []


PARCEL = """
import parcel

def handle(data, context):
    return None if data is None else [parcel.__version__] * len(data)
"""


@pytest.mark.skipif(not has_pip(), reason="this interpreter has no pip")
def test_a_wheel_in_the_archive_is_installed() -> None:
    """Requirements name it by its file; another of the same name is another environment."""
    with TemporaryDirectory(prefix="modelserver-test-") as name:
        properties = {
            "install_py_dep_per_model": "true",
            "disable_token_authorization": "true",
            "enable_model_api": "true",
        }
        server = ServerProcess(Path(name), properties, environment={"PIP_NO_INDEX": "1"})
        server.store.mkdir()
        requirements = server.folder / "requirements.txt"
        requirements.write_text("--prefer-binary\n./parcel-1.0-py3-none-any.whl\n")
        server.start()
        try:
            for number, text in enumerate(("first", "second")):
                make_wheel(server.folder, "1.0", text)
                handler = server.folder / "parcel_handler.py"
                handler.write_text(PARCEL)
                pack(
                    PackRequest(
                        f"parcel{number}",
                        version="1.0",
                        handler=str(handler),
                        extra_files=(str(server.folder / "parcel-1.0-py3-none-any.whl"),),
                        requirements_file=str(requirements),
                        export_path=server.store,
                    )
                )
                answer = server.register(f"parcel{number}.mar")
                assert answer.status == 200, answer.text
                assert server.predict(f"parcel{number}").text == text
        finally:
            server.end()
