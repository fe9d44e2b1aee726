"""A prediction: from the request of any front to a job in the queue of its version."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve, field
from twisted.internet.interfaces import IReactorTime

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.errors import ModelNotFound, NoWorkers, QueueFull, VersionNotFound
from modelserver.inference.load_status import LoadStatus
from modelserver.inference.sequences import queued_name
from modelserver.interfaces import Recorder
from modelserver.jobs import Inputs, Job, ResponseObserver, request_of
from modelserver.language.attributes import frozen
from modelserver.protocol.frames import ID_SIZE
from modelserver.traces import Tracer
from modelserver.version_settings.values import Sequences


@frozen(eq=False)
class Inference:
    """
    The one way into the queues, whatever the client speaks.

    :param entropy: gives random bytes, so many.
    :param new_id: makes the id of a request; unless it is given, of ``entropy``.
    :param start_up: which models are still on their way.
    :param tracer: None: nothing is traced.
    """

    registry: Registry
    deadlines: Deadlines
    clock: IReactorTime
    recorder: Recorder
    entropy: Callable[[int], bytes]
    start_up: LoadStatus = field(factory=LoadStatus)
    tracer: Tracer | None = None
    new_id: Callable[[], bytes] = field(kw_only=True)

    @new_id.default
    def _make_ids(self) -> Callable[[], bytes]:
        return partial(self.entropy, ID_SIZE)

    def predict(
        self,
        name: str,
        version: str | None,
        inputs: Inputs,
        observer: ResponseObserver,
        client_timeout: float = 0.0,
    ) -> Job:
        """
        Queue a request; ``observer`` is told what comes of it.

        Whatever is raised, nothing is left of the request: a body in shared memory is the caller's again.

        :param client_timeout: seconds that the client waits; 0: as the version's settings say.
        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        :raises NoWorkers: no worker will take it.
        :raises QueueFull: as many jobs wait as may.
        """
        try:
            found = self.registry.get(name, version)
        except ModelNotFound:
            found = self._find(name, version)  # which tells a model that is on its way
        client_timeout = client_timeout or found.spec.client_timeout
        job = self._put(found, version, inputs, observer, client_timeout)
        try:
            self.recorder.request_arrived(name, version)
            if client_timeout:
                self.deadlines.watch(job)
        except Exception:  # a defect; nobody will know the job, which waits by now
            job.cancel()
            raise
        return job

    def enqueue(self, name: str, version: str | None, inputs: Inputs, observer: ResponseObserver) -> Job:
        """
        Queue a part of a request, which watches its time itself and is not counted as a request.

        Whatever is raised, nothing is left of it, as with ``predict``.

        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        :raises NoWorkers: no worker will take it.
        :raises QueueFull: as many jobs wait as may.
        """
        return self._put(self._find(name, version), version, inputs, observer)

    def _put(
        self,
        found: ModelVersion,
        version: str | None,
        inputs: Inputs,
        observer: ResponseObserver,
        client_timeout: float = 0.0,
    ) -> Job:
        tracer = self.tracer
        if tracer is not None and tracer.current is not None:
            inputs, observer = tracer.current.follow(inputs, observer)
        header_block, extra, body, flags = inputs
        now = self.clock.seconds()
        deadline = now + client_timeout if client_timeout else None
        request = (self.new_id(), header_block, extra, body, flags, version, now, deadline)
        job = Job(request_of(request), observer)
        try:
            found.pool.put(job)
        except NoWorkers as error:
            self.recorder.refused(found.spec.name, "no_worker")
            raise evolve(error, version=version) from None
        except QueueFull as error:
            self.recorder.refused(found.spec.name, error.limit_name)
            raise evolve(error, version=version) from None
        except Exception:
            job.cancel()  # as above: it may wait
            raise
        return job

    def _find(self, name: str, version: str | None) -> ModelVersion:
        try:
            return self.registry.get(name, version)
        except ModelNotFound:
            if self.start_up.is_coming(name):
                raise NoWorkers(name, version, "it is being loaded") from None
            raise

    def sequences_of(self, name: str, version: str | None) -> Sequences:
        """
        Return how a version keeps requests together that belong to one sequence.

        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        """
        return self._find(name, version).spec.sequences

    def has_room_in(self, name: str, version: str | None, sequence: str) -> bool:
        """Return whether another request of a sequence may wait; yes if all is gone: a refusal tells that."""
        try:
            return self.registry.get(name, version).has_room_in(queued_name(sequence))
        except (ModelNotFound, VersionNotFound):
            return True

    def end_sequence(self, name: str, version: str | None, sequence: str) -> None:
        """End a sequence, whose client will send no more; nothing happens if all is gone already."""
        try:
            self.registry.get(name, version).end_sequence(queued_name(sequence))
        except (ModelNotFound, VersionNotFound):
            pass
