"""Archives in S3 buckets that take signed requests only, as objects under SSE-KMS do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field
from twisted.internet.defer import Deferred

from modelserver.errors import BadRequest
from modelserver.language.attributes import frozen
from modelserver.sources.http import HttpSource

KEY_ID, SECRET, TOKEN, REGION = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
)


@frozen
class Signer:
    """Signs with AWS credentials; neither the secret nor the token is in the ``repr``."""

    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(repr=False)
    region: str

    def __call__(self, url: str) -> dict[str, str]:
        """
        Return the header fields that sign a GET of a URL now. Blocks: the first call imports botocore.

        botocore is imported here since a server that signs nothing starts faster without.
        """
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest("GET", url)
        S3SigV4Auth(Credentials(self.key_id, self.secret, self.token), "s3", self.region).add_auth(request)
        return dict(request.headers.items())


@frozen
class S3Source:
    """
    Downloads with AWS Signature Version 4, otherwise as ``HttpSource`` does, which keeps the files.

    :param environment: the variables that hold the credentials; read at each fetch.
    """

    http: HttpSource
    environment: Mapping[str, str] = field(repr=False)

    def fetch(self, url: str) -> Deferred[Path]:
        """
        Download an archive with signed requests.

        :raises BadRequest: variables are missing; the text names them.
        :raises ArchiveNotFound, ArchiveExists, DownloadFailed: as ``HttpSource.fetch``.
        """
        return Deferred.fromCoroutine(self._fetch(url))

    async def adopt(self, url: str) -> Path:
        """
        Return the file that an earlier server has downloaded from a URL, signed or not.

        :raises StoreNotConfigured, ArchiveNotFound, ArchiveExists: as ``HttpSource.adopt``.
        """
        return await self.http.adopt(url)

    def release(self, path: Path, keeps_file: bool = False) -> Deferred[None]:
        """Give back a path of ``fetch`` or ``adopt``; the file goes with its last user."""
        return self.http.release(path, keeps_file)

    async def _fetch(self, url: str) -> Path:
        return await self.http.fetch(url, self._signer())

    def _signer(self) -> Signer:
        missing = [name for name in (KEY_ID, SECRET, REGION) if not self.environment.get(name)]
        if missing:
            raise BadRequest(f"s3_sse_kms=true needs these environment variables: {', '.join(missing)}")
        values = self.environment
        return Signer(values[KEY_ID], values[SECRET], values.get(TOKEN) or None, values[REGION])
