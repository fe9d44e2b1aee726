"""What a manifest says."""

import json
from datetime import datetime

from workflow_archiver.version import __version__


class Manifest:
    """
    The document ``WAR-INF/MANIFEST.json``; its text is the JSON.

    :param workflow: a ``Workflow``.
    """

    def __init__(self, workflow):
        self.creation_time = datetime.now().strftime("%d/%m/%Y %H:%M:%S")
        self.workflow = workflow
        self.archiver_version = __version__
        self.manifest_dict = self.__to_dict__()

    def __to_dict__(self):
        return {
            "createdOn": self.creation_time,
            "workflow": self.workflow.__to_dict__(),
            "archiverVersion": self.archiver_version,
        }

    def __str__(self):
        return json.dumps(self.manifest_dict, indent=2)

    __repr__ = __str__
