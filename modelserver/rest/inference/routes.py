"""The rows of the inference listener: predictions, health, metadata."""

from __future__ import annotations

from modelserver.management.call_parameters import Parameter
from modelserver.rest.metrics_routes import METRICS_ROUTES
from modelserver.rest.route import (
    ANY_METHOD,
    BOTH,
    MMS,
    OPEN_INFERENCE,
    TORCHSERVE,
    Access,
    Asked,
    ListenerRole,
    PredictionRule,
    Route,
)

_INFERENCE = frozenset({ListenerRole.INFERENCE})
PREDICT = PredictionRule()
EXPLAIN = PredictionRule(explains=True)
KSERVE_PREDICT = PredictionRule(tells_path=False)
OPEN_PREDICT = PredictionRule(asked=Asked.EITHER, tells_path=False)
RUN = PredictionRule(asked=Asked.WORKFLOW, ignores_case=True)
KSERVE_EXPLAIN = PredictionRule(explains=True, tells_path=False)
INVOKE = PredictionRule(passes_query=True)
_METHODS = ("POST", "GET", "PUT", "PATCH", "DELETE")
_REFUSALS = (400, 404, 405, 408, 413, 429, 500, 503, 504, 507)
_STATE = {200: "Status", 500: "Status"}
_OBJECT = {200: "Object"}
_ASK = "Ask the default version of a model."
_ASK_VERSION = "Ask a version of a model."
_EXPLAIN = "Have the default version explain."
_EXPLAIN_VERSION = "Have a version explain."
_REST = " The handler sees the rest of the path."
_OF_MODEL = "Describe the inference routes of this model as an OpenAPI document."
_MODEL_QUERY = Parameter("model_name", "text", "The model, if there are several.")


def _prediction(
    operation: str,
    path: str,
    description: str,
    rule: PredictionRule = PREDICT,
    *,
    methods: tuple[str, ...] = _METHODS,
    dialects: tuple[str, ...] = (TORCHSERVE,),
    parameters: tuple[Parameter, ...] = (),
    is_deprecated: bool = False,
    documented: tuple[str, ...] = BOTH,
) -> Route:
    return Route(
        operation=operation,
        methods=methods,
        path=path,
        listeners=_INFERENCE,
        access=Access.INFERENCE,
        description=description,
        answers={200: "Prediction"},
        refusals=_REFUSALS,
        parameters=parameters,
        dialects=dialects,
        body="inputs",
        is_deprecated=is_deprecated,
        documented=documented,
        prediction=rule,
    )


def _question(
    operation: str,
    methods: tuple[str, ...],
    path: str,
    description: str,
    answers: dict[int, str],
    *,
    refusals: tuple[int, ...] = (),
    dialects: tuple[str, ...] = BOTH,
    feature: str = "",
    access: Access = Access.INFERENCE,
    documented: tuple[str, ...] = (),
) -> Route:
    return Route(
        operation=operation,
        methods=methods,
        path=path,
        listeners=_INFERENCE,
        access=access,
        description=description,
        answers=answers,
        refusals=(400, 405, *refusals),
        dialects=dialects,
        feature=feature,
        only_reads=True,
        documented=documented,
    )


WORKFLOW_ROUTES = (
    _prediction(
        "workflow",
        "/wfpredict/{workflow_name}",
        "Run a workflow.",
        RUN,
        methods=(*_METHODS, "OPTIONS"),
        documented=(TORCHSERVE,),
    ),
    _prediction(
        "workflow_below",
        "/wfpredict/{workflow_name}/{rest}",
        "Run a workflow; its version may follow its name, what follows else is not read.",
        RUN,
        methods=(*_METHODS, "OPTIONS"),
        documented=(),
    ),
)
"""Before the others: the last segment may be ``predict``."""

