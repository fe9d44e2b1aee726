"""What operators put into stores and archives: served as the peers serve it, or refused with the reason."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from modelserver.archive.pack import PackRequest, pack
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
    outside = server.register(quote(str(server.folder / "built" / "linked.mar")), model_name="outside")
    assert outside.status == 404, outside.text


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
