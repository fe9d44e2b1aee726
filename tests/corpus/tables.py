"""Handlers for rows of numbers, and those with state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from modelserver.testing.requests import ModelRequest, form
from tests.corpus.public_handler import Case, PublicHandler, is_json, names_file

BYTES = "application/octet-stream"
MLFLOW = ("mlflow/mlflow-torchserve", "a442b98012c6b9fac1b2b053f1069041c72d54eb")
SERVE = ("pytorch/serve", "62c4d6a1fdc1d071dbcf758ebd756029af20bd5e")


def titanic(folder: Path) -> Case:
    """A class for the row of a file, whose path is a field of the form."""
    import torch

    from modelserver.child.handlers.weights import import_file

    torch.manual_seed(4)
    model = import_file(str(folder / "titanic.py")).TitanicSimpleNNModel().eval()
    torch.save(model.state_dict(), folder / "titanic.pt")
    row = [float(number) / 12 for number in range(12)]
    table = folder / "passengers.csv"
    table.write_text(
        ",".join(f"column{place}" for place in range(12)) + "\n" + ",".join(map(str, row)) + "\n"
    )
    with torch.inference_mode():
        best = int(model(torch.tensor([row])).argmax())
    names = names_file(folder, {"0": "not survived", "1": "survived"})
    word = ("not survived", "survived")[best].encode()
    return Case(
        form({"input_file_path": str(table)}),
        lambda reply: reply.body == word,
        serialized=folder / "titanic.pt",
        extra=[folder / "titanic.py", names],
    )


def line(folder: Path) -> Case:
    """A straight line, its state in a file with a fixed name, by functions of a module."""
    import torch

    weights = folder / "linear_state_dict.pt"
    torch.save({"linear.weight": torch.tensor([[2.0]]), "linear.bias": torch.tensor([1.0])}, weights)
    body = json.dumps({"data": ["4.5"]}).encode()
    right = is_json(10.0)
    return Case(ModelRequest(body, BYTES), right, serialized=weights, extra=[folder / "linear_model.py"])


def iris(folder: Path) -> Case:
    """The name of the best class, from the text of a list."""
    import torch

    torch.manual_seed(6)
    model = torch.nn.Linear(4, 3).eval()
    torch.jit.script(model).save(str(folder / "iris.pt"))
    row = [5.1, 3.5, 1.4, 0.2]
    with torch.inference_mode():
        best = int(model(torch.tensor([row])).argmax())
    names = names_file(folder, {str(number): f"iris {number}" for number in range(3)})
    # In TorchServe a handler that never reads index_to_name.json has no names: the number goes out.
    expected = str(best).encode()
    return Case(
        ModelRequest(str([row]).encode(), BYTES),
        lambda reply: reply.body in {expected, f"iris {best}".encode()},
        serialized=folder / "iris.pt",
        extra=[names],
    )


def boosted(folder: Path) -> Case:
    """Trees of xgboost, from a line of numbers."""
    import numpy
    import xgboost

    rows = numpy.array([[number, number % 3, 1.0, 0.5] for number in range(30)])
    classes = numpy.array([number // 10 for number in range(30)])
    model = xgboost.XGBClassifier(n_estimators=3, max_depth=2)
    model.fit(rows, classes)
    model.save_model(folder / "iris_model.json")
    names = names_file(folder, {str(number): f"kind {number}" for number in range(3)})
    word = f"kind {int(model.predict(rows[25:26])[0])}".encode()
    request = ModelRequest(",".join(map(str, rows[25])).encode(), BYTES)
    return Case(
        request, lambda reply: reply.body == word, serialized=folder / "iris_model.json", extra=[names]
    )


def digits(folder: Path) -> Case:
    """The number that a small network sees in a picture of 28 by 28; its class is the repository's."""
    return _digit(folder)


def digits_in_pieces(folder: Path) -> Case:
    """The same five classes, by a handler that hands pieces of a batch to threads."""
    from tests.corpus.pictures import classifier, scores, scripted
    from tests.corpus.public_handler import picture

    model, content = classifier(), picture()
    weights = scripted(model, folder / "resnet-18.pt")
    best = scores(model, content).softmax(1)[0].topk(5)
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    expected = {f"thing {number}": share for number, share in pairs}
    names = names_file(folder, {str(number): f"thing {number}" for number in range(6)})
    config = (
        "micro_batching:\n  micro_batch_size: 2\n"
        "  parallelism:\n    preprocess: 2\n    inference: 1\n    postprocess: 2\n"
    )
    return Case(
        ModelRequest(content, "image/png"),
        is_json(expected),
        serialized=weights,
        extra=[names],
        config=config,
    )


