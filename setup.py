"""Everything is declared in setup.cfg, but for the way to the peers' names."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PATH_FILE = "modelserver-compat.pth"
"""Read by Python at its start: the folder in it is searched last, so that a real peer goes first."""


class BuildWithPathFile(build_py):
    """Puts a file beside the packages by which ``ts`` and ``mms`` can be imported outside of workers, too."""

    def run(self) -> None:
        """Copy the packages, and write the file."""
        super().run()
        if not self.editable_mode:
            Path(self.build_lib, PATH_FILE).write_text("modelserver/compat\n", "ascii")

    def get_outputs(self, include_bytecode: int = 1) -> list[str]:
        """Name the file among what is installed."""
        return [*super().get_outputs(include_bytecode), str(Path(self.build_lib, PATH_FILE))]


setup(cmdclass={"build_py": BuildWithPathFile})
