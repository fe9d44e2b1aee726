"""What a manifest says of a workflow."""

import json

from modelserver.archive.packing import base_name


class Workflow:
    """The workflow's part of a manifest; ``handler`` may be None."""

    def __init__(self, workflow_name, spec_file, handler):
        self.workflow_name = workflow_name
        self.spec_file = base_name(spec_file)
        self.handler = base_name(handler)
        self.workflow_dict = self.__to_dict__()

    def __to_dict__(self):
        said = {"workflowName": self.workflow_name, "specFile": self.spec_file, "handler": self.handler}
        return {name: value for name, value in said.items() if value is not None}

    def __str__(self):
        return json.dumps(self.workflow_dict)

    __repr__ = __str__
