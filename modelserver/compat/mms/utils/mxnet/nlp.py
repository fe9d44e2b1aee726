"""Sentences as numbers."""

from bisect import bisect_left

from modelserver.compat.borrowed import borrowed

__all__ = ["encode_sentences", "pad_sentence"]


def encode_sentences(sentences, vocab=None, invalid_label=-1, invalid_key="\n", start_label=0):
    """
    The numbers of all words, and the vocabulary.

    :param vocab: the number of each word, others are ``invalid_label``; None: every word gets a number.
    :param start_label: the first number.
    """
    learns = vocab is None
    known = {invalid_key: invalid_label} if vocab is None else vocab
    following = start_label
    encoded = []
    for sentence in sentences:
        for word in sentence if learns else ():
            if word not in known:
                following += following == invalid_label
                known[word] = following
                following += 1
        encoded.append([known.get(word, invalid_label) for word in sentence])
    return encoded, known


def pad_sentence(sentence, buckets, invalid_label=-1, data_name="data", layout="NT"):
    """
    A batch of MXNet with one sentence, filled up to the next size of ``buckets`` (which ascend).

    :raises ImportError: MXNet is not installed.
    """
    import mxnet

    size = buckets[bisect_left(buckets, len(sentence))]
    padded = [*sentence, *[invalid_label] * (size - len(sentence))]
    described = mxnet.io.DataDesc(
        name=data_name, shape=(1, size) if layout == "NT" else (size, 1), layout=layout
    )
    array = mxnet.nd.array([padded], dtype="float32")
    return mxnet.io.DataBatch([array], pad=0, bucket_key=size, provide_data=[described])


__getattr__ = borrowed(__name__)
