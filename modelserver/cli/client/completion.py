"""``modelserver completion``: prints a script with which a shell completes commands and options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

Commands = Mapping[str, Sequence[str]]
"""The options of each subcommand."""

SHELLS = ("bash", "zsh", "fish")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``completion``."""
    parser = subparsers.add_parser(
        "completion",
        help="print a completion script for a shell",
        description="Print a completion script. For bash: source <(modelserver completion bash)",
    )
    parser.add_argument("shell", choices=SHELLS)
    # The subcommands are known when all have been added, which is when this one runs.
    parser.set_defaults(run=run, subparsers=subparsers)


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    sys.stdout.write(script(arguments.shell, commands_of(arguments.subparsers)))
    return 0


def commands_of(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> dict[str, list[str]]:
    """Return the subcommands and their long options, in order."""
    return {
        name: sorted(
            option
            for action in parser._actions
            for option in action.option_strings
            if option.startswith("--")
        )
        for name, parser in sorted(subparsers.choices.items())
    }


def script(shell: str, commands: Commands) -> str:
    """Return the completion script for a shell."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def _bash(commands: Commands) -> str:
    return f"""\
_modelserver() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" options=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(commands)}" -- "$word"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{_cases(commands)}
    esac
    if [[ "$word" == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}}
complete -o filenames -F _modelserver modelserver
"""


def _cases(commands: Commands) -> str:
    return "\n".join(
        f'        {name}) options="{" ".join(options)}" ;;' for name, options in commands.items()
    )


def _zsh(commands: Commands) -> str:
    return f"""\
#compdef modelserver
_modelserver() {{
    local options=
    if (( CURRENT == 2 )); then
        compadd -- {" ".join(commands)}
        return
    fi
    case "$words[2]" in
{_cases(commands)}
    esac
    if [[ "$PREFIX" == -* ]]; then
        compadd -- ${{=options}}
    else
        _files
    fi
}}
compdef _modelserver modelserver
"""


def _fish(commands: Commands) -> str:
    lines = [
        "complete -c modelserver -n __fish_use_subcommand -f -a '" + " ".join(commands) + "'",
        *(
            f"complete -c modelserver -n '__fish_seen_subcommand_from {name}' -l {option.removeprefix('--')}"
            for name, options in commands.items()
            for option in options
        ),
    ]
    return "\n".join(lines) + "\n"
