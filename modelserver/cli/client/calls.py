"""What commands that talk to a server share: requests, their answers, and where they are printed."""

from __future__ import annotations

import json
from typing import Any, BinaryIO
from urllib.parse import urlencode

from rich.console import Console

from modelserver.cli.client.connection import Remote, Unreachable
from modelserver.cli.client.http import ServerReply
from modelserver.language.attributes import frozen

FIRST_ERROR = 400
PAGE = 100


class RequestRefused(Exception):
    """The server refuses a request; the text is the server's reason."""


@frozen
class Terminal:
    """
    Where a command writes.

    :param results: takes what was asked for; a program may read it.
    :param remarks: takes everything else.
    :param as_json: results are printed as JSON.
    """

    results: Console
    remarks: Console
    output: BinaryIO
    as_json: bool = False

    def show(self, value: object, *tables: object) -> None:
        """Print a result, as JSON or as tables for a person."""
        if self.as_json:
            self.output.write(json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")
            self.output.flush()
        else:
            for table in tables:
                self.results.print(table)


@frozen
class ServerCalls:
    """Sends requests to a server, and prints what it says."""

    remote: Remote
    terminal: Terminal

    def manage(self, method: str, path: str) -> Any:
        """
        Return the JSON of a management call.

        :raises RequestRefused: the server refuses.
        :raises Unreachable: there is no server.
        """
        return self.json(self.remote.manage(method, path))

    def change(self, method: str, path: str, wanted: dict[str, object], doing: str) -> None:
        """
        Make a management call that changes something, and print the server's sentence.

        :param wanted: the parameters; those that are None are left out.
        :param doing: what is shown meanwhile.
        """
        query = urlencode({name: value for name, value in wanted.items() if value is not None})
        with self.terminal.remarks.status(doing):
            reply = self.remote.manage(method, f"{path}?{query}" if query else path)
        self.tell(self.json(reply))

    def names(self, kind: str, key: str) -> list[str]:
        """
        Return the names in all pages of a list.

        :param kind: ``models`` or ``workflows``.
        :param key: of the name in a row.
        """
        names: list[str] = []
        token: str | None = "0"
        while token is not None:
            page = self.manage("GET", f"/{kind}?limit={PAGE}&next_page_token={token}")
            names += [str(row[key]) for row in page[kind]]
            after = page.get("nextPageToken")
            token = after if page[kind] else None
        return names

    def tell(self, answer: Any) -> None:
        """Print the sentence of an answer."""
        text = answer.get("status", answer) if isinstance(answer, dict) else answer
        if self.terminal.as_json:
            self.terminal.show(answer)
        else:
            self.terminal.results.print(str(text), markup=False, highlight=False, soft_wrap=True)

    def json(self, reply: ServerReply) -> Any:
        """
        Return the JSON of an answer, as ``manage``.

        :raises RequestRefused: the server refuses.
        :raises Unreachable: the answer is no JSON.
        """
        try:
            return json.loads(self.accepted(reply).body)
        except ValueError as why:
            raise Unreachable("what answers is no model server: its answer is not JSON") from why

    @staticmethod
    def accepted(reply: ServerReply) -> ServerReply:
        """
        Return an answer that is no refusal.

        :raises RequestRefused: it is one.
        """
        if reply.status >= FIRST_ERROR:
            # Of a handler's exception, its class and text are told apart, where they are told at all.
            reason = reply.told("reason")
            told = [reason] if reason else [reply.told("exception"), reply.told("text")]
            raise RequestRefused(": ".join([f"{reply.message} ({reply.status})", *filter(None, told)]))
        return reply
