"""Downloads over real sockets, from servers that behave, lie, loop, or never end."""

from __future__ import annotations

import os
from ipaddress import ip_address

from twisted.internet.defer import CancelledError, DeferredList
from twisted.internet.protocol import ServerFactory

from modelserver.errors import ArchiveNotFound, DownloadFailed
from modelserver.sources.address_policy import is_open
from modelserver.sources.download import DownloadLimits
from modelserver.sources.url_policy import UrlPolicy
from tests.harness.downloads import (
    ARCHIVE,
    ELSEWHERE,
    EVERYWHERE,
    LOCALHOST,
    DownloadTestCase,
    Names,
    certificate_for,
    found,
    head,
    reactor,
    whole,
)


class WholeTests(DownloadTestCase):
    """Archives that come."""

    async def test_archive_comes_whole_over_a_redirect_and_goes_on_release(self) -> None:
        server, port = self.serve({"/x.mar": found("/y.mar"), "/y.mar": whole(ARCHIVE)})
        sources = self.sources()
        fetched = await sources.fetch(f"http://{LOCALHOST}:{port}/x.mar")
        self.assertEqual((fetched.path, fetched.source), (self.store / "x.mar", sources.by_scheme["http"]))
        self.assertEqual(fetched.path.read_bytes(), ARCHIVE)
        self.assertEqual(server.requests, ["/x.mar", "/y.mar"])
        await sources.release(fetched)
        self.left_nothing()

    async def test_many_at_once_download_once(self) -> None:
        server, port = self.serve({"/x.mar": whole(ARCHIVE)})
        sources = self.sources()
        waiting = [sources.fetch(f"http://{LOCALHOST}:{port}/x.mar") for _ in range(20)]
        results = await DeferredList(waiting, fireOnOneErrback=True)
        self.assertEqual((len(server.requests), os.listdir(self.store)), (1, ["x.mar"]))
        for _, fetched in results:
            await sources.release(fetched)
        self.left_nothing()

    async def test_tls_is_for_the_name_and_goes_to_the_checked_address(self) -> None:
        authority, certificate = certificate_for("models.test")
        _, port = self.serve({"/x.mar": whole(ARCHIVE)}, tls=certificate)
        names = Names(LOCALHOST)
        sources = self.sources(names=names, trust=authority)
        fetched = await sources.fetch(f"https://models.test:{port}/x.mar")
        self.assertEqual(fetched.path.read_bytes(), ARCHIVE)
        await sources.release(fetched)
        await self.refused(sources.fetch(f"https://other.test:{port}/x.mar"), DownloadFailed)
        self.assertEqual(names.asked, ["models.test", "other.test"])


class RedirectTests(DownloadTestCase):
    """Redirects that lead where no download may go."""

    async def redirected(self, location: str, policy: UrlPolicy) -> tuple[str, list[str]]:
        """Follow a redirect from a host that may be asked; gives the refusal and what was asked for."""
        server, port = self.serve({"/x.mar": found(location)})
        sources = self.sources(policy, Names(LOCALHOST), allows=lambda address: True)
        waiting = sources.fetch(f"http://models.test:{port}/x.mar")
        return await self.refused(waiting, ArchiveNotFound, DownloadFailed), server.requests

    async def test_to_loopback(self) -> None:
        inner, port = self.serve({"/x.mar": whole(ARCHIVE)})
        for host in (LOCALHOST, "2130706433", "[::ffff:127.0.0.1]", "localhost"):
            location = f"http://{host}:{port}/x.mar"
            reason, _ = await self.redirected(location, UrlPolicy())
            self.assertIn("does not match any allowed URL(s)", reason)
        self.assertEqual(inner.requests, [])

    async def test_out_of_the_patterns(self) -> None:
        inner, port = self.serve({"/x.mar": whole(ARCHIVE)})
        policy = UrlPolicy.parse(r"http://models\.test:\d+/.*")
        await self.redirected(f"http://{LOCALHOST}:{port}/x.mar", policy)
        self.assertEqual(inner.requests, [])

    async def test_to_a_file(self) -> None:
        for policy in (UrlPolicy(), EVERYWHERE):
            reason, _ = await self.redirected("file:///etc/passwd", policy)
            self.assertIn("file:///etc/passwd", reason)

    async def test_in_a_loop(self) -> None:
        reason, requests = await self.redirected("/x.mar", EVERYWHERE)
        self.assertEqual((reason, len(requests)), ("more than 5 redirects", 6))


