"""Packages that an installation may lack: tests that need one are skipped without it."""

from __future__ import annotations

from importlib.util import find_spec
from unittest import skipUnless

needs_torch = skipUnless(find_spec("torch"), "torch is not installed: pip install 'modelserver[torch]'")
needs_protoc = skipUnless(find_spec("grpc_tools"), "protoc is not installed: pip install grpcio-tools")
