"""What the server reads from ``model-config.yaml``."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.model_config import ModelConfig, read_model_config
from modelserver.version_settings.table import VERSION_SETTINGS
from modelserver.version_settings.values import AUTO_DELAY, Torchrun

GPUS = 2

TORCHRUN = {
    "nnodes": 2,
    "node-rank": 1,
    "rdzv-backend": "static",
    "rdzv-endpoint": "a:1",
    "rdzv-conf": "timeout=9",
    "monitor-interval": 2,
    "master-addr": "b",
    "master-port": 7,
    "OMP_NUMBER_THREADS": 3,
}
# Every key of configuration.md, section 5 (torchrun apart), and ours.
KEYS = [
    "minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "responseTimeout", "startupTimeout",
    "deviceType", "deviceIds", "parallelType", "parallelLevel", "maxRetryTimeoutInSec",
    "clientTimeoutInMills", "jobQueueSize", "useJobTicket", "useVenv", "continuousBatching",
    "sequenceBatching", "sequenceMaxIdleMSec", "sequenceTimeoutMSec", "maxSequenceJobQueueSize",
    "maxNumSequence", "asyncCommunication", "workerStart", "preload", "retryOnWorkerDeath",
    "maxRequestsPerWorker", "workerMemoryLimit", "loadTimeout", "pinned", "placement", "resources",
    "placementStrategy",
]  # fmt: skip

READ: tuple[tuple[dict[str, object], dict[str, object]], ...] = (
    ({"minWorkers": 2, "maxWorkers": 4}, {"min_workers": 2, "max_workers": 4}),
    ({"minWorkers": 0, "maxWorkers": 1}, {"min_workers": 1, "max_workers": 1}),
    ({"batchSize": 8}, {"batch_size": 8}),
    ({"batchSize": -8}, {"batch_size": 1}),
    ({"maxBatchDelay": 250}, {"max_batch_delay": 0.25}),
    ({"maxBatchDelay": 0}, {"max_batch_delay": 0.0}),
    ({"responseTimeout": 7, "startupTimeout": 9}, {"response_timeout": 7.0, "startup_timeout": 9.0}),
    ({"maxRetryTimeoutInSec": 0}, {"recovery": 0.0}),
    ({"clientTimeoutInMills": 500}, {"client_timeout": 0.5}),
    ({"jobQueueSize": 5}, {"job_queue_size": 5}),
    ({"deviceType": "GPU"}, {"device_type": "gpu"}),
    ({"deviceIds": [1, 0]}, {"device_ids": (1, 0)}),
    ({"parallelType": "custom", "parallelLevel": 2}, {"parallel_type": "custom", "parallel_level": 2}),
    ({"parallelType": "pp"}, {"parallel_type": "pp"}),
    (
        {"parallelType": "tp", "torchrun": {"nproc-per-node": 2}},
        {"parallel_type": "tp", "parallel_level": 2, "torchrun": Torchrun(2)},
    ),
    (
        {"parallelType": "pptp", "torchrun": {}},
        {"parallel_type": "pptp", "parallel_level": 1, "torchrun": Torchrun(1)},
    ),
    (
        {"parallelType": "pp", "parallelLevel": 3},
        {"parallel_type": "pp", "parallel_level": 3, "torchrun": Torchrun(3)},
    ),
    (
        {"parallelType": "tp", "torchrun": {"nproc-per-node": 4, **TORCHRUN}},
        {
            "parallel_type": "tp",
            "parallel_level": 4,
            "torchrun": Torchrun(4, 2, 1, "static", "a:1", "timeout=9", 2.0, "b", 7, 3),
        },
    ),
    ({"parallelLevel": 2}, {}),
    ({"torchrun": {"nproc-per-node": 2}}, {}),
    ({"useJobTicket": True, "useVenv": True}, {"job_tickets": True, "use_venv": True}),
    (
        {"continuousBatching": True, "asyncCommunication": True},
        {"continuous_batching": True, "async_communication": True},
    ),
    (
        {
            "sequenceBatching": True,
            "sequenceMaxIdleMSec": 500,
            "sequenceTimeoutMSec": 250,
            "maxSequenceJobQueueSize": 3,
            "maxNumSequence": 0,
        },
        {
            "stateful": True,
            "sequence_max_idle": 0.5,
            "sequence_timeout": 0.25,
            "sequence_jobs": 3,
            "max_sequences": 1,
        },
    ),
    ({"workerStart": "spawn", "preload": "model"}, {"worker_start": "spawn", "preload": "model"}),
    ({"retryOnWorkerDeath": 0}, {"retry_on_worker_death": 0}),
    ({"maxRequestsPerWorker": 1000}, {"max_requests_per_worker": 1000}),
    ({"workerMemoryLimit": 1024}, {"worker_memory_limit": 1024}),
    ({"workerMemoryLimit": "2G"}, {"worker_memory_limit": 2 * 1024**3}),
    ({"placement": "Ray", "placementStrategy": "pack"}, {"placement": "ray", "placement_strategy": "pack"}),
    ({"resources": {"GPU": 0.25, "CPU": 2}}, {"resources": (("CPU", 2.0), ("GPU", 0.25))}),
    ({"resources": "CPU=1"}, {"resources": (("CPU", 1.0),)}),
    ({"batchSize": None, "handler": {"profile": True}}, {}),
)

IGNORED: tuple[tuple[dict[str, object], str], ...] = (
    ({"batchSize": "8"}, "batchSize='8' is ignored: a whole number is needed."),
    ({"batchSize": True}, "batchSize=True is ignored: a whole number is needed."),
    ({"maxBatchDelay": -1}, "maxBatchDelay=-1 is ignored: it is negative."),
    ({"responseTimeout": 0}, "responseTimeout=0 is ignored: it is not above 0."),
    ({"startupTimeout": 1.5}, "startupTimeout=1.5 is ignored: a whole number is needed."),
    ({"maxRetryTimeoutInSec": -1}, "maxRetryTimeoutInSec=-1 is ignored: it is negative."),
    ({"jobQueueSize": 0}, "jobQueueSize=0 is ignored: it is not above 0."),
    ({"useVenv": "yes"}, "useVenv='yes' is ignored: true or false is needed."),
    ({"deviceType": "neuron"}, "deviceType='neuron' is ignored: cpu or gpu is needed."),
    ({"deviceIds": 1}, "deviceIds=1 is ignored: a list of device numbers is needed."),
    ({"deviceIds": [0, -1]}, "deviceIds=[0, -1] is ignored: it is negative."),
    ({"deviceIds": [0, 2]}, "deviceIds=[0, 2] is ignored: there are 2 devices, counted from 0."),
    ({"parallelType": "xp"}, "parallelType='xp' is ignored: pp or tp or pptp or custom is needed."),
    ({"preload": True}, "preload=True is ignored: libraries or imports or model is needed."),
    ({"placement": "moon"}, "placement='moon' is ignored: local or ray or auto is needed."),
    ({"resources": {"CPU": -1}}, "resources={'CPU': -1} is ignored: an amount is from 0 to 1000000."),
    ({"resources": {"CPU": True}}, "resources={'CPU': True} is ignored: an amount is a number."),
    ({"resources": {"a b": 1}}, "resources={'a b': 1} is ignored: 'a b' is no name of a resource."),
    ({"retryOnWorkerDeath": 2}, "retryOnWorkerDeath=2 is ignored: 0 or 1 is needed."),
    ({"workerMemoryLimit": "2 G"}, "workerMemoryLimit='2 G' is ignored: "
     "a number of bytes is needed, or a text like 512M."),
    ({"minWorkers": 2}, "minWorkers=2 and maxWorkers=None are ignored: "
     "both are needed, and maxWorkers may not be smaller."),
    ({"minWorkers": 2, "maxWorkers": 1}, "minWorkers=2 and maxWorkers=1 are ignored: "
     "both are needed, and maxWorkers may not be smaller."),
    ({"sequenceBatching": True}, "sequenceBatching is ignored: sequenceMaxIdleMSec must be above 0."),
)  # fmt: skip


class ModelConfigTests(SynchronousTestCase):
    """Keys of the file become one value; what is wrong is left out and told."""

    def test_every_key_of_the_reference_is_known(self) -> None:
        found = [row.model_config for row in VERSION_SETTINGS if row.model_config]
        self.assertEqual(sorted(found), sorted(KEYS))

    def test_values(self) -> None:
        for document, expected in READ:
            config, problems = read_model_config(document, GPUS)
            settings = {name: value for name, value in expected.items() if name != "torchrun"}
            torchrun: Any = expected.get("torchrun")
            self.assertEqual(config, ModelConfig(document, settings, torchrun), document)
            self.assertEqual(problems, (), document)

    def test_wrong_values_are_ignored_and_told(self) -> None:
        for document, problem in IGNORED:
            config, problems = read_model_config(document, GPUS)
            self.assertEqual(config, ModelConfig(document), document)
            self.assertEqual(problems, (f"model-config.yaml: {problem}",), document)

    def test_the_server_chooses_the_delay_where_it_is_asked_to(self) -> None:
        config, problems = read_model_config({"maxBatchDelay": "auto"}, GPUS)
        self.assertEqual(({"max_batch_delay": AUTO_DELAY}, ()), (config.settings, problems))
        for document in ({"maxBatchDelay": "Auto"}, {"maxBatchDelay": -1}, {"batchSize": "auto"}):
            self.assertEqual({}, read_model_config(document, GPUS)[0].settings, document)

    def test_one_wrong_value_leaves_the_others(self) -> None:
        config, problems = read_model_config({"batchSize": "x", "jobQueueSize": 3}, GPUS)
        self.assertEqual((config.settings, len(problems)), ({"job_queue_size": 3}, 1))

    def test_wrong_number_of_processes(self) -> None:
        document = {"parallelType": "tp", "parallelLevel": 2, "torchrun": {"nproc-per-node": "auto"}}
        config, problems = read_model_config(document, GPUS)
        self.assertEqual((config.torchrun, len(problems)), (Torchrun(2), 1))
        self.assertIn("torchrun.nproc-per-node='auto' is ignored", problems[0])

    def test_gpu_without_gpus_is_the_cpu(self) -> None:
        config, problems = read_model_config({"deviceType": "gpu"}, 0)
        self.assertEqual((config.settings["device_type"], len(problems)), ("cpu", 1))

    def test_document_is_kept_whole(self) -> None:
        document = {"batchSize": "x", "handler": {"a": [1]}}
        self.assertEqual(read_model_config(document, GPUS)[0].document, document)

    def test_something_else_than_a_mapping(self) -> None:
        documents: tuple[object, ...] = ([], "text", 7)
        for document in documents:
            config, problems = read_model_config(document, GPUS)
            self.assertEqual((config, len(problems)), (ModelConfig(), 1))
