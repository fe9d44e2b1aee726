"""The best classes of an array."""

from modelserver.compat.borrowed import borrowed

__all__ = ["top_probability"]


def top_probability(data, labels, top=5):
    """
    The most probable classes of the first row, best first, as ``probability`` and ``class``.

    :param data: an array of MXNet or numpy; more than two dimensions must have the size 1.
    """
    import numpy

    row = numpy.asarray(data.asnumpy() if hasattr(data, "asnumpy") else data)[0].reshape(-1)
    best = numpy.argsort(-row, kind="stable")[:top]
    return [{"probability": float(row[place]), "class": labels[int(place)]} for place in best]


__getattr__ = borrowed(__name__)
