"""The handler ``text_classifier``: the probable classes of texts, by the n-grams of their words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelserver.child.data.refusals import opened
from modelserver.child.data.rows import row_value
from modelserver.child.handlers.explanations import attribution_method
from modelserver.child.handlers.labels import map_class_to_label
from modelserver.child.handlers.text_batch import TextBatch
from modelserver.child.handlers.text_handler import TextHandler
from modelserver.child.handlers.timing import timed
from modelserver.child.handlers.tokens import look_up, ngrams_iterator

if TYPE_CHECKING:
    import torch


class TextClassifier(TextHandler):
    """
    Answers each text with ``{label: probability}``.

    The model is called with the numbers of all words in one tensor, and where each text starts in it, as
    torch's EmbeddingBag wants them.
    """

    ngrams = 2

    @timed
    def preprocess(self, data: Any) -> Any:
        """
        The numbers of the words of all texts, and the words of the first.

        :raises RowsRefused: some are no texts.
        """
        import torch

        texts = opened(data, lambda row: look_up(self.source_vocab, self._words(row)))
        numbers = [number for _, found in texts for number in found]
        tensor = torch.as_tensor(numbers, dtype=torch.int64, device=self.device)
        return TextBatch(tensor, [words for words, _ in texts])

    def _words(self, row: object) -> list[str]:
        value = row_value(row)
        text = (
            bytes(value).decode("utf-8") if isinstance(value, bytes | bytearray | memoryview) else str(value)
        )
        text = self._remove_html_tags(text).lower()
        text = self._expand_contractions(text)
        text = self._remove_accented_characters(text)
        text = self._remove_punctuation(text)
        return list(ngrams_iterator(self._tokenize(text), self.ngrams))

    def inference(self, data: Any, *args: object, **kwargs: object) -> Any:
        """
        The model's scores for each text.

        :param data: what ``preprocess`` returned; a subclass may return the tensor of one text and its words.
        """
        import torch

        tensor, _ = data
        starts = data.starts if isinstance(data, TextBatch) else [0]
        return super().inference(tensor, torch.as_tensor(starts, device=self.device), *args, **kwargs)

    @timed
    def postprocess(self, data: torch.Tensor) -> list[Any]:
        """The probability of each class."""
        return map_class_to_label(data.softmax(dim=-1).tolist(), self.mapping)

    def get_insights(self, text_preprocess: TextBatch, _: object, target: int | list[int] = 0) -> list[Any]:
        """
        How much each n-gram of each text speaks for the class ``target``: what its absence would change.

        :raises PredictionException: captum is not installed (501).
        """
        method = attribution_method("FeatureAblation")(self._scores)
        wanted = target if isinstance(target, list) else [target] * len(text_preprocess.words)
        insights = []
        for words, numbers, of in zip(text_preprocess.words, text_preprocess.texts(), wanted, strict=True):
            importances = self._importances(method, numbers, of) if words else []
            insights.append({"words": words, "importances": importances})
        return insights

    def _importances(self, method: Any, numbers: torch.Tensor, target: int) -> list[float]:
        import torch

        with torch.no_grad():
            attributions = method.attribute(numbers.unsqueeze(0), baselines=0, target=target)
        importances: list[float] = self.summarize_attributions(attributions.unsqueeze(-1)).tolist()
        return importances

    def _scores(self, numbers: torch.Tensor) -> Any:
        import torch

        rows, length = numbers.shape
        return self.model(numbers.flatten(), torch.arange(0, rows * length, length, device=self.device))