class NameTests(DownloadTestCase):
    """Names that lead to other addresses than they should."""

    async def test_name_of_this_host(self) -> None:
        server, port = self.serve({"/x.mar": whole(ARCHIVE)})
        sources = self.sources(UrlPolicy(), Names(LOCALHOST), is_open)
        await self.refused(sources.fetch(f"http://models.test:{port}/x.mar"), ArchiveNotFound)
        self.assertEqual(server.requests, [])

    async def test_name_that_answers_twice_differently(self) -> None:
        """One address stands for an open one here, the other for one that is refused."""
        outer, port = self.serve({"/x.mar": whole(ARCHIVE), "/again.mar": found("/x.mar")})
        names = Names(LOCALHOST, ELSEWHERE)
        sources = self.sources(UrlPolicy(), names, lambda address: address == ip_address(LOCALHOST))
        fetched = await sources.fetch(f"http://models.test:{port}/x.mar")
        self.assertEqual((len(names.asked), outer.requests), (1, ["/x.mar"]))
        await sources.release(fetched)
        names.answers = [LOCALHOST, ELSEWHERE]
        await self.refused(sources.fetch(f"http://models.test:{port}/again.mar"), ArchiveNotFound)
        self.assertEqual((len(names.asked), outer.requests), (3, ["/x.mar", "/again.mar"]))


class LiarTests(DownloadTestCase):
    """Servers that lie, or never come to an end."""

    async def test_content_length_that_lies(self) -> None:
        for length in (len(ARCHIVE) + 1, len(ARCHIVE) - 1, 10):
            _, port = self.serve({"/x.mar": head(f"Content-Length: {length}") + ARCHIVE})
            await self.refused(self.sources().fetch(f"http://{LOCALHOST}:{port}/x.mar"), DownloadFailed)

    async def test_endless_body(self) -> None:
        server, port = self.serve({})
        waiting = self.sources(limits=DownloadLimits(size=1 << 20)).fetch(
            f"http://{LOCALHOST}:{port}/endless.mar"
        )
        self.assertEqual(await self.refused(waiting, DownloadFailed), f"larger than {1 << 20} bytes")
        await server.gone

    async def test_body_that_is_endless_by_its_own_word(self) -> None:
        server, port = self.serve({})
        server.endless_head = (f"Content-Length: {10**15}",)
        waiting = self.sources().fetch(f"http://{LOCALHOST}:{port}/endless.mar")
        await self.refused(waiting, DownloadFailed)
        await server.gone

    async def test_endless_body_when_nobody_waits_any_more(self) -> None:
        server, port = self.serve({"/missing/endless.mar": head(status="404 Not Found")})
        sources = self.sources()
        waiting = sources.fetch(f"http://{LOCALHOST}:{port}/endless.mar")
        await server.goes_on
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        await server.gone
        # The next download to the same file waits until nothing is left of the last one.
        next_one = sources.fetch(f"http://{LOCALHOST}:{port}/missing/endless.mar")
        await self.refused(next_one, DownloadFailed)

    async def test_body_that_stops(self) -> None:
        _, port = self.serve({"/x.mar": head("Content-Length: 5") + b"abc"})
        await self.refused(self.sources().fetch(f"http://{LOCALHOST}:{port}/x.mar"), DownloadFailed)

    async def test_nobody_listens(self) -> None:
        port = reactor.listenTCP(0, ServerFactory(), interface=LOCALHOST)
        number = port.getHost().port
        await port.stopListening()
        await self.refused(self.sources().fetch(f"http://{LOCALHOST}:{number}/x.mar"), DownloadFailed)
