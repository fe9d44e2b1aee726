"""Fills the folder of a model for tests of handlers."""

import shutil
from pathlib import Path
from urllib import request

from modelserver.compat.borrowed import borrowed

__all__ = ["REPO_DIR", "copy_files", "download_model"]

REPO_DIR = Path(__file__).parents[4]


def download_model(model_url, model_dir):
    """Write what is at a URL into the folder, as ``model.pt``."""
    with request.urlopen(model_url) as source, Path(model_dir, "model.pt").open("wb") as target:
        shutil.copyfileobj(source, target)


def copy_files(src_dir, dst_dir, files):
    """Copy files of one folder to another: ``files`` has their names there by those here."""
    for name, new_name in files.items():
        shutil.copyfile(Path(src_dir, name), Path(dst_dir, new_name))


__getattr__ = borrowed(__name__)
