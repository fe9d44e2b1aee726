"""The command that starts a worker's Python process, for the server and for torchrun."""

from __future__ import annotations

from modelserver.system.installation import ROOT

WORKER = "modelserver.child.process.main"
RANK = "modelserver.child.process.rank"


def start_command(python: str, module: str, *arguments: str) -> list[str]:
    """
    The command that calls ``main`` of a module of this package.

    The package's folder comes last on ``sys.path``: a model's environment may have other versions of what is
    installed beside this package. The current folder is not on it.

    :param python: the interpreter, which need not be this process's.
    :param module: ``WORKER`` or ``RANK``.
    :param arguments: ``sys.argv[1:]`` of the process.
    """
    program = (
        f"import sys; sys.path.pop(0); sys.path.append(sys.argv.pop(1)); from {module} import main; main()"
    )
    return [python, "-c", program, str(ROOT), *arguments]
