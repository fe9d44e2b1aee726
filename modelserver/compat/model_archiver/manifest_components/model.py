"""What a manifest says of a model."""

import json
import os

from modelserver.archive.packing import base_name


def _base_name(path):
    """The last part of a path; None of none."""
    return base_name(os.fspath(path)) if path else None


class Model:
    """
    The model's part of a manifest.

    :param extensions: a document of one's own.
    """

    def __init__(
        self,
        model_name,
        serialized_file,
        handler,
        model_file=None,
        model_version=None,
        extensions=None,
        requirements_file=None,
        config_file=None,
    ):
        self.model_name = model_name
        self.serialized_file = _base_name(serialized_file)
        self.model_file = model_file
        self.model_version = model_version
        self.extensions = extensions
        self.handler = _base_name(handler)
        self.requirements_file = requirements_file
        self.config_file = _base_name(config_file)
        self.model_dict = self.__to_dict__()

    def __to_dict__(self):
        said = {
            "modelName": self.model_name,
            "serializedFile": self.serialized_file,
            "handler": self.handler,
            "modelFile": _base_name(self.model_file),
            "modelVersion": self.model_version,
            "extensions": self.extensions,
            "requirementsFile": _base_name(self.requirements_file),
            "configFile": self.config_file,
        }
        always = ("modelName", "handler")
        return {name: value for name, value in said.items() if value or name in always}

    def __str__(self):
        return json.dumps(self.model_dict)

    __repr__ = __str__
