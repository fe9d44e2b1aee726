"""Environments of Python for single models; this server makes its own (``install_py_dep_per_model``)."""

import os
import site
import sys
import venv

__all__ = ["create_venv", "inherit_site_packages", "os", "site", "sys", "venv"]

from modelserver.compat.borrowed import borrowed


def create_venv(venv_path):
    """Make an environment with pip; what is there goes."""
    venv.create(venv_path, clear=True, with_pip=True)


def inherit_site_packages(venv_path):
    """Let an environment find the packages of this one, too."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folders = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    inherited = [folder for folder in [*folders, *site.getsitepackages()] if os.path.isdir(folder)]
    target = os.path.join(venv_path, "lib", version, "site-packages", "inherited-site-packages.pth")
    with open(target, "w", encoding="utf-8") as file:
        file.writelines(f"{folder}\n" for folder in inherited)


__getattr__ = borrowed(__name__)
