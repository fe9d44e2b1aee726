"""The pipelines of NVIDIA's DALI, where it is installed."""

import os

from modelserver.compat.borrowed import borrowed

__all__ = ["get_dali_pipeline"]


def get_dali_pipeline(ctx):
    """
    The pipeline that the section ``dali`` of model-config.yaml describes.

    :param ctx: the context of a handler.
    :raises ValueError: there is no such section, or it names no ``pipeline_file``.
    :raises RuntimeError: the archive does not have the file.
    :raises ImportError: DALI is not installed.
    """
    section = ctx.model_yaml_config.get("dali")
    if not section:
        raise ValueError(f"model-config.yaml of {ctx.model_name} has no section dali")
    name = section.get("pipeline_file")
    if not name:
        raise ValueError(f"The section dali of {ctx.model_name} names no pipeline_file")
    path = os.path.join(ctx.system_properties["model_dir"], name)
    if not os.path.isfile(path):
        raise RuntimeError(f"Missing the pipeline {name}: add it to the archive's extra files")
    from nvidia.dali.pipeline import Pipeline

    wanted = {option: section[option] for option in ("batch_size", "num_threads", "device_id", "seed")}
    return Pipeline.deserialize(filename=path, prefetch_queue_depth=1, **wanted)


__getattr__ = borrowed(__name__)
