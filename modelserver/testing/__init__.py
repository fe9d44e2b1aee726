"""
Tests of handlers: ``serve`` one as a worker would, or give it a ``MockContext``.

This file has more than a docstring, for it is the one package that users import from by its own name. What
this project's own tests need is in ``providers`` and ``rpc_calls``.
"""

from modelserver.testing.mock_context import MockContext
from modelserver.testing.replies import ModelReply
from modelserver.testing.requests import ModelRequest, form, infer, json_body, multipart, raw
from modelserver.testing.serve import ServedModel, serve

__all__ = [
    "MockContext",
    "ModelReply",
    "ModelRequest",
    "ServedModel",
    "form",
    "infer",
    "json_body",
    "multipart",
    "raw",
    "serve",
]