def _digit(folder: Path) -> Case:
    import torch
    from torchvision import transforms

    from modelserver.child.handlers.weights import import_file
    from tests.corpus.pictures import prepared
    from tests.corpus.public_handler import picture

    torch.manual_seed(8)
    model = import_file(str(folder / "mnist.py")).Net().eval()
    torch.save(model.state_dict(), folder / "mnist_cnn.pt")
    content = picture(28, 28, "L")
    steps = (transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,)))
    with torch.inference_mode():
        best = int(model(prepared(content, *steps)).argmax())
    return Case(
        ModelRequest(content, "image/png"),
        is_json(best),
        serialized=folder / "mnist_cnn.pt",
        model_file=folder / "mnist.py",
    )


def running_sum(folder: Path) -> Case:
    """The sum of what one sequence has sent so far."""
    import torch

    torch.jit.script(torch.nn.Identity()).save(str(folder / "model.pt"))
    config = (
        "minWorkers: 1\nmaxWorkers: 1\nbatchSize: 4\nmaxNumSequence: 2\nsequenceMaxIdleMSec: 10000\n"
        "maxSequenceJobQueueSize: 4\nsequenceBatching: true\nhandler:\n  cache:\n    capacity: 4\n"
    )
    headers = {"ts_request_sequence_id": "seq-1"}
    request = ModelRequest(b"41", "application/octet-stream", headers)
    return Case(request, is_json(41), serialized=folder / "model.pt", config=config)


def mms_nothing(folder: Path) -> Case:
    """The text that MMS's service without a model gives, and its content type."""
    return Case(
        ModelRequest(b"{}", "application/json"),
        lambda reply: reply.body == b"OK" and reply.headers["content-type"].startswith("text/plain"),
    )


def mms_header(folder: Path) -> Case:
    """A header that the handler sets."""
    return Case(ModelRequest(b"x=y", BYTES), lambda reply: reply.headers.get("dummy") == "1")


def mms_template(folder: Path) -> Case:
    """What the template of MMS's documentation answers when a project has not filled it."""
    return Case(ModelRequest(b"{}", BYTES), lambda reply: reply.body == b"OK")


MMS = ("awslabs/multi-model-server", "706aa9c755576e4d8122514358649a0edfbc8992")
MMS_MODELS = "frontend/modelarchive/src/test/resources/models"
HANDLERS: Sequence[PublicHandler] = (
    PublicHandler(
        "titanic",
        *MLFLOW,
        "examples/Titanic/titanic_handler.py",
        titanic,
        beside=["examples/Titanic/titanic.py"],
        needs=["captum", "pandas", "matplotlib"],
    ),
    PublicHandler(
        "linear",
        *MLFLOW,
        "tests/resources/linear_handler.py",
        line,
        beside=["tests/resources/linear_model.py"],
    ),
    PublicHandler("iris", *MLFLOW, "examples/IrisClassificationTorchScript/iris_handler.py", iris),
    PublicHandler(
        "xgboost",
        *SERVE,
        "examples/xgboost_classfication/xgboost_iris_handler.py",
        boosted,
        needs=["xgboost"],
    ),
    PublicHandler(
        "mnist",
        *SERVE,
        "examples/image_classifier/mnist/mnist_handler.py",
        digits,
        beside=["examples/image_classifier/mnist/mnist.py"],
    ),
    PublicHandler(
        "mnist-metrics",
        *SERVE,
        "examples/custom_metrics/mnist_handler.py",
        digits,
        beside=["examples/image_classifier/mnist/mnist.py"],
        metrics="examples/custom_metrics/metrics.yaml",
    ),
    PublicHandler(
        "micro-batching", *SERVE, "examples/micro_batching/micro_batching_handler.py", digits_in_pieces
    ),
    PublicHandler(
        "sequences",
        *SERVE,
        "examples/stateful/sequence_batching/stateful_handler.py",
        running_sum,
        needs=["lru"],
    ),
    PublicHandler("mms-noop", *MMS, f"{MMS_MODELS}/noop-v1.0/service.py", mms_nothing, dialect="mms"),
    PublicHandler("mms-header", *MMS, f"{MMS_MODELS}/respheader-test/service.py", mms_header, dialect="mms"),
    PublicHandler(
        "mms-template", *MMS, "examples/model_service_template/model_handler.py", mms_template, dialect="mms"
    ),
)
