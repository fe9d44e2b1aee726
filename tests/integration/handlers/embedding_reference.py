"""Prints the embeddings of sentences, made without a server: the folder of the model, then the sentences."""

import json
import sys

import torch
from transformers import AutoModel, AutoTokenizer

folder, *texts = sys.argv[1:]
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
rows = []
for text in texts:
    tokens = tokenizer([text], return_tensors="pt")
    with torch.inference_mode():
        mean = model(**tokens).last_hidden_state[0].mean(0)
    rows.append((mean / mean.norm()).tolist())
print(json.dumps(rows))
