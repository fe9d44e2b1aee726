#!/usr/bin/env bash
# transformers 5.24.0 with tokenizers 0.23.3: truncation=, max_length= and padding= of a call of a fast tokenizer are
# settings of the object that all its callers share: they are set, and then the text is encoded. Threads that ask for
# different lengths get each other's now and then: of thousands of calls with max_length=8, some have 64 tokens or the
# other way round, nothing is raised. The last call's settings stay: backend_tokenizer cuts and pads by them, and
# save_pretrained() writes them into tokenizer.json, where other readers of that file (the tokenizers library, and
# servers in other languages) obey them: a text of 100 words is 8 tokens. A lock around the call, or a tokenizer for
# each thread, is what helps.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q transformers==5.24.0 tokenizers==0.23.3 numpy==2.2.6
cd "$work"
HF_HUB_OFFLINE=1 venv/bin/python -W ignore - 2> errors <<'PY' || { cat errors >&2; exit 1; }
import sys
import threading
import time

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

words = [f"word{number}" for number in range(100)]
vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *words])}
backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")
text = " ".join(words)

tokenizer("word1", truncation=True, padding="max_length", max_length=8)
print("after a call with max_length=8:", tokenizer.backend_tokenizer.truncation)
assert len(tokenizer.backend_tokenizer.encode(text).ids) == 8
tokenizer.save_pretrained("saved")
lengths = [len(Tokenizer.from_file("saved/tokenizer.json").encode(each).ids) for each in (text, "word1")]
print("tokens of 100 words and of one, by tokenizer.json as it was saved then:", lengths)
assert lengths == [8, 8]
assert len(tokenizer(text)["input_ids"]) == 100

sys.setswitchinterval(1e-5)  # more threads change places, so that the test is short
wrong = {8: 0, 64: 0}
made = {8: 0, 64: 0}
until = time.monotonic() + 60


def ask(length):
    while time.monotonic() < until and not (all(wrong.values()) and made[length] >= 2000):
        made[length] += 1
        wrong[length] += len(tokenizer(text, truncation=True, max_length=length)["input_ids"]) != length


threads = [threading.Thread(target=ask, args=(length,)) for length in wrong]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for length, count in wrong.items():
    print(f"max_length={length}: {made[length]} calls, {count} of another length")
assert all(wrong.values()), wrong
print("as described")
PY
