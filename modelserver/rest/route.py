"""The row of the table of routes, and the values in it."""

from __future__ import annotations

from enum import Enum

from modelserver.dialect_rules import DIALECTS
from modelserver.language.attributes import frozen
from modelserver.management.call_parameters import Parameter


class ListenerRole(Enum):
    """What a listener is for; one port may have several roles."""

    INFERENCE = "inference"
    MANAGEMENT = "management"
    METRICS = "metrics"


class Access(Enum):
    """Which key a route asks for, where keys are in use."""

    OPEN = "open"
    INFERENCE = "inference"
    MANAGEMENT = "management"
    API_KEY = "token"


BOTH = tuple(DIALECTS)
TORCHSERVE, MMS = BOTH
"""The names of the dialects that have a route."""
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
"""The methods that change nothing (RFC 9110, 9.2.1)."""
ANY_METHOD = ("GET", "POST", "PUT", "DELETE", "PATCH")
"""The methods of routes that the peers serve whatever the method is."""

MODEL_CONTROL = "model control"
"""The feature that lets models be registered and unregistered (``enable_model_api``)."""
WORKFLOW_CONTROL = "workflow control"
"""The feature that lets workflows be registered and unregistered (``enable_workflow_api``)."""
OPEN_INFERENCE = "open inference protocol"
"""The feature behind which TorchServe keeps its ``/v2`` server routes."""
TOKENS = "tokens"
"""The feature that hands out keys."""
REPOSITORY_AT_INFERENCE = "repository at inference"
"""The feature that shows the model store at the inference address, too."""
CONTROL_AT_INFERENCE = "model control at inference"
"""The feature that lets models of the store be loaded and unloaded there, too."""
DASHBOARD = "dashboard"
"""The feature that shows the server to people (``enable_dashboard``)."""


class Asked(Enum):
    """What the name in a prediction's path is a name of."""

    MODEL = "model"
    WORKFLOW = "workflow"
    EITHER = "either"
    """A model, or where no model has the name, a workflow."""


@frozen
class PredictionRule:
    """
    How a prediction route reads a request.

    The model and the version are the variables ``model_name`` and ``model_version`` of the path, a workflow
    is its ``workflow_name``. Where the path names no model, a parameter of the query does, or the body.

    :param asked: what is asked.
    :param explains: the handler is to explain, rather than to predict.
    :param passes_query: the handler is told the fields of the query.
    :param passes_rest: the handler is told the ``rest`` of the path.
    :param tells_path: among the request's headers the handler finds ``url_path``, be it empty.
    :param takes_empty_version: the segment of the version may be empty.
    :param reserved_names: names of models that the route does not serve: they begin other paths.
    :param ignores_case: the first segment of the path may be written in any case.
    """

    asked: Asked = Asked.MODEL
    explains: bool = False
    passes_query: bool = False
    passes_rest: bool = False
    tells_path: bool = True
    takes_empty_version: bool = False
    reserved_names: tuple[str, ...] = ()
    ignores_case: bool = False


@frozen
class Route:
    """
    One row of the table.

    :param operation: the operationId in OpenAPI documents, the endpoint in Klein.
    :param methods: those that are served; the first one is the one that is documented.
    :param path: an OpenAPI template; ``{rest}`` at its end stands for any number of segments.
    :param answers: the schema of the body for each status that is no error.
    :param refusals: the other statuses; their body is an error.
    :param feature: what must be switched on for the route to exist, or empty.
    :param body: ``inputs`` (a prediction), ``fields`` (the parameters as JSON or a form), or empty.
    :param documented: the dialects whose descriptions list the route, as the peer's documents do.
    :param is_deprecated: the peers advise against it.
    :param prediction: how a prediction is read from a request; None: the route is no prediction.
    :param only_reads: nothing is changed by it, whatever the method is.
    :param is_private: pages of other origins may not even read it.
    :param at_inference: the feature that has inference listeners serve it, too, or empty.
    """

    operation: str
    methods: tuple[str, ...]
    path: str
    listeners: frozenset[ListenerRole]
    access: Access
    description: str
    answers: dict[int, str]
    refusals: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    dialects: tuple[str, ...] = BOTH
    feature: str = ""
    body: str = ""
    documented: tuple[str, ...] = BOTH
    is_deprecated: bool = False
    prediction: PredictionRule | None = None
    only_reads: bool = False
    is_private: bool = False
    at_inference: str = ""

    @property
    def first_segment(self) -> str:
        """The first segment of the path."""
        return self.path.split("/")[1]

    @property
    def key_kind(self) -> str | None:
        """The kind of key that ``Authorizer.check`` asks a request for; None: the route is open."""
        return None if self.access is Access.OPEN else self.access.value

    def is_guarded(self, method: str) -> bool:
        """Return whether a request must not come from a page of another origin."""
        return self.is_private or self.changes_server(method)

    def changes_server(self, method: str) -> bool:
        """Return whether a request may change the server; a new row has to say where it does not."""
        return method not in SAFE_METHODS and self.prediction is None and not self.only_reads
