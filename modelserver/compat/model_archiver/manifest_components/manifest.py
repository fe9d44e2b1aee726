"""What a manifest says."""

import json
from datetime import datetime
from enum import Enum

from model_archiver.version import __version__


class RuntimeType(Enum):
    """What runs a handler."""

    PYTHON = "python"
    PYTHON3 = "python3"
    LSP = "LSP"


class Manifest:
    """
    The document ``MAR-INF/MANIFEST.json``; its text is the JSON.

    :param model: a ``Model``.
    """

    def __init__(self, runtime, model):
        self.creation_time = datetime.now().strftime("%d/%m/%Y %H:%M:%S")
        self.runtime = RuntimeType(runtime)
        self.model = model
        self.archiver_version = __version__
        self.manifest_dict = self.__to_dict__()

    def __to_dict__(self):
        return {
            "createdOn": self.creation_time,
            "runtime": self.runtime.value,
            "model": self.model.__to_dict__(),
            "archiverVersion": self.archiver_version,
        }

    def __str__(self):
        return json.dumps(self.manifest_dict, indent=2)

    __repr__ = __str__
