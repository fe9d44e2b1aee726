"""Handlers for pictures and for tensors that clients send."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelserver.testing.replies import ModelReply
from modelserver.testing.requests import ModelRequest, json_body, multipart
from tests.corpus.public_handler import Case, PublicHandler, is_json, names_file, picture, text_of
from tests.corpus.small_texts import files_of, vocabulary

if TYPE_CHECKING:
    import torch

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def classifier(bands: int = 3, classes: int = 6, logarithms: bool = False) -> torch.nn.Module:
    """Return a small network that gives classes to pictures of any size."""
    import torch

    torch.manual_seed(3)
    layers: list[torch.nn.Module] = [
        torch.nn.Conv2d(bands, 8, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(32, classes),
    ]
    return torch.nn.Sequential(*layers, *([torch.nn.LogSoftmax(1)] if logarithms else [])).eval()


def scripted(model: torch.nn.Module, file: Path) -> Path:
    """Save a network as TorchScript."""
    import torch

    torch.jit.script(model).save(str(file))
    return file


def prepared(content: bytes, *steps: object) -> torch.Tensor:
    """Return a picture as a batch of one, after steps of torchvision."""
    from PIL import Image
    from torchvision import transforms

    batch: torch.Tensor = transforms.Compose(steps)(Image.open(io.BytesIO(content))).unsqueeze(0)
    return batch


def boxes(folder: Path) -> Case:
    """Three boxes, of which one hides behind another and one is too unsure, come out as one."""
    import torch

    class Boxes(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            rows = [[100.0, 120.0, 40.0, 60.0, 0.95, 0.98, 0.01], [102.0, 121.0, 40.0, 60.0, 0.9, 0.97, 0.01],
                    [400.0, 300.0, 50.0, 50.0, 0.3, 0.9, 0.05]]  # fmt: skip
            return torch.tensor([rows]) + x.sum() * 0.0, x

    weights = scripted(Boxes(), folder / "yolov5.torchscript.pt")
    request = multipart(files={"img1": ("img1.jpg", picture(640, 640, kind="JPEG"), "image/jpeg")})
    expected = [[[80.0, 90.0, 120.0, 150.0, 0.95 * 0.98, 0.0]]]
    return Case(request, is_json(expected), serialized=weights)


def _sent(value: torch.Tensor) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _is_tensor(expected: torch.Tensor, reply: ModelReply) -> bool:
    import torch

    found = torch.load(io.BytesIO(reply.body))
    return bool(torch.allclose(found, expected, atol=1e-5))


def tensor_out(folder: Path) -> Case:
    """A tensor comes as the bytes of ``torch.save``, and one goes back likewise."""
    import torch

    model = classifier()
    weights = scripted(model, folder / "text.pt")
    rows = torch.rand(1, 3, 9, 9)
    with torch.inference_mode():
        expected = model(rows)
    request = ModelRequest(_sent(rows), "application/octet-stream")
    return Case(request, lambda reply: _is_tensor(expected, reply), serialized=weights)


def scores(model: torch.nn.Module, content: bytes) -> torch.Tensor:
    """What a network says of a picture that is prepared as in most trainings: resized, and cropped."""
    import torch
    from torchvision import transforms

    steps = (
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(*IMAGENET),
    )
    with torch.inference_mode():
        found: torch.Tensor = model(prepared(content, *steps))
    return found


def labelled(folder: Path) -> Case:
    """
    The best class of a picture, by a function of a module beside its class.

    The handler takes the second of each class's names; of a list of them TorchServe keeps the last one alone,
    since 0.2, so that the second letter is what comes out.
    """
    model, content = classifier(), picture()
    weights = scripted(model, folder / "resnet34.pt")
    best = int(scores(model, content).argmax())
    names = names_file(folder, {str(number): [f"n{number}", f"thing {number}"] for number in range(6)})
    expected = {"label": f"thing {best}"[1], "index": best}
    return Case(ModelRequest(content, "image/png"), is_json(expected), serialized=weights, extra=[names])


def five_best(folder: Path) -> Case:
    """The five best classes of a grey picture, with the base of all handlers for pictures."""
    import torch
    from torchvision import transforms

    model, content = classifier(bands=1, classes=7), picture(mode="L")
    weights = scripted(model, folder / "cifar10.pt")
    steps = (transforms.Resize(28), transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,)))
    with torch.inference_mode():
        best = model(prepared(content, *steps)).softmax(1)[0].topk(5)
    expected = {
        f"thing {number}": share
        for number, share in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    }
    names = names_file(folder, {str(number): f"thing {number}" for number in range(7)})
    return Case(ModelRequest(content, "image/png"), is_json(expected), serialized=weights, extra=[names])


def segmented(folder: Path) -> Case:
    """The class of each pixel, in base 64; the class of the network is imported by the handler itself."""
    import numpy
    import torch
    from torchvision import transforms

    from modelserver.child.handlers.weights import import_file

    source = folder / "model.py"
    source.write_text(
        "import torch\n\nclass DynamicUnetDIY(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.pixels = torch.nn.Conv2d(3, 4, 3, padding=1)\n\n"
        "    def forward(self, x):\n        return self.pixels(x)\n"
    )
    torch.manual_seed(9)
    model, content = import_file(str(source)).DynamicUnetDIY().eval(), picture()
    torch.save(model.state_dict(), folder / "fastai_unet.pth")
    steps = (transforms.Resize((96, 128)), transforms.ToTensor(), transforms.Normalize(*IMAGENET))
    with torch.inference_mode():
        expected = model(prepared(content, *steps))[0].argmax(0).numpy().astype(numpy.uint8)

    def is_right(reply: ModelReply) -> bool:
        found = numpy.frombuffer(base64.b64decode(json.loads(reply.body)["base64_prediction"]), numpy.uint8)
        return found.size == expected.size and float((found == expected.ravel()).mean()) > 0.999

    return Case(
        ModelRequest(content, "image/png"), is_right, serialized=folder / "fastai_unet.pth", model_file=source
    )


def arrays(folder: Path) -> Case:
    """Two numpy files of a form; the model's answer is an array, which TorchServe takes for none."""
    import numpy
    import torch

    class Sum(torch.nn.Module):
        def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            return one @ other

    weights = scripted(Sum(), folder / "model.pt")
    numbers = [numpy.arange(3, dtype=numpy.float32).reshape(1, 3), numpy.ones((3, 2), numpy.float32)]
    files = {}
    for name, array in zip(("inp1", "inp2"), numbers, strict=True):
        file = io.BytesIO()
        numpy.save(file, array)
        files[name] = file.getvalue()
    expected = {"code": 503, "type": "InternalServerException", "message": "Invalid model predict output"}
    return Case(multipart(files=files), is_json(expected), serialized=weights)