PREDICTION_ROUTES = (
    _prediction("predictions", "/predictions/{model_name}", _ASK, dialects=BOTH),
    _prediction(
        "predictions_below", "/predictions/{model_name}/{rest}", _ASK, dialects=(MMS,), documented=()
    ),
    _prediction("version_predictions", "/predictions/{model_name}/{model_version}", _ASK_VERSION),
    _prediction(
        "version_predictions_below",
        "/predictions/{model_name}/{model_version}/{rest}",
        _ASK_VERSION + _REST,
        PredictionRule(passes_rest=True, takes_empty_version=True),
        documented=(),
    ),
    _prediction("explanations", "/explanations/{model_name}", _EXPLAIN, EXPLAIN),
    _prediction(
        "version_explanations",
        "/explanations/{model_name}/{model_version}",
        _EXPLAIN_VERSION,
        EXPLAIN,
        documented=(),
    ),
    _prediction(
        "version_explanations_below",
        "/explanations/{model_name}/{model_version}/{rest}",
        _EXPLAIN_VERSION + _REST,
        PredictionRule(explains=True, passes_rest=True, takes_empty_version=True),
        documented=(),
    ),
    _prediction(
        "invocations",
        "/invocations",
        "Ask the model that a parameter names, or the only one (SageMaker).",
        INVOKE,
        dialects=BOTH,
        parameters=(_MODEL_QUERY,),
        documented=(MMS,),
    ),
    _prediction("invoke", "/models/{model_name}/invoke", _ASK, INVOKE, dialects=BOTH, documented=(MMS,)),
    _prediction(
        "predict", "/{model_name}/predict", _ASK, INVOKE, dialects=BOTH, is_deprecated=True, documented=(MMS,)
    ),
    _prediction(
        "version_predict",
        "/{model_name}/{model_version}/predict",
        _ASK_VERSION,
        PredictionRule(passes_query=True, takes_empty_version=True, reserved_names=("v1", "v2")),
        is_deprecated=True,
        documented=(),
    ),
    _prediction("kserve_v1_predict", "/v1/models/{model_name}:predict", _ASK, KSERVE_PREDICT),
    _prediction("kserve_v1_explain", "/v1/models/{model_name}:explain", _EXPLAIN, KSERVE_EXPLAIN),
    _prediction("kserve_v2_infer", "/v2/models/{model_name}/infer", _ASK, OPEN_PREDICT),
    _prediction("kserve_v2_explain", "/v2/models/{model_name}/explain", _EXPLAIN, KSERVE_EXPLAIN),
    _prediction(
        "kserve_v2_version_infer",
        "/v2/models/{model_name}/versions/{model_version}/infer",
        _ASK_VERSION,
        OPEN_PREDICT,
        documented=(),
    ),
    _prediction(
        "kserve_v2_version_explain",
        "/v2/models/{model_name}/versions/{model_version}/explain",
        _EXPLAIN_VERSION,
        KSERVE_EXPLAIN,
        documented=(),
    ),
)
"""The grammar of prediction URLs; the first row that matches decides. The peers' documents:

https://github.com/pytorch/serve/blob/master/docs/inference_api.md
https://github.com/awslabs/multi-model-server/blob/master/docs/inference_api.md
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

_VERSION = "{model_name}/versions/{model_version}"
_OPEN_PROTOCOL = tuple(
    _question(
        operation,
        ("GET",),
        path,
        description,
        _OBJECT,
        refusals=refusals,
        dialects=(TORCHSERVE,),
        feature=feature,
    )
    for operation, path, description, refusals, feature in (
        ("kserve_v2_server", "/v2", "Tell which server this is.", (), OPEN_INFERENCE),
        ("kserve_v2_live", "/v2/health/live", "Tell that the server runs.", (), OPEN_INFERENCE),
        ("kserve_v2_ready", "/v2/health/ready", "Tell whether models can be asked.", (), OPEN_INFERENCE),
        ("kserve_v2_model", "/v2/models/{model_name}", "Describe a model's tensors.", (404,), ""),
        (
            "kserve_v2_model_ready",
            "/v2/models/{model_name}/ready",
            "Tell whether a model can be asked.",
            (404,),
            "",
        ),
        *(
            (f"kserve_v2_{operation}", f"/v2/models/{path}", description, refusals, "")
            for operation, path, description, refusals in (
                ("model_config", "{model_name}/config", "Tell how a model is configured (Triton).", (404,)),
                ("version_config", f"{_VERSION}/config", "Tell how a version is configured.", (404,)),
                ("statistics", "stats", "Tell what was counted of all models (Triton).", ()),
                ("model_statistics", "{model_name}/stats", "Tell what was counted of a model.", (404,)),
                ("version_statistics", f"{_VERSION}/stats", "Tell what was counted of a version.", (404,)),
            )
        ),
        (
            "kserve_v2_version",
            "/v2/models/{model_name}/versions/{model_version}",
            "Describe a version's tensors.",
            (404,),
            "",
        ),
        (
            "kserve_v2_version_ready",
            "/v2/models/{model_name}/versions/{model_version}/ready",
            "Tell whether a version can be asked.",
            (404,),
            "",
        ),
    )
)

INFERENCE_ROUTES: tuple[Route, ...] = (
    _question(
        "ping",
        ANY_METHOD,
        "/ping",
        "Tell whether the models have their workers.",
        _STATE,
        documented=BOTH,
    ),
    _question("ping_below", ANY_METHOD, "/ping/{rest}", "The same as /ping.", _STATE),
    *WORKFLOW_ROUTES,
    *PREDICTION_ROUTES,
    *_OPEN_PROTOCOL,
    *(
        _question(
            f"{route.operation}Description",
            ("OPTIONS",),
            route.path,
            _OF_MODEL,
            {200: "OpenApi"},
            refusals=(404,),
            dialects=route.dialects,
            documented=(MMS,) if route.operation == "predictions" else (),
        )
        for route in PREDICTION_ROUTES
    ),
    _question("live", ("GET",), "/health/live", "Tell that the server runs.", _OBJECT, access=Access.OPEN),
    _question(
        "ready",
        ("GET",),
        "/health/ready",
        "Tell whether every model that is meant to have workers has one.",
        {200: "Object", 503: "Object"},
        access=Access.OPEN,
    ),
    *METRICS_ROUTES,
)
