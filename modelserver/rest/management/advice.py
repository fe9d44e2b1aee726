"""Answers which settings a version should have."""

from __future__ import annotations

from collections.abc import Mapping
from math import isinf

from twisted.web.server import Request

from modelserver.interfaces import Reply
from modelserver.language.attributes import frozen
from modelserver.management.advice import Aims, Choice, Predicted
from modelserver.management.advisor import Advisor, VersionAdvice
from modelserver.management.call_parameters import Parameter
from modelserver.rest.binding import Operation
from modelserver.rest.dialects.json_text import pretty
from modelserver.rest.management.calls import Calls
from modelserver.version_settings.setting import AUTO_WORD, MILLISECOND
from modelserver.version_settings.values import AUTO_DELAY

P99 = Parameter(
    "p99",
    "text",
    "The time that 99 of 100 requests may take: 50ms, or 0.2s.",
    pattern=r"[0-9]{1,9}(\.[0-9]{1,6})?(ms|s)",
    rule="a number with ms or s behind it",
)
RATE = Parameter("rate", "integer", "Requests a second; by default what the present callers bring.", least=1)
PARAMETERS = (P99, RATE)


@frozen(eq=False)
class AdviceApi:
    """Answers the rows of advice."""

    advisor: Advisor
    calls: Calls

    def operations(self) -> Mapping[str, Operation]:
        """Return the functions that answer, by operationId."""
        return {"modelAdvice": self.advise, "version_modelAdvice": self.advise}

    def advise(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """Recommend settings."""
        fields = self.calls.fields(request, PARAMETERS)
        text = fields.text(P99)
        rate = fields.integer(RATE)
        wanted = Aims(None if text is None else seconds_of(text), None if rate is None else float(rate))
        found = self.advisor.advise(model_name, model_version, wanted)
        return self.calls.answer(request, Reply(200, pretty(body_of(found))), fields)


def seconds_of(text: str) -> float:
    """Return the seconds of a duration with its unit."""
    return float(text[:-2]) * MILLISECOND if text.endswith("ms") else float(text[:-1])


def body_of(found: VersionAdvice) -> dict[str, object]:
    """Return advice as a document."""
    advice, observed = found.advice, found.observed
    body: dict[str, object] = {
        "modelName": found.model,
        "modelVersion": found.version,
        "verdict": advice.verdict,
        "reason": advice.reason,
        "seen": {
            "requests": observed.requests,
            "callers": round(observed.callers, 1),
            "computing": round(observed.computing, 2),
            "handlerMilliseconds": {
                str(size): _milliseconds(seen.seconds / seen.calls) for size, seen in observed.sizes.items()
            },
        },
        "current": _settings(advice.current, advice.now),
    }
    if advice.then is not None:
        body["recommended"] = _settings(advice.recommended, advice.then)
        body["gain"] = None if isinf(advice.gain) else round(advice.gain, 3)
        body["confidence"] = advice.confidence
    body["notes"] = list(advice.notes)
    return body


def _settings(choice: Choice, predicted: Predicted | None) -> dict[str, object]:
    is_auto = choice.delay == AUTO_DELAY
    settings: dict[str, object] = {
        "batch_size": choice.batch_size,
        "max_batch_delay": AUTO_WORD if is_auto else round(choice.delay / MILLISECOND),
        "workers": choice.workers,
    }
    if predicted is not None:
        settings["requestsPerSecond"] = round(predicted.rate, 1)
        settings["p99Milliseconds"] = None if isinf(predicted.p99) else _milliseconds(predicted.p99)
    return settings


def _milliseconds(seconds: float) -> float:
    return round(seconds / MILLISECOND, 2)
