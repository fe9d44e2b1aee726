"""Handlers of texts: cleaning, words, vocabularies, classes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from modelserver.child.context import Context, PredictionException, RequestProcessor
from modelserver.child.handlers import contractions, text_handler, tokens
from modelserver.child.handlers.text_classifier import TextClassifier
from tests.harness.packages import needs_torch

MODEL = """
import torch

class Sentiment(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.EmbeddingBag(8, 2, mode="sum")
        weights = torch.zeros(8, 2)
        weights[1, 0] = weights[2, 1] = weights[3, 0] = 1.0
        self.embedding.weight = torch.nn.Parameter(weights)

    def forward(self, text, offsets):
        return self.embedding(text, offsets)
"""
VOCABULARY = {"good": 1, "bad": 2, "very good": 3}


class TokenTests(SynchronousTestCase):
    """From a text to words."""

    def test_cleaning(self) -> None:
        self.assertEqual(tokens.remove_html_tags("<b>x</b>&amp;y<br/>z"), "xyz")
        self.assertEqual(tokens.remove_accents("caffè Ñandú 日"), "caffe Nandu ")
        self.assertEqual(tokens.remove_punctuation("a.b, c!d'e"), "ab cde")

    def test_contractions(self) -> None:
        for short, full in (
            ("i can't and won't", "i cannot and will not"),
            ("He'd say it's theirs; we're, they've", "He would say it is theirs; we are, they have"),
            ("shan't let's o'clock", "shall not let us of the clock"),
            ("y'all'd've Ain't", "you all would have Is not"),
            ("nothing short", "nothing short"),
        ):
            self.assertEqual(contractions.expand(short), full)

    def test_basic_english(self) -> None:
        self.assertEqual(
            tokens.basic_english('Hello, World. "You\'re" (in);out<br />end!'),
            ["hello", ",", "world", ".", "you", "'", "re", "(", "in", ")", "out", "end", "!"],
        )

    def test_tokenizers_by_name(self) -> None:
        self.assertEqual(tokens.get_tokenizer(None)("A b"), ["A", "b"])
        self.assertIs(tokens.get_tokenizer(str.split), str.split)
        self.assertRaises(ValueError, tokens.get_tokenizer, "spacy")
        self.assertRaises(ValueError, tokens.get_tokenizer, "basic_english", "de")

    def test_ngrams(self) -> None:
        self.assertEqual(list(tokens.ngrams_iterator(["a", "b", "c"], 2)), ["a", "b", "c", "a b", "b c"])

    @given(st.lists(st.text("ab", min_size=1, max_size=2), max_size=6), st.integers(1, 4))
    def test_ngrams_are_as_many_as_there_can_be(self, words: list[str], ngrams: int) -> None:
        found = list(tokens.ngrams_iterator(words, ngrams))
        self.assertEqual(len(found), sum(max(0, len(words) - more) for more in range(ngrams)))
        self.assertEqual(found[: len(words)], words)

    def test_vocabularies(self) -> None:
        class Vocab:
            def __getitem__(self, word: str) -> int:
                if word != "a":
                    raise RuntimeError("unknown")
                return 5

        self.assertEqual(tokens.look_up({"a": 5}, ["a", "b"]), (["a"], [5]))
        self.assertEqual(tokens.look_up(Vocab(), ["a", "b"]), (["a"], [5]))
        self.assertEqual(tokens.look_up({"a": 5, "<unk>": 0}, ["a", "b"]), (["a", "b"], [5, 0]))

    def test_vocabularies_that_number_unknown_words_themselves(self) -> None:
        learning = defaultdict(lambda: 7, {"a": 5, "<unk>": 0})
        self.assertEqual(tokens.look_up(learning, ["a", "b"]), (["a", "b"], [5, 7]))
        self.assertEqual(sorted(learning), ["<unk>", "a"])
        self.assertEqual(tokens.look_up(Counter(a=5), ["a", "b"]), (["a", "b"], [5, 0]))
        self.assertEqual(tokens.look_up(defaultdict(None, a=5), ["a", "b"]), (["a"], [5]))


@needs_torch
class TextClassifierTests(SynchronousTestCase):
    """The classifier, with a model that knows good from bad."""

    def setUp(self) -> None:
        import torch

        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / "sentiment_model.py").write_text(MODEL)
        (self.folder / "index_to_name.json").write_text(json.dumps({"0": "glad", "1": "sad"}))
        torch.save(VOCABULARY, self.folder / "source_vocab.pt")
        self.handler = TextClassifier()

    def context_for(self, rows: int = 1, headers: dict[str, str] | None = None, **model: str) -> Context:
        """A context for the archive."""
        declared: dict[str, object] = {"model": {"modelFile": "sentiment_model.py", **model}}
        context = Context("m", str(self.folder), declared, 1, None, "1")
        context.request_processor = [RequestProcessor(headers or {}) for _ in range(rows)]
        return context

    def classify(self, *texts: object) -> Any:
        """The answers to some texts in one batch."""
        context = self.context_for(len(texts))
        self.handler.initialize(context)
        return self.handler.handle([{"data": text} for text in texts], context)

    def test_single_text(self) -> None:
        import torch

        (answer,) = self.classify(bytearray(b"<p>GOOD!</p>"))
        best, worst = torch.tensor([1.0, 0.0]).softmax(0).tolist()
        self.assertEqual(answer, {"glad": best, "sad": worst})

    def test_batch_answers_as_single_texts_do(self) -> None:
        texts = ("very good", "bad", "what", "bad bad good")
        together = self.classify(*texts)
        self.assertEqual(together, [self.classify(text)[0] for text in texts])
        self.assertGreater(together[0]["glad"], 0.85)
        self.assertGreater(together[1]["sad"], 0.7)

    def test_pair_of_one_text(self) -> None:
        self.classify("good")
        numbers, words = self.handler.preprocess([{"body": "very good"}])
        self.assertEqual((numbers.tolist(), words), ([1, 3], ["good", "very good"]))
        self.assertEqual(self.handler.inference((numbers, words)).tolist(), [[2.0, 0.0]])

    def test_vocabulary_that_the_manifest_names(self) -> None:
        (self.folder / "source_vocab.pt").rename(self.folder / "words.pt")
        self.handler.initialize(self.context_for(sourceVocab="words.pt"))
        self.assertEqual(self.handler.source_vocab, VOCABULARY)
        self.assertRaises(FileNotFoundError, self.handler.initialize, self.context_for())
        self.assertFalse(self.handler.initialized)

    def test_vocabulary_of_another_class_is_told_in_the_log(self) -> None:
        import torch

        with self.assertNoLogs("modelserver.child.handlers.text_handler"):
            self.handler.initialize(self.context_for())
        torch.save(PurePosixPath("good/1"), self.folder / "source_vocab.pt")
        with self.assertLogs("modelserver.child.handlers.text_handler", "WARNING") as told:
            self.handler.initialize(self.context_for())
        self.assertEqual(self.handler.source_vocab, PurePosixPath("good/1"))
        (line,) = told.output
        self.assertIn("The vocabulary source_vocab.pt holds more than tensors and plain values", line)

    def test_explain(self) -> None:
        context = self.context_for(2, {"explain": "True"})
        self.handler.initialize(context)
        rows = [{"body": "very good"}, {"body": "bad"}]
        try:
            import captum.attr  # noqa: F401  # only whether it is there
        except ImportError:
            error = self.assertRaises(PredictionException, self.handler.handle, rows, context)
            self.assertEqual(error.error_code, 501)
            self.assertIn("captum", error.message)
            raise SkipTest("explanations themselves need captum") from None
        first, second = self.handler.handle(rows, context)
        self.assertEqual(first["words"], ["good", "very good"])
        self.assertEqual([round(number, 4) for number in first["importances"]], [0.7071, 0.7071])
        self.assertEqual(second["words"], ["bad"])

    def test_spellings_of_the_peers(self) -> None:
        self.assertEqual(self.handler._remove_puncutation("a.b"), "ab")
        self.assertEqual(self.handler._tokenize("A b"), ["a", "b"])

    def test_words_of_tokens_and_of_their_ids(self) -> None:
        import torch

        class Tokenizer:
            def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
                return [{1: "to", 2: "\u0120be"}[number] for number in ids]

        self.assertEqual(self.handler.get_word_token(["to", "\u0120be"]), ["to", "be"])
        self.handler.tokenizer = Tokenizer()
        self.assertEqual(self.handler.get_word_token(torch.tensor([[1, 2]])), ["to", "be"])

    def test_attribution_of_a_layer(self) -> None:
        self.patch(text_handler, "attribution_method", lambda name: lambda *of: (name, *of))
        self.classify("good")
        model = self.handler.model
        self.assertEqual(self.handler.lig, ("LayerIntegratedGradients", model, model.embedding))
        self.assertIs(self.handler.lig, self.handler.lig)
        self.handler.lig = "another"
        self.assertEqual(self.handler.lig, "another")
