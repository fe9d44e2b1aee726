"""``modelserver workflows``: registers and describes workflows of a running server."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from modelserver.cli.client.calls import ServerCalls
from modelserver.cli.client.commands import run
from modelserver.cli.client.connection import add_connection, path_of
from modelserver.cli.client.output import nodes_table, workflows_table
from modelserver.language.attributes import frozen


@frozen
class WorkflowCommand:
    """One action on workflows while it runs."""

    arguments: argparse.Namespace
    calls: ServerCalls

    def list_all(self) -> None:
        """List every workflow."""
        names = self.calls.names("workflows", "workflowName")
        workflows = [workflow for name in names for workflow in self._describe(name)]
        self.calls.terminal.show(workflows, workflows_table(workflows))

    def describe(self) -> None:
        """Describe a workflow, one version, or all."""
        workflows = self._describe(self.arguments.workflow, self.arguments.version)
        tables = [table for each in workflows for table in (workflows_table([each]), nodes_table(each))]
        self.calls.terminal.show(workflows, *tables)

    def register(self) -> None:
        """Register an archive; the server answers when the workers of all nodes are there."""
        arguments = self.arguments
        wanted = {
            "url": arguments.url,
            "workflow_name": arguments.name,
            "response_timeout": arguments.response_timeout,
            "startup_timeout": arguments.startup_timeout,
            "sha256": arguments.sha256,
        }
        self.calls.change("POST", "/workflows", wanted, f"Registering {arguments.url}")

    def unregister(self) -> None:
        """Unregister a workflow, or one version."""
        path = path_of("workflows", self.arguments.workflow, self.arguments.version)
        self.calls.change("DELETE", path, {}, f"Unregistering {self.arguments.workflow}")

    def set_default(self) -> None:
        """Choose the default version."""
        path = path_of("workflows", self.arguments.workflow, self.arguments.version, "set-default")
        self.calls.change("PUT", path, {}, "Setting the default version")

    def _describe(self, name: str, version: str | None = None) -> list[Mapping[str, Any]]:
        described: list[Mapping[str, Any]] = self.calls.manage("GET", path_of("workflows", name, version))
        return described


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``workflows`` with its own subcommands."""
    parser = subparsers.add_parser("workflows", help="register and describe workflows of a running server")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    parsers = {
        name: actions.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
        for name, help_ in (
            ("list", "list the workflows of a running server"),
            ("describe", "describe a workflow: its graph, and what each node is"),
            ("register", "register a workflow archive with a running server"),
            ("unregister", "unregister a workflow, with the models of its nodes"),
            ("set-default", "choose the default version of a workflow"),
        )
    }
    for name in ("describe", "unregister", "set-default"):
        parsers[name].add_argument("workflow", metavar="WORKFLOW")
    parsers["describe"].add_argument("version", metavar="VERSION", nargs="?", help="a version, or: all")
    parsers["unregister"].add_argument("--version", help="the version; the default one if absent")
    parsers["set-default"].add_argument("version", metavar="VERSION")
    add = parsers["register"].add_argument
    add("url", metavar="ARCHIVE", help="a file of the workflow store, or a URL")
    add("--name", help="the workflow's name; default: the archive's")
    add("--response-timeout", type=int, metavar="S", help="seconds that a batch of a node may take")
    add("--startup-timeout", type=int, metavar="S", help="seconds that loading a node may take")
    add("--sha256", metavar="HEX", help="what the archive's SHA-256 must be")
    for name, each in parsers.items():
        add_connection(each)
        each.add_argument("--json", action="store_true", help="print JSON instead of a table")
        act = getattr(WorkflowCommand, "list_all" if name == "list" else name.replace("-", "_"))
        each.set_defaults(run=run, command=WorkflowCommand, act=act)
