"""The command ``multi-model-server`` as a function."""

import subprocess
import sys

from modelserver.compat.borrowed import borrowed

__all__ = ["load_properties", "old_start", "start"]


def start():
    """Run ``multi-model-server`` of this server with the process's own arguments; end as it ends."""
    sys.exit(subprocess.run(["multi-model-server", *sys.argv[1:]], check=False).returncode)


def load_properties(file_path):
    """The keys and values of a properties file as they stand there, without comments."""
    with open(file_path, encoding="utf-8") as file:
        lines = [line.strip().partition("=") for line in file if not line.strip().startswith("#")]
    return {key.strip(): value.strip() for key, equals, value in lines if equals}


def old_start():
    """The same under the name of ``mxnet-model-server``."""
    print("mxnet-model-server is now called multi-model-server.")
    start()


__getattr__ = borrowed(__name__)
