"""A bucket with an archive, in moto instead of S3."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial

import boto3
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.harness.downloads import ARCHIVE


def fill(url: str, archive: bytes = ARCHIVE) -> Sequence[str]:
    """Put the archive under SSE-KMS into a bucket; gives the id and secret of a key that may read it."""
    client = partial(
        boto3.client,
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="root",
        aws_secret_access_key="root",
    )
    iam, s3 = client("iam"), client("s3")
    policy = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    iam.create_user(UserName="reader")
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=document)
    kms_key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    stored = s3.put_object(
        Bucket="models",
        Key="noop.mar",
        Body=archive,
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=kms_key,
    )
    assert stored["ServerSideEncryption"] == "aws:kms"
    return key["AccessKeyId"], key["SecretAccessKey"]


class MotoProtocol(ProcessProtocol):
    """A moto server, whose port is in what it logs."""

    def __init__(self) -> None:
        self.listening: Deferred[str] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._said = b""

    def outReceived(self, data: bytes) -> None:
        self._said += data
        url = re.search(rb"Running on (http://127\.0\.0\.1:\d+)", self._said)
        if url is not None and not self.listening.called:
            self.listening.callback(url[1].decode())

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        reason.trap(ProcessDone, ProcessTerminated)
        if not self.listening.called:
            self.listening.errback(RuntimeError(self._said.decode()))
        self.ended.callback(None)
