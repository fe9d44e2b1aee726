"""How Sphinx builds this documentation: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

import reference_pages  # noqa: E402  # it is beside this file

import modelserver  # noqa: E402  # of this checkout

project = "modelserver"
author = "the modelserver contributors"
version = release = modelserver.__version__
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"modelserver {version}"
html_extra_path = ["reference/llms.txt"]
html_copy_source = False
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# Files of the checkout that pages link to are shown where the project is hosted, not here.
suppress_warnings = ["myst.xref_missing"]


def setup(app: object) -> None:
    """Write the reference pages, and the list of all pages, before Sphinx reads them."""
    reference_pages.write(HERE / "reference")
    reference_pages.write_list(HERE)
