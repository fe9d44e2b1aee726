"""The command ``torchserve`` as a function."""

import subprocess
import sys

from modelserver.compat.borrowed import borrowed

__all__ = ["TS_NAMESPACE", "load_properties", "start"]

TS_NAMESPACE = "org.pytorch.serve.ModelServer"


def start():
    """Run ``torchserve`` of this server with the process's own arguments; end as it ends."""
    sys.exit(subprocess.run(["torchserve", *sys.argv[1:]], check=False).returncode)


def load_properties(file_path):
    """The keys and values of a properties file as they stand there, without comments."""
    with open(file_path, encoding="utf-8") as file:
        lines = [line.strip().partition("=") for line in file if not line.strip().startswith("#")]
    return {key.strip(): value.strip() for key, equals, value in lines if equals}


__getattr__ = borrowed(__name__)
