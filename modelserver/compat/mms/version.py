"""The Multi Model Server whose Python API this is."""

from modelserver.dialect_rules import MMS

__version__ = MMS.peer_version
