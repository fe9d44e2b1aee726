#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0: generate() masks the padding of a batch in the model, and not in what it
# counts. min_length, max_length and no_repeat_ngram_size take the pad tokens before a short prompt for a part of it.
# Greedy, with min_length=6, a prompt of 2 tokens is answered with 4 tokens alone, and with none beside a prompt of 6;
# with max_length=8 it is 6 tokens alone, and 2 in company; with no_repeat_ngram_size=1, where padding is the end token,
# as is usual, an answer that ends at once goes on to the limit. So who shares a batch decides where an answer ends.
# max_new_tokens and min_new_tokens count what is new; repetition_penalty leaves padding out.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q transformers==5.24.0 numpy==2.2.6
"$work/venv/bin/pip" install -q 'torch==2.13.0' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
cd "$work"
HF_HUB_OFFLINE=1 venv/bin/python -W ignore - 2> errors <<'PY' || { cat errors >&2; exit 1; }
import torch
from transformers import GPT2Config, GPT2LMHeadModel

END, WORD = 0, 5


def model_that_prefers(*tokens):
    """A model that says these tokens rather than others, the first one most, whatever was before."""
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=30, n_positions=64, n_embd=16, n_layer=1, n_head=2, bos_token_id=END, eos_token_id=END)
    model = GPT2LMHeadModel(config).eval()
    weights = torch.zeros(30, 16)
    for place, token in enumerate(tokens):
        weights[token] = 1 / (1 + place)
    model.transformer.wte.weight.data.copy_(weights)
    model.transformer.ln_f.weight.data.zero_()
    model.transformer.ln_f.bias.data.fill_(1)
    return model


def ask(model, *prompts, **options):
    """The new tokens of the first prompt, without the end token and what comes behind."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[END] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    told = model.generate(ids, attention_mask=mask, do_sample=False, pad_token_id=END, **options)[0, longest:].tolist()
    return told[: told.index(END)] if END in told else told


def both(model, **options):
    short, long = [7, 8], [7, 8, 9, 10, 11, 12]
    alone, company = ask(model, short, **options), ask(model, short, long, **options)
    print(f"{options}: alone {alone}, in company {company}")
    return len(alone), len(company)


ends, goes_on = model_that_prefers(END, WORD), model_that_prefers(WORD, END)
assert both(ends, max_new_tokens=8) == (0, 0)
assert both(ends, min_length=6, max_new_tokens=8) == (4, 0)
assert both(goes_on, max_length=8) == (6, 2)
alone, company = both(ends, no_repeat_ngram_size=1, max_new_tokens=8)
assert alone == 0 and company > 0
assert both(ends, min_new_tokens=4, max_new_tokens=8) == (4, 4)
assert both(goes_on, max_new_tokens=8) == (8, 8)
assert both(ends, repetition_penalty=5.0, max_new_tokens=8) == (0, 0)
print("as described")
PY
