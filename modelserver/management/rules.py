"""What the operator, or the dialect, lets calls of management do."""

from __future__ import annotations

from modelserver.errors import BadRequest
from modelserver.language.attributes import frozen
from modelserver.management.version_spec import MOST_WORKERS


@frozen
class ManagementRules:
    """
    Rules that the configuration or the dialect sets.

    :param unregister_timeout: seconds that workers of an unregistered version have for the jobs they hold.
    :param one_version: a name may have one version only (MMS).
    :param most_workers: workers of a version that a call may ask for.
    :param usual_ceiling: the most workers where the server decides their number and nobody says how many.
    """

    unregister_timeout: float = 120.0
    one_version: bool = False
    most_workers: int = MOST_WORKERS
    usual_ceiling: int = 1

    def check_workers(self, wanted: int, parameter: str) -> None:
        """
        Let a call ask for so many workers.

        :param parameter: what says so.
        :raises BadRequest: they are too many.
        """
        if wanted > self.most_workers:
            raise BadRequest(f"{parameter} is {wanted}, max_workers_per_model is {self.most_workers}.")
