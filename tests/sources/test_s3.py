"""Requests to S3 are signed with the operator's credentials."""

from __future__ import annotations

import re
from pathlib import Path

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from modelserver.errors import BadRequest
from modelserver.sources.download import Downloader
from modelserver.sources.http import HttpSource
from modelserver.sources.s3 import S3Source
from modelserver.sources.url_policy import UrlPolicy
from tests.harness.sources import FakeAgent, FakeResponse, names_in
from tests.harness.threads import at_once

URL = "https://s3.eu-west-1.example.com/bucket/model.mar"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "the-secret",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


class S3Tests(SynchronousTestCase):
    """What is sent, and to whom."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.agent = FakeAgent()
        downloader = Downloader(self.agent, Clock(), at_once, UrlPolicy())
        self.http = HttpSource(self.folder, UrlPolicy(), downloader, at_once)

    def sent(self, environment: dict[str, str], *responses: FakeResponse) -> list[Headers]:
        """The headers of each request of a download."""
        self.agent.responses = list(responses)
        S3Source(self.http, environment).fetch(URL)
        return [headers for _, headers in self.agent.requests]

    def test_signature_is_that_of_the_secret(self) -> None:
        [headers] = self.sent(ENVIRONMENT)
        [date] = headers.getRawHeaders("x-amz-date", [])
        [authorization] = headers.getRawHeaders("authorization", [])
        self.assertEqual(headers.getRawHeaders("x-amz-content-sha256"), [EMPTY])
        self.assertIn(f"Credential=AKIDEXAMPLE/{date[:8]}/eu-west-1/s3/aws4_request", authorization)
        request = AWSRequest("GET", URL, headers={"X-Amz-Date": date, "X-Amz-Content-SHA256": EMPTY})
        request.context["timestamp"] = date
        signer = S3SigV4Auth(Credentials("AKIDEXAMPLE", "the-secret"), "s3", "eu-west-1")
        string = signer.string_to_sign(request, signer.canonical_request(request))
        self.assertEqual(
            re.findall("Signature=([0-9a-f]{64})", authorization), [signer.signature(string, request)]
        )

    def test_session_token_goes_along(self) -> None:
        [headers] = self.sent({**ENVIRONMENT, "AWS_SESSION_TOKEN": "the-token"})
        self.assertEqual(headers.getRawHeaders("x-amz-security-token"), ["the-token"])
        self.assertIn("x-amz-security-token", str(headers.getRawHeaders("authorization")))

    def test_empty_token_is_none(self) -> None:
        [headers] = self.sent({**ENVIRONMENT, "AWS_SESSION_TOKEN": ""})
        self.assertFalse(headers.hasHeader("x-amz-security-token"))

    def test_another_host_gets_nothing_of_it(self) -> None:
        redirect = FakeResponse(307, location="https://evil.example/model.mar")
        environment = {**ENVIRONMENT, "AWS_SESSION_TOKEN": "the-token"}
        first, second = self.sent(environment, redirect)
        self.assertTrue(first.hasHeader("authorization"))
        for name in ("authorization", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256"):
            self.assertFalse(second.hasHeader(name), name)

    def test_archive_is_kept_by_the_http_source(self) -> None:
        self.agent.responses = [FakeResponse().say(b"archive").end()]
        path = self.successResultOf(S3Source(self.http, ENVIRONMENT).fetch(URL))
        self.assertEqual(path.read_bytes(), b"archive")
        self.successResultOf(self.http.release(path))
        self.assertEqual(names_in(self.folder), [])

    def test_missing_and_empty_variables_are_named(self) -> None:
        for environment, missing in [
            ({}, "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION"),
            ({**ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
        ]:
            source = S3Source(self.http, environment)
            error = self.failureResultOf(source.fetch(URL), BadRequest).value
            self.assertEqual(str(error), f"s3_sse_kms=true needs these environment variables: {missing}")
        self.assertEqual(self.agent.urls, [])

    def test_the_secret_does_not_show(self) -> None:
        self.assertNotIn("the-secret", repr(S3Source(self.http, ENVIRONMENT)))
