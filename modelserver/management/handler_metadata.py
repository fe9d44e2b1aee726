"""Asks a handler for its metadata, for a describe with ``customized=true``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from attrs import field
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from modelserver.core.version import ModelVersion
from modelserver.errors import DescribeUnavailable, InternalError, NoWorkers, QueueFull, ServingError
from modelserver.jobs import Answer, Job, JobRequest
from modelserver.language.attributes import define, frozen
from modelserver.protocol.frames import DESCRIBE, ID_SIZE

FAILED = "Failed to get customized model matadata."
"""The peer's sentence, with its slip."""


@define(eq=False)
class _MetadataObserver:
    """Receives the handler's answer."""

    answer: Deferred[bytes] = field(factory=Deferred, init=False)

    def completed(self, job: Job, answer: Answer) -> None:
        """Pass the handler's answer on."""
        self.answer.callback(bytes(answer.body))

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Ignore parts of a streamed answer; the whole counts."""
        return True

    def failed(self, job: Job, error: ServingError) -> None:
        """Pass on why there is no answer."""
        self.answer.errback(error)


@frozen
class HandlerMetadata:
    """
    Sends a describe request through a version's queue, alone in its batch.

    :param entropy: ``os.urandom``, for request ids.
    """

    clock: IReactorTime
    entropy: Callable[[int], bytes]

    async def ask(self, version: ModelVersion, head: bytes = b"") -> Mapping[str, object]:
        """
        Return the JSON object of the handler; an empty one where the handler returns something else.

        It has to come within the version's response timeout, the wait for a worker included.

        :param head: the client's header lines, for the handler.
        :raises DescribeUnavailable: no worker can take the request.
        :raises InternalError: the handler fails, or does not answer in time.
        """
        observer = _MetadataObserver()
        request = JobRequest(
            id=self.entropy(ID_SIZE),
            header_block=head,
            extra=b"",
            body=b"",
            flags=DESCRIBE,
            asked=None,
            arrived=self.clock.seconds(),
            deadline=None,
        )
        job = Job(request, observer, exclusive=True)
        try:
            version.pool.put(job)
        except (NoWorkers, QueueFull) as error:
            raise DescribeUnavailable(version.spec.name) from error
        try:
            body = await observer.answer.addTimeout(version.spec.timeouts.response, self.clock)
        except NoWorkers as error:
            raise DescribeUnavailable(version.spec.name) from error
        except (ServingError, TimeoutError) as error:
            raise InternalError(FAILED) from error
        finally:
            job.cancel()
        return _object(body)


def _object(body: bytes) -> Mapping[str, object]:
    try:
        # NaN and the infinities are no JSON: None stands for them in the description.
        value = json.loads(body, parse_constant=lambda word: None)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