def lines_of_text(folder: Path) -> Case:
    """Texts of two pictures in one request, by a small encoder and decoder."""
    import torch
    import transformers
    from PIL import Image

    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    encoder = transformers.ViTConfig(image_size=32, patch_size=16, **sizes)
    decoder = transformers.BertConfig(vocab_size=21, is_decoder=True, add_cross_attention=True, **sizes)
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 2, 0, 3
    model = transformers.VisionEncoderDecoderModel(config).eval()
    tokenizer = transformers.BertTokenizerFast(str(vocabulary(folder)))
    processor = transformers.TrOCRProcessor(
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}), tokenizer
    )
    model.save_pretrained(folder, safe_serialization=False)
    processor.save_pretrained(folder)
    contents = [picture(), picture(40, 40)]
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]
    with torch.no_grad():
        tokens = model.generate(processor(images=images, return_tensors="pt").pixel_values)
    expected = processor.batch_decode(tokens, skip_special_tokens=True)
    request = json_body([{"data": text_of(content)} for content in contents])
    weights = folder / "pytorch_model.bin"
    return Case(request, is_json(expected), serialized=weights, extra=files_of(folder, weights.name))


HANDLERS: Sequence[PublicHandler] = (
    PublicHandler(
        "yolov5",
        "louisoutin/yolov5_torchserve",
        "fef27bf2a2d72324027cc0fd8cd5a6669a1c3ea5",
        "ressources/torchserve_handler.py",
        boxes,
        needs=["cv2"],
    ),
    PublicHandler(
        "easyocr-text",
        "Bark-us/EasyOCR",
        "7e40c583393d640bc5fe3d21b4bc09426b6affdf",
        "torchserve/text_handler.py",
        tensor_out,
    ),
    PublicHandler(
        "easyocr-craft",
        "Bark-us/EasyOCR",
        "7e40c583393d640bc5fe3d21b4bc09426b6affdf",
        "torchserve/craft_handler.py",
        tensor_out,
    ),
    PublicHandler(
        "deepliif-net",
        "nadeemlab/DeepLIIF",
        "eab8bddd031d42cf6b12546d9081babb41f6b7e5",
        "model-server/net_handler.py",
        tensor_out,
    ),
    PublicHandler(
        "function-beside-class",
        "FrancescoSaverioZuppichini/torchserve-tryout",
        "ffa790135e90e1749c2e843c210f5ae88d93dedf",
        "my_handler.py:handle",
        labelled,
        beside=["MyHandler.py"],
    ),
    PublicHandler(
        "cifar10",
        "monimoyd/torchserve",
        "5c8ed2c2456377d36c0761d36898f4889eb10b2f",
        "src/pytorch_handlers/cifar10_handler.py",
        five_best,
    ),
    PublicHandler(
        "fastai-segmentation",
        "aws-samples/amazon-sagemaker-endpoint-deployment-of-fastai-model-with-torchserve",
        "56a48c3cc72d1fe0af5e29476b3005b9f7522ccc",
        "deployment/handler.py",
        segmented,
    ),
    PublicHandler(
        "two-arrays",
        "Forbu/torchserve_exemple",
        "920081bbc0d99baa4d928678236f2c14421b3742",
        "handler.py",
        arrays,
        fault="returns an array, and no list of answers",
    ),
    PublicHandler(
        "trocr",
        "ngdodd/trocr_torchserve",
        "3c741beb99723b0921e8242f484af4161057cae4",
        "handler.py",
        lines_of_text,
        needs=["transformers"],
    ),
)
