"""What the handlers of texts have in common."""

from __future__ import annotations

import logging
import os
from abc import ABC
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from modelserver.child.handlers import contractions, tokens
from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.explanations import attribution_method

if TYPE_CHECKING:
    import torch

    from modelserver.child.context import Context

log = logging.getLogger(__name__)
VOCABULARY_FILE = "source_vocab.pt"


class TextHandler(BaseHandler, ABC):
    """Loads the vocabulary of an archive, and cleans texts."""

    source_vocab: Any = None
    tokenizer: Any = None
    input_text: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = tokens.get_tokenizer("basic_english")

    def initialize(self, context: Context) -> None:
        """
        Load the model and the vocabulary.

        :raises FileNotFoundError: the archive has no vocabulary.
        """
        super().initialize(context)
        self.initialized = False
        self.source_vocab = load_vocabulary(self.get_source_vocab_path(context))
        self.initialized = True

    @cached_property
    def lig(self) -> Any:
        """captum's LayerIntegratedGradients of the model's ``embedding``; a handler may set another."""
        return attribution_method("LayerIntegratedGradients")(self.model, self.model.embedding)

    def get_source_vocab_path(self, ctx: Context) -> str:
        """
        Where the vocabulary is: as the manifest says, or ``source_vocab.pt``.

        :raises FileNotFoundError: it is not there.
        """
        declared: Any = (ctx.manifest or {}).get("model", {})
        name = declared.get("sourceVocab") or VOCABULARY_FILE
        path = os.path.join(str(ctx.system_properties.get("model_dir") or ""), name)
        if not os.path.isfile(path):
            raise FileNotFoundError(f"Missing the vocabulary {name}: add it to the archive's extra files")
        return path

    def _expand_contractions(self, text: str) -> str:
        return contractions.expand(text)

    def _remove_accented_characters(self, text: str) -> str:
        return tokens.remove_accents(text)

    def _remove_html_tags(self, text: str) -> str:
        return tokens.remove_html_tags(text)

    def _remove_punctuation(self, text: str) -> str:
        return tokens.remove_punctuation(text)

    def _remove_puncutation(self, text: str) -> str:
        # The peers' older spelling, which subclasses call.
        return self._remove_punctuation(text)

    def _tokenize(self, text: str) -> list[str]:
        tokenizer = self.tokenizer or tokens.basic_english
        found: list[str] = tokenizer(text)
        return found

    def get_word_token(self, input_tokens: Sequence[str] | torch.Tensor) -> list[str]:
        """The words of tokens, or of ids that a ``tokenizer`` of the transformers library has made."""
        if hasattr(input_tokens, "detach"):
            ids = input_tokens.detach().flatten().tolist()
            input_tokens = self.tokenizer.convert_ids_to_tokens(ids)
        return [token.replace("\u0120", "") for token in input_tokens]  # a byte-level one's sign of a space

    def summarize_attributions(self, attributions: torch.Tensor) -> torch.Tensor:
        """One number for each token from the attributions of its dimensions, scaled to length 1."""
        summed: torch.Tensor = attributions.sum(dim=-1).squeeze(0)
        scaled: torch.Tensor = summed / summed.norm()
        return scaled


def load_vocabulary(path: str) -> Any:
    """
    The object in a file that ``torch.save`` wrote.

    An archive holds code that is run anyway, so a vocabulary may be of any class; the log tells of it.
    """
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        log.warning(
            "The vocabulary %s holds more than tensors and plain values: it is loaded with "
            "weights_only=False, which runs whatever code the file names.",
            os.path.basename(path),
        )
        return torch.load(path, map_location="cpu", weights_only=False)
