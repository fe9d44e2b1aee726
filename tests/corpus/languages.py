"""Handlers for texts, most of them with the transformers library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from modelserver.testing.replies import ModelReply
from modelserver.testing.requests import ModelRequest, json_body
from tests.corpus.public_handler import OLD_PICKLES, Case, PublicHandler, is_close, is_json, names_file
from tests.corpus.small_texts import bert, files_of, vocabulary

TEXTS = ("hello world", "the film was good !")
WEIGHTS = "pytorch_model.bin"


def text_request(text: str) -> ModelRequest:
    """Return a request with a text, as ``curl -T`` sends a file of it."""
    return ModelRequest(text.encode())


def small_embeddings(folder: Path) -> Case:
    """Mean-pooled, normalized embeddings of a small BERT, whose weights are packed as the model file."""
    import torch

    model, tokenizer = bert(folder, "BertModel")
    encoded = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    with torch.inference_mode():
        tokens = model(**encoded)[0]
    mask = encoded["attention_mask"].unsqueeze(-1).float()
    expected = torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1), dim=1)
    return Case(
        json_body({"input": list(TEXTS)}),
        is_json(expected.tolist()),
        model_file=folder / WEIGHTS,
        extra=files_of(folder, WEIGHTS),
    )


def sentiment(folder: Path) -> Case:
    """Logits of a small BERT with two classes, written as texts."""
    import torch

    model, tokenizer = bert(folder, "BertForSequenceClassification", num_labels=2)
    with torch.inference_mode():
        logits = model(tokenizer(TEXTS[1], return_tensors="pt")["input_ids"]).logits[0]
    word = ("negative", "positive")[int(logits.argmax())]

    def is_right(reply: ModelReply) -> bool:
        found = json.loads(reply.body)
        numbers = [float(found["logits"][name]) for name in ("negative", "positive")]
        return found["sentiment"] == word and is_close(numbers, logits.tolist())

    return Case(json_body(TEXTS[1]), is_right, serialized=folder / WEIGHTS, extra=files_of(folder, WEIGHTS))


def scripted_sentiment(folder: Path) -> Case:
    """A scripted bag of words behind a tokenizer; names of classes lie beside it."""
    import torch
    import transformers

    class Bag(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.EmbeddingBag(32, 2)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[torch.Tensor]:
            return [self.words(input_ids) * attention_mask[:, :1]]

    torch.manual_seed(11)
    model = Bag().eval()
    tokenizer = transformers.DistilBertTokenizerFast(str(vocabulary(folder)))
    tokenizer.save_pretrained(folder)
    transformers.DistilBertConfig(dim=16, hidden_dim=16, n_heads=2, n_layers=1).save_pretrained(folder)
    weights = folder / "distillbert_quant_sentiment.pt"
    torch.jit.script(model).save(str(weights))
    (folder / "index_to_classes.json").write_text(json.dumps({"0": "sad", "1": "glad"}))
    with torch.inference_mode():
        scores = model(**tokenizer(list(TEXTS), padding=True, return_tensors="pt"))[0]
    expected = [("sad", "glad")[int(row.argmax())] for row in scores]
    others = files_of(folder, weights.name)
    return Case(json_body({"data": list(TEXTS)}), is_json(expected), model_file=weights, extra=others)


def pair_scores(folder: Path) -> list[float]:
    """Save a small cross encoder; returns its scores of a question beside two texts."""
    import sentence_transformers

    bert(folder, "BertForSequenceClassification", num_labels=1)
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    scores: list[float] = model.predict([[TEXTS[0], text] for text in TEXTS]).tolist()
    return scores


def cross_encoder(folder: Path) -> Case:
    """Scores of references to a question."""
    scores = pair_scores(folder)
    request = json_body({"question": TEXTS[0], "references": list(TEXTS)})
    return Case(request, is_json(scores), model_file=folder / WEIGHTS, extra=files_of(folder, WEIGHTS))


def search_scores(folder: Path) -> Case:
    """Scores of pairs that are sent as the bytes of a JSON document."""
    scores = pair_scores(folder)
    body = json.dumps({"queries": [[TEXTS[0], text] for text in TEXTS]}).encode()
    return Case(
        ModelRequest(body, "application/octet-stream"),
        is_json(scores),
        serialized=folder / WEIGHTS,
        extra=files_of(folder, WEIGHTS),
    )


def _sentence_model(folder: Path) -> object:
    import sentence_transformers
    from sentence_transformers import models

    bert(folder, "BertModel")
    word = models.Transformer(str(folder))
    pooling = models.Pooling(word.get_word_embedding_dimension())
    return sentence_transformers.SentenceTransformer(modules=[word, pooling], device="cpu")


def sentence_embedding(folder: Path) -> Case:
    """Normalized embeddings; a folder without ``modules.json`` gets the mean of its tokens."""
    made = _sentence_model(folder)
    expected = made.encode(list(TEXTS), normalize_embeddings=True).tolist()  # type: ignore[attr-defined]  # no types
    request = json_body({"input": list(TEXTS)})
    return Case(request, is_json(expected), model_file=folder / WEIGHTS, extra=files_of(folder, WEIGHTS))


def text_embedder(folder: Path) -> Case:
    """An embedding of a text; the model lies outside of the archive, where ``models_info.json`` says."""
    outside = folder / "outside"
    outside.mkdir()
    made = _sentence_model(outside)
    made.save(str(outside / "saved"))  # type: ignore[attr-defined]  # no types
    expected = made.encode(TEXTS[1]).tolist()  # type: ignore[attr-defined]  # no types
    info = folder / "models_info.json"
    info.write_text(
        json.dumps({"text_embedder_name": str(outside / "saved"), "text_embedder_dir": str(outside)})
    )
    return Case(text_request(TEXTS[1]), is_json(expected), extra=[info])


def toxicity(folder: Path) -> Case:
    """Six percentages of the class in the repository; the tokenizer is named in ``setup_config.json``."""
    import numpy
    import torch

    from modelserver.child.handlers.weights import import_file

    outside = folder / "outside"
    outside.mkdir()
    body, tokenizer = bert(outside, "BertModel")
    model = import_file(str(folder / "model.py")).BertClassifier(body, 6).eval()
    torch.save(model.state_dict(), folder / "model.pt")
    names = [f"kind {number}" for number in range(6)]
    settings = {"model_name": str(outside), "save_mode": "pretrained", "num_labels": "6", "max_length": "12"}
    setup = folder / "setup_config.json"
    setup.write_text(json.dumps({**settings, "captum_explanation": False}))
    encoded = tokenizer(TEXTS[1], max_length=12, padding="max_length", return_tensors="pt")
    with torch.inference_mode():
        scores = model(encoded["input_ids"], encoded["attention_mask"])[1][0]
    written = [str(number) for number in numpy.round(scores.numpy() * 100, 1)]
    return Case(
        text_request(TEXTS[1]),
        is_json(dict(zip(names, written, strict=True))),
        serialized=folder / "model.pt",
        model_file=folder / "model.py",
        extra=[setup, names_file(folder, {str(number): name for number, name in enumerate(names)})],
    )


def news(folder: Path) -> Case:
    """A whole object in a pickle, of a class in a file beside it."""
    import torch

    from modelserver.child.handlers.weights import import_file

    source = folder / "news_classifier.py"
    source.write_text(
        "import torch\n\nclass NewsClassifier(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.words = torch.nn.EmbeddingBag(32, 4)\n\n"
        "    def forward(self, input_ids, attention_mask):\n        return self.words(input_ids)\n"
    )
    torch.manual_seed(2)
    model = import_file(str(source)).NewsClassifier()
    torch.save(model, folder / "model.pth")
    words = vocabulary(folder).rename(folder / "bert_base_uncased_vocab.txt")
    classes = folder / "class_mapping.json"
    classes.write_text(json.dumps({str(number): f"news {number}" for number in range(4)}))

    def is_right(reply: ModelReply) -> bool:
        return json.loads(reply.body) in {f"news {number}" for number in range(4)}

    request = ModelRequest(TEXTS[0].encode(), "application/octet-stream")
    return Case(request, is_right, serialized=folder / "model.pth", model_file=source, extra=[words, classes])


def generated_sequences(folder: Path) -> Case:
    """TorchServe's own handler for BERT, from ``model-config.yaml``."""
    import torch

    model, tokenizer = bert(folder, "BertForSequenceClassification", num_labels=2)
    encoded = tokenizer(TEXTS[1], max_length=20, padding="max_length", return_tensors="pt")
    with torch.inference_mode():
        best = int(model(encoded["input_ids"], attention_mask=encoded["attention_mask"])[0].argmax())
    config = "".join(
        f"  {line}\n"
        for line in (
            "model_name: bert-base-uncased",
            "mode: sequence_classification",
            "do_lower_case: true",
            'num_labels: "2"',
            "save_mode: pretrained",
            'max_length: "20"',
            "captum_explanation: false",
            "FasterTransformer: false",
            "BetterTransformer: false",
            "model_parallel: false",
        )
    )
    names = names_file(folder, {"0": "Not Accepted", "1": "Accepted"})
    word = ("Not Accepted", "Accepted")[best].encode()
    return Case(
        text_request(TEXTS[1]),
        lambda reply: reply.body == word,
        serialized=folder / WEIGHTS,
        extra=[*files_of(folder, WEIGHTS, names.name), names],
        config=f"minWorkers: 1\nmaxWorkers: 1\nhandler:\n{config}",
    )


