"""Embeddings of sentences: what a sentence transformer's tokens mean on the average, scaled to length 1."""

import torch
from transformers import AutoModel, AutoTokenizer
from ts.torch_handler.base_handler import BaseHandler


class EmbeddingHandler(BaseHandler):
    def initialize(self, context):
        folder = context.system_properties["model_dir"]
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder).eval()
        self.context = context
        self.initialized = True

    def preprocess(self, data):
        texts = [row.get("data") or row.get("body") for row in data]
        texts = [bytes(text).decode() if isinstance(text, (bytes, bytearray)) else text for text in texts]
        return self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")

    def inference(self, data, *args, **kwargs):
        with torch.inference_mode():
            hidden = self.model(**data).last_hidden_state
        mask = data["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(mean)
