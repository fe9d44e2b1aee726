"""Small tokenizers and transformers, for handlers that load them from their model's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

WORDS = (
    "the",
    "film",
    "was",
    "good",
    "bad",
    "hello",
    "world",
    "a",
    "man",
    "is",
    "eating",
    "pasta",
    "##s",
    "!",
    ".",
    ",",
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIZES = {
    "vocab_size": len(SPECIAL) + len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 160,
}


def vocabulary(folder: Path) -> Path:
    """Write the words, one a line, as WordPiece has them."""
    file = folder / "vocab.txt"
    file.write_text("".join(f"{word}\n" for word in (*SPECIAL, *WORDS)), "utf-8")
    return file


def bert(folder: Path, kind: str, **changes: object) -> tuple[Any, Any]:
    """
    Save a small BERT with its tokenizer into a folder, its weights in ``pytorch_model.bin``.

    :param kind: the class in ``transformers``.
    :param changes: of its configuration.
    :return: the model, ready to be asked, and the tokenizer.
    """
    import torch
    import transformers

    torch.manual_seed(5)
    model = getattr(transformers, kind)(transformers.BertConfig(**SIZES, **changes)).eval()
    tokenizer = transformers.BertTokenizerFast(str(vocabulary(folder)))
    model.save_pretrained(folder, safe_serialization=False)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def files_of(folder: Path, *left_out: str) -> Sequence[Path]:
    """Return what lies in a folder, without some files, and without sources."""
    return [
        file
        for file in sorted(folder.iterdir())
        if file.is_file() and file.suffix != ".py" and file.name not in left_out
    ]
