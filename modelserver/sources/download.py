"""Downloads one archive: over checked redirects, within limits, to a file that is whole or absent."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from attrs import field
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IResponse

from modelserver.errors import ArchiveExists, DownloadFailed
from modelserver.interfaces import InThread
from modelserver.language.attributes import define, frozen
from modelserver.sources.part_file import PartFile
from modelserver.sources.pinned_agent import AddressRefused
from modelserver.sources.response_body import Body
from modelserver.sources.url_policy import UrlPolicy, refusal
from modelserver.sources.urls import NormalUrl
from modelserver.sources.wanted import Wanted

REDIRECTS = frozenset({301, 302, 303, 307, 308})
Result = TypeVar("Result")


@frozen
class DownloadLimits:
    """
    The limits of one download.

    :param size: the bytes that an archive may have.
    :param total: the seconds that the whole download may take, redirects included.
    :param idle: the seconds that may pass without a byte.
    :param free_disk: the bytes that stay free on the disk of the model store.
    :param redirects: how many redirects are followed.
    """

    size: int = 256 << 30
    total: float = 4 * 3600.0
    idle: float = 60.0
    free_disk: int = 256 << 20
    redirects: int = 5


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free on a folder's disk. Blocks."""
    return shutil.disk_usage(folder).free


@frozen
class Downloader:
    """
    Downloads archives, each to a file of its own.

    The agent is used directly. treq's client would offer gzip and unpack the answer, and so turn a
    ``.tar.gz`` that is declared as encoded into another file, of another length.

    :param agent: connects to checked addresses only, follows no redirect.
    :param free_space: returns the bytes that are free on a folder's disk; may block.
    """

    agent: IAgent
    clock: IReactorTime
    in_thread: InThread
    policy: UrlPolicy
    limits: DownloadLimits = DownloadLimits()
    free_space: Callable[[Path], int] = free_bytes

    async def run(self, wanted: Wanted) -> None:
        """
        Download an archive. At the end, cancelled or not, the target is there and whole, or nothing is left.

        :raises ArchiveNotFound: a redirect or an address is not allowed.
        :raises ArchiveExists: a file of the target's name is there already.
        :raises DownloadFailed: anything else.
        """
        transfer = Deferred.fromCoroutine(self._transfer(wanted))
        try:
            await transfer.addTimeout(self.limits.total, self.clock, _timed_out)
        except TimeoutError as error:
            reason = f"timeout: not complete after {self.limits.total:g} s"
            raise DownloadFailed(wanted.shown, reason, timed_out=True) from error

    async def _transfer(self, wanted: Wanted) -> None:
        part = PartFile(wanted.target, secrets.token_hex(4))
        try:
            await self.in_thread(part.open)
            response = await self._follow(wanted)
            body = Body.of(response)
            try:
                await self._stream(wanted, response, body, part)
            finally:
                body.close()
            await self.in_thread(part.publish)
        except BaseException as error:
            await self.in_thread(part.discard)
            if isinstance(error, FileExistsError):
                raise ArchiveExists(wanted.target.name) from error
            if isinstance(error, OSError):
                raise DownloadFailed(wanted.shown, f"not written: {error.strerror}") from error
            raise

    async def _follow(self, wanted: Wanted) -> IResponse:
        """Return the response at the end of all redirects; its body is still to come."""
        url = wanted.url
        for _ in range(self.limits.redirects + 1):
            headers = await self._headers(wanted, url)
            asked = maybeDeferred(self.agent.request, b"GET", str(url).encode("ascii"), headers)
            response = await self._answer(wanted, asked)
            if response.code == 200:
                return response
            Body.of(response).close()
            location = response.headers.getRawHeaders(b"location", [b""])[0]
            if response.code not in REDIRECTS or not location:
                raise DownloadFailed(wanted.shown, f"code: {response.code}", response.code)
            url = self.policy.check_redirect(url, location.decode("utf-8", "replace"))
        raise DownloadFailed(wanted.shown, f"more than {self.limits.redirects} redirects")

    async def _headers(self, wanted: Wanted, url: NormalUrl) -> Headers:
        headers = Headers({"accept": ["*/*"], "accept-encoding": ["identity"], "user-agent": ["modelserver"]})
        if wanted.sign is not None and url.origin == wanted.url.origin:
            signature = await self.in_thread(wanted.sign, str(url))
            for name, value in signature.items():
                headers.setRawHeaders(name, [value])
        return headers

    async def _stream(self, wanted: Wanted, response: IResponse, body: Body, part: PartFile) -> None:
        length = None if response.length is UNKNOWN_LENGTH else int(response.length)
        progress = _Progress(self.clock, wanted.target.name, length)
        self._check_size(wanted, length or 0)
        await self.in_thread(self._check_disk, wanted, length or 0)
        received = 0
        while piece := await self._answer(wanted, body.read()):
            received += len(piece)
            self._check_size(wanted, received)
            await self.in_thread(self._append, wanted, part, piece)
            progress.received(received)
        if length is not None and received != length:
            reason = f"{received} bytes came, Content-Length says {length}"
            raise DownloadFailed(wanted.shown, reason)

    def _check_size(self, wanted: Wanted, size: int) -> None:
        if size > self.limits.size:
            raise DownloadFailed(wanted.shown, f"larger than {self.limits.size} bytes")

    def _append(self, wanted: Wanted, part: PartFile, piece: bytes) -> None:
        self._check_disk(wanted, len(piece))
        part.write(piece)

    def _check_disk(self, wanted: Wanted, growth: int) -> None:
        if self.free_space(wanted.target.parent) - growth < self.limits.free_disk:
            raise DownloadFailed(wanted.shown, "not enough free disk")

    async def _answer(self, wanted: Wanted, waiting: Deferred[Result]) -> Result:
        """Wait for what the server sends, or raise the reason why nothing comes."""
        try:
            return await waiting.addTimeout(self.limits.idle, self.clock, _timed_out)
        except TimeoutError as error:
            reason = f"timeout: nothing came for {self.limits.idle:g} s"
            raise DownloadFailed(wanted.shown, reason, timed_out=True) from error
        except AddressRefused as error:
            raise refusal(wanted.shown) from error
        except CancelledError:
            raise
        except Exception as error:  # whatever a broken server makes Twisted's client and TLS raise
            raise DownloadFailed(wanted.shown, _cause(error)) from error


@define
class _Progress:
    """Logs the progress of a download, every 10 s or 10 %."""

    _clock: IReactorTime
    _file: str
    _total: int | None
    _tenths: int = field(default=0, init=False)
    _logged: float = field(init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._logged = self._clock.seconds()

    def received(self, size: int) -> None:
        tenths = 10 * size // self._total if self._total else 0
        now = self._clock.seconds()
        if tenths > self._tenths or now - self._logged >= 10.0:
            self._tenths, self._logged = tenths, now
            self._log.info(
                "Download of {file}: {size} of {total} bytes",
                file=self._file,
                size=size,
                total=self._total or "unknown",
            )


def _timed_out(result: object, timeout: float) -> NoReturn:
    # Twisted's client makes several errors of a cancellation, so that its kind says nothing.
    raise TimeoutError(timeout)


def _cause(error: Exception) -> str:
    """Return the innermost reason that Twisted gives, in one line."""
    while isinstance(error, ResponseFailed) and error.reasons:
        error = error.reasons[-1].value
    return f"{type(error).__name__}: {error}".partition("\n")[0]
