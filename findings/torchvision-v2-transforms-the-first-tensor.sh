#!/usr/bin/env bash
# torchvision 0.28.0 with torch 2.13.0: transforms.v2 takes lists, and of a list of plain tensors it transforms the
# first. The pictures of a batch come back with the first one resized, scaled and normalized, the others as they were,
# uint8 of their own size; the same of tensors as several arguments, or in a dictionary. Nothing is refused or logged, a
# batch of one is right, and after a Normalize of floats torch.stack makes one batch of the mixture. A list of PIL
# images, or of tv_tensors.Image, is transformed as a whole; beside a PIL image, no tensor is. The transforms of v1
# refuse a list.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'torch===2.13.0' torchvision==0.28.0 numpy==2.2.6 ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from PIL import Image
from torchvision import transforms, tv_tensors
from torchvision.transforms import v2

floats = v2.Normalize([0.5] * 3, [0.5] * 3)


def white():
    return torch.full((3, 8, 8), 255, dtype=torch.uint8)


def look(what, pictures):
    told = [(str(each.dtype).removeprefix("torch."), tuple(each.shape), each.max().item()) for each in pictures]
    print(f"{what}:", *told)
    return told


done, left = ("float32", (3, 4, 4), 1.0), ("uint8", (3, 8, 8), 255)
chain = v2.Compose([v2.Resize((4, 4)), v2.ToDtype(torch.float32, scale=True), floats])
assert look("one tensor", [chain(white())]) == [done]
assert look("list of tensors", chain([white(), white(), white()])) == [done, left, left]
assert look("arguments", chain(white(), white())) == [done, left]
assert look("dictionary", chain({"left": white(), "right": white()}).values()) == [done, left]
mixed = torch.stack(floats([torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)]))
print("stacked after Normalize(0.5, 0.5), from zeros:", mixed.amax((1, 2, 3)).tolist())
assert mixed.amax((1, 2, 3)).tolist() == [-1.0, 0.0]
images = chain([tv_tensors.Image(white()), tv_tensors.Image(white())])
assert look("list of tv_tensors.Image", images) == [done, done]
pictures = [Image.new("RGB", (8, 8), "white") for _ in range(2)]
assert [each.size for each in v2.Resize((4, 4))(pictures)] == [(4, 4), (4, 4)]
resized, tensor = v2.Resize((4, 4))([pictures[0], white()])
print("a PIL image and a tensor:", resized.size, tuple(tensor.shape))
assert resized.size == (4, 4) and tensor.shape == (3, 8, 8)
try:
    transforms.Resize((4, 4))([white(), white()])
except TypeError as error:
    print("v1:", error)
else:
    raise AssertionError
print("as described")
PY
