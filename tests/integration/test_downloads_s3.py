"""Signed downloads over real sockets, from a bucket."""

from __future__ import annotations

import os
import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.threads import deferToThread

from modelserver.errors import DownloadFailed
from tests.harness.buckets import MotoProtocol, fill
from tests.harness.downloads import ARCHIVE, LOCALHOST, DownloadTestCase


class S3Tests(DownloadTestCase):
    """An object under SSE-KMS, behind a server that checks signatures."""

    async def start(self) -> str:
        """Start moto; it checks signatures after the six calls that ``fill`` makes."""
        moto = MotoProtocol()
        process = IReactorProcess(reactor).spawnProcess(
            moto,
            sys.executable,
            [sys.executable, "-m", "moto.server", "-H", LOCALHOST, "-p", "0"],
            {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "6"},
        )

        def stop() -> Deferred[None]:
            if not moto.ended.called:
                process.signalProcess("KILL")
            return moto.ended

        self.addCleanup(stop)
        return await moto.listening

    async def test_signed_archive(self) -> None:
        url = await self.start()
        key_id, secret = await deferToThread(fill, url)
        archive = f"{url}/models/noop.mar"
        environment = {
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
        sources = self.sources(environment=environment)
        self.assertEqual(await self.refused(sources.fetch(archive), DownloadFailed), "code: 403")
        wrong = self.sources(environment={**environment, "AWS_SECRET_ACCESS_KEY": "wrong"})
        self.assertEqual(await self.refused(wrong.fetch(archive, signed=True), DownloadFailed), "code: 403")
        fetched = await sources.fetch(archive, signed=True)
        self.assertEqual(fetched.path.read_bytes(), ARCHIVE)
        await sources.release(fetched)
        self.left_nothing()
