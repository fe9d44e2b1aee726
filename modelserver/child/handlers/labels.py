"""The names of classes: ``index_to_name.json``."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence

log = logging.getLogger(__name__)


def load_label_mapping(mapping_file_path: str) -> dict[str, str] | None:
    """
    The label of each class index, or None if there is no such file.

    The file holds ``{"0": "label"}``, ``{"0": ["id", "label"]}`` or ``{"object_type_names": [...]}``.

    :raises ValueError: it holds something else.
    """
    if not os.path.isfile(mapping_file_path):
        log.warning("%r is missing. Inference output will not include class name.", mapping_file_path)
        return None
    with open(mapping_file_path, encoding="utf-8") as file:
        mapping = json.load(file)
    if not isinstance(mapping, dict):
        raise ValueError('index->name JSON mapping should be in "class": "label" format.')
    names = mapping.get("object_type_names")
    if isinstance(names, list):
        mapping = {str(index): name for index, name in enumerate(names)}
    return {index: name[-1] if isinstance(name, list) else name for index, name in mapping.items()}


def map_class_to_label(
    probs: Sequence[Sequence[object]],
    mapping: Mapping[str, str] | None = None,
    lbl_classes: Iterable[Sequence[int]] | None = None,
) -> list[dict[str, object]]:
    """
    One dict for each row of ``probs``, from the class's label (or index) to its value.

    :param lbl_classes: the class of each value; without it they stand in the order of the classes.
    :raises TypeError: an argument is no list, or the mapping no dict.
    """
    if not isinstance(probs, list):
        raise TypeError("Convert classes to list before doing mapping")
    if mapping is not None and not isinstance(mapping, Mapping):
        raise TypeError("Mapping must be a dict")
    classes = [range(len(row)) for row in probs] if lbl_classes is None else lbl_classes
    return [
        {
            str(index) if mapping is None else mapping.get(str(index), str(index)): value
            for index, value in zip(indices, row, strict=False)
        }
        for indices, row in zip(classes, probs, strict=False)
    ]