HANDLERS: Sequence[PublicHandler] = (
    PublicHandler(
        "minilm-embeddings",
        "clems4ever/torchserve-all-minilm-l6-v2",
        "32cca19fb9367ce8cb5373999213311147ede315",
        "handler.py",
        small_embeddings,
        needs=["transformers"],
    ),
    PublicHandler(
        "huggingface-sentiment",
        "liusida/TorchServe_Huggingface_example",
        "ac21e06e40384ace0281c2ac13d68d5a02d551cc",
        "my_sentiment_classification_handler.py",
        sentiment,
        needs=["transformers"],
    ),
    PublicHandler(
        "distilbert-scripted",
        "minkhent/ml-deployment-torchserve",
        "0dac2d22e789d8f2d7c369768706e9d179d13174",
        "ml-app/handler.py",
        scripted_sentiment,
        needs=["transformers"],
    ),
    PublicHandler(
        "cross-encoder",
        "thomas-mattsson/torchserve-embedder-encoder",
        "c3f1c9e89213cdbfb67d5f61bb33d2c3b3ee337c",
        "handlers/cross_encoder/handler.py",
        cross_encoder,
        needs=["sentence_transformers"],
    ),
    PublicHandler(
        "sentence-embedding",
        "thomas-mattsson/torchserve-embedder-encoder",
        "c3f1c9e89213cdbfb67d5f61bb33d2c3b3ee337c",
        "handlers/embedding/handler.py",
        sentence_embedding,
        needs=["sentence_transformers"],
    ),
    PublicHandler(
        "semantic-search",
        "BryanWBear/sentence-transformers-torchserve",
        "b12cd9dc7d67b331f1afc630802710143e26d3ce",
        "src/ce_handler.py",
        search_scores,
        needs=["sentence_transformers", "scipy"],
    ),
    PublicHandler(
        "text-embedder",
        "PlaeryinBol/Torchserve_Embedders",
        "cc19ec88d28ec34d1aa48ce629532c85f9319a3d",
        "text_embedder_handler.py",
        text_embedder,
        needs=["sentence_transformers"],
    ),
    PublicHandler(
        "toxicity",
        "townim-faisal/serve-model-with-torchserve",
        "a9bc5f20c9ed00f03959f7e0c96311f18e54d1d7",
        "toxicity/model_handler.py",
        toxicity,
        beside=["toxicity/model.py"],
        needs=["transformers", "captum", "pandas", "tqdm"],
    ),
    PublicHandler(
        "news-classifier",
        "mlflow/mlflow-torchserve",
        "a442b98012c6b9fac1b2b053f1069041c72d54eb",
        "examples/BertNewsClassification/news_classifier_handler.py",
        news,
        needs=["transformers"],
        environment=OLD_PICKLES,
    ),
    PublicHandler(
        "transformers-generalized",
        "pytorch/serve",
        "62c4d6a1fdc1d071dbcf758ebd756029af20bd5e",
        "examples/Huggingface_Transformers/Transformer_handler_generalized.py",
        generated_sequences,
        needs=["transformers", "captum"],
    ),
)
