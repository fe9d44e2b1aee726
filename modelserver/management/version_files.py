"""The files of each version: unpacked, or an archive that was looked at and is unpacked when it is needed."""

from __future__ import annotations

from attrs import evolve, field, fields
from twisted.internet.defer import Deferred

from modelserver.core.version import ModelVersion
from modelserver.core.workers.waiters import Waiters
from modelserver.errors import ArchiveInvalid
from modelserver.language.attributes import define
from modelserver.management.registration import PreparedVersion, VersionPreparer
from modelserver.management.requests import RegisterRequest
from modelserver.spec import VersionSpec

_OF_WORKERS = frozenset(
    [
        *("url", "folder", "archive_size", "manifest", "config", "start"),
        *("handler", "runtime", "engine", "envelope"),
    ]
)
"""The fields of a spec that only those workers know which are started with it."""


class ArchiveChanged(ArchiveInvalid):
    """An archive says other things of its model than it did when it was looked at."""


@define(eq=False)
class VersionFiles:
    """Owns what versions have on disk. A version that is only known owns nothing yet."""

    preparer: VersionPreparer
    _prepared: dict[ModelVersion, PreparedVersion] = field(factory=dict, init=False)
    _known: dict[ModelVersion, RegisterRequest] = field(factory=dict, init=False)
    _opening: dict[ModelVersion, Waiters] = field(factory=dict, init=False)

    def __len__(self) -> int:
        """Return how many versions there are."""
        return len(self._prepared) + len(self._known)

    def keep(self, version: ModelVersion, prepared: PreparedVersion) -> None:
        """Own the files of a version."""
        self._prepared[version] = prepared

    def know(self, version: ModelVersion, request: RegisterRequest) -> None:
        """Note how the files of a version can be had."""
        self._known[version] = request
        version.is_known = True

    async def open(self, version: ModelVersion) -> None:
        """
        Unpack a version that is only known; however many ask at once, it is done once.

        A version that was unregistered meanwhile stays without files.

        :raises ArchiveChanged: another version, or one with other settings, has taken its place.
        :raises ServingError: the archive cannot be fetched, or breaks a rule.
        """
        if version not in self._known:
            return
        waiters = self._opening.get(version)
        if waiters is None:
            waiters = self._opening[version] = Waiters()
            opened = waiters.wait()
            Deferred.fromCoroutine(self._open(version)).addCallbacks(
                lambda _: self._opening.pop(version).fire(),
                lambda failure: self._opening.pop(version).fail(failure.value),
            )
        else:
            opened = waiters.wait()
        await opened

    async def _open(self, version: ModelVersion) -> None:
        prepared = await self.preparer.prepare(self._known[version])
        if version not in self._known:  # unregistered meanwhile
            await self.preparer.discard(prepared, keeps_download=True)
            return
        if _lasting(prepared.spec) != _lasting(version.spec):
            await self.preparer.discard(prepared, keeps_download=True)
            raise ArchiveChanged(f"The archive {version.spec.url} has changed since it was looked at.")
        del self._known[version]
        self._prepared[version] = prepared
        version.renew(prepared.spec)
        version.is_known = False

    async def discard(self, version: ModelVersion, keeps_download: bool = False) -> None:
        """Remove the files of a version that is gone, and the download if no other version uses it."""
        if self._known.pop(version, None) is None:
            await self.preparer.discard(self._prepared.pop(version), keeps_download)

    def hand_on(self, version: ModelVersion, to: ModelVersion) -> None:
        """Let another version own the files of one that is gone."""
        request = self._known.pop(version, None)
        if request is not None:
            self.know(to, request)
        else:
            self._prepared[to] = evolve(self._prepared.pop(version), spec=to.spec)

    def request_of(self, version: ModelVersion) -> RegisterRequest | None:
        """Return how the files of a version that is only known can be had; None: it is unpacked."""
        return self._known.get(version)


def _lasting(spec: VersionSpec) -> tuple[object, ...]:
    """Return what a version is made of, without what only its workers are told."""
    return tuple(getattr(spec, each.name) for each in fields(VersionSpec) if each.name not in _OF_WORKERS)
