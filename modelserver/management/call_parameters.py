"""The parameters of calls, whatever protocol they come in: what each is, and what may be said for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from attrs import field

from modelserver.dialect_rules import DIALECTS
from modelserver.errors import BadRequest, ParameterMissing
from modelserver.language.attributes import define, frozen

Kind = Literal["integer", "boolean", "text"]
Values = Mapping[str, object]

LARGEST = 2**31 - 1
"""The largest integer that the peers take."""
MOST_WORKERS = 1024
"""Workers that one call may ask for: more is a mistake that would take the machine down."""

_INTEGER = re.compile(r"[+-]?[0-9]+")
_MOST_DIGITS = 18


@frozen
class Parameter:
    """
    One parameter of a call.

    :param default: what holds when it is absent, for the description; None where that depends.
    :param least: the smallest integer that is taken.
    :param choices: the words that are taken; empty for any text.
    :param pattern: what a text must match whole, or empty.
    :param rule: the pattern in words, or empty.
    :param dialects: those that know it.
    """

    name: str
    kind: Kind
    description: str
    default: int | bool | str | None = None
    least: int = 0
    most: int = LARGEST
    choices: tuple[str, ...] = ()
    pattern: str = ""
    rule: str = ""
    required: bool = False
    dialects: tuple[str, ...] = tuple(DIALECTS)


@define
class Fields:
    """
    The parameters that one call brought.

    :param strict: refuse integers and booleans that cannot be read, rather than take the default.
    :param typed: the values are JSON's, where a value that cannot be read is always refused.
    """

    values: Values
    strict: bool = False
    typed: bool = False
    ignored: list[str] = field(factory=list, init=False)

    def known_to(self, dialect: str, parameters: Iterable[Parameter]) -> Fields:
        """Return the fields of the ``parameters`` that the dialect knows; the peers ignore others, too."""
        names = {parameter.name for parameter in parameters if dialect in parameter.dialects}
        values = {name: value for name, value in self.values.items() if name in names}
        return Fields(values, self.strict, self.typed)

    def strictly(self) -> Fields:
        """Return the same fields, of which those that cannot be read are refused."""
        return Fields(self.values, True, self.typed)

    def integer(self, parameter: Parameter) -> int | None:
        """
        Return an integer, or the default when the field is absent or, as in TorchServe, cannot be read.

        :raises BadRequest: the number is out of range, or cannot be read and ``strict`` or ``typed`` is set.
        """
        value = self.values.get(parameter.name)
        if value is None:
            return _default(parameter)
        number = _read_integer(value)
        if number is None:
            self._ignore(parameter, value, "an integer")
            return _default(parameter)
        if not parameter.least <= number <= parameter.most:
            raise BadRequest(
                f"Parameter {parameter.name} must be from {parameter.least} to {parameter.most}."
            )
        return number

    def boolean(self, parameter: Parameter) -> bool:
        """
        Return a boolean; as in TorchServe and MMS, every word but "true" is false.

        :raises BadRequest: the word is neither true nor false, and ``strict`` or ``typed`` is set.
        """
        value = self.values.get(parameter.name)
        if value is None:
            return bool(parameter.default)
        if isinstance(value, bool):
            return value
        word = value.lower() if isinstance(value, str) else None
        if word not in ("true", "false"):
            self._ignore(parameter, value, "true or false")
        return word == "true"

    def text(self, parameter: Parameter) -> str | None:
        """
        Return a text, or None when the field is absent or empty.

        :raises BadRequest: the value is no text, not one of the choices, or does not match the pattern.
        """
        value = self.values.get(parameter.name)
        if value is None:
            return None
        if isinstance(value, bool):
            value = "true" if value else "false"
        if isinstance(value, list | dict):
            raise BadRequest(f"Parameter {parameter.name} must be a text.")
        text = str(value)
        if not text:
            return None
        if parameter.choices and text not in parameter.choices:
            words = ", ".join(parameter.choices)
            raise BadRequest(f"Parameter {parameter.name} must be one of: {words}.")
        if parameter.pattern and re.fullmatch(parameter.pattern, text) is None:
            wanted = f"must be {parameter.rule}" if parameter.rule else f"does not match {parameter.pattern}"
            raise BadRequest(f"Parameter {parameter.name} {wanted}")
        return text

    def required_text(self, parameter: Parameter) -> str:
        """
        Return a text that may be empty, but not absent.

        :raises ParameterMissing: the field is absent.
        """
        if self.values.get(parameter.name) is None:
            raise ParameterMissing(parameter.name)
        return self.text(parameter) or ""

    def _ignore(self, parameter: Parameter, value: object, wanted: str) -> None:
        if self.strict or self.typed:
            raise BadRequest(f"Parameter {parameter.name} must be {wanted}.")
        self.ignored.append(parameter.name)


def _default(parameter: Parameter) -> int | None:
    return parameter.default if isinstance(parameter.default, int) else None


def _read_integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, str) or _INTEGER.fullmatch(value) is None:
        return None
    digits = value.lstrip("+-").lstrip("0")[: _MOST_DIGITS + 1]  # with more it is out of every range
    return int(digits or "0") * (-1 if value.startswith("-") else 1)
