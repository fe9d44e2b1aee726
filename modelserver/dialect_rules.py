"""What differs between the two products whose clients, files and tools are served."""

from __future__ import annotations

from collections.abc import Mapping

from modelserver.language.attributes import frozen


@frozen
class DialectRules:
    """
    What differs between TorchServe and Multi Model Server (MMS), whose clients, files and tools are served.

    The statuses and texts of answers are in ``rest/dialects``.

    :param name: ``torchserve`` or ``mms``: the value of the configuration key ``dialect``.
    :param title: how the product calls itself in a sentence for clients.
    :param peer_version: the version of the product that this server is compared with.
    :param variable_prefix: what names of the environment variables of configuration keys begin with.
    :param config_option: the option of the command line that names the configuration file.
    :param log_prefix: what names of log files begin with.
    :param archive_endings: the files of a model store that ``load_models=all`` loads.
    :param worker_banner: the lines that a worker prints before it loads its model, with a ``%d`` for its pid.
    :param has_versions: a model may have several versions at once.
    :param has_tokens: calls may need a key (token authorization).
    :param has_workflows: graphs of models can be registered, and asked.
    :param has_snapshots: the state of management is kept in snapshots, and restored from the newest.
    :param can_forbid_model_control: models can be registered only where ``enable_model_api`` allows it.
    :param declares_metrics: metrics have declarations, and Prometheus may read them. Otherwise all of them go
        to the log, with integers as integers, and the file of declarations is not read.
    :param has_model_log: what workers print goes to a log of its own as well as into the server's.
    :param has_mms_context: handlers get MMS's context and metrics store rather than TorchServe's.
    :param tells_plain_fields: a request that is no form has ``url_path`` and ``explain`` among its fields.
    :param reads_num_workers: the variable ``NUM_WORKERS`` sets ``default_workers_per_model``.
    :param counts_minutes: the product's own program reads ``default_response_timeout`` as minutes.
    """

    name: str
    title: str
    peer_version: str
    variable_prefix: str
    config_option: str
    log_prefix: str
    archive_endings: tuple[str, ...]
    worker_banner: str
    has_versions: bool = True
    has_tokens: bool = True
    has_workflows: bool = True
    has_snapshots: bool = True
    can_forbid_model_control: bool = True
    declares_metrics: bool = True
    has_model_log: bool = True
    has_mms_context: bool = False
    tells_plain_fields: bool = True
    reads_num_workers: bool = False
    counts_minutes: bool = False


TORCHSERVE = DialectRules(
    name="torchserve",
    title="TorchServe",
    peer_version="0.12.0",
    variable_prefix="TS_",
    config_option="--ts-config",
    log_prefix="ts",
    archive_endings=(".mar", ".model", ".tar.gz"),
    worker_banner="[PID]%d\nTorch worker started.",
)
"""https://github.com/pytorch/serve/tree/master/docs"""

MMS = DialectRules(
    name="mms",
    title="model server",
    peer_version="1.1.11",
    variable_prefix="MMS_",
    config_option="--mms-config",
    log_prefix="mms",
    archive_endings=(".mar", ".model"),
    worker_banner="[PID] %d\nMMS worker started.",
    has_versions=False,
    has_tokens=False,
    has_workflows=False,
    has_snapshots=False,
    can_forbid_model_control=False,
    declares_metrics=False,
    has_model_log=False,
    has_mms_context=True,
    tells_plain_fields=False,
    reads_num_workers=True,
    counts_minutes=True,
)
"""https://github.com/awslabs/multi-model-server/tree/master/docs"""

DIALECTS: Mapping[str, DialectRules] = {each.name: each for each in (TORCHSERVE, MMS)}
"""The rules of both, by name."""
