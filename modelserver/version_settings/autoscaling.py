"""The rows of the table of a version's settings that say how the server decides the number of its workers."""

from __future__ import annotations

from modelserver.version_settings.setting import Setting, SettingKey, SettingParameter, Unit

AUTOSCALING = (
    Setting(
        name="autoscale",
        path="autoscaling.enabled",
        unit=Unit.FLAG,
        default=False,
        key=SettingKey("autoscale", "Whether the server decides how many workers each version has."),
        parameter=SettingParameter(
            "autoscale",
            "Whether the server decides how many workers there are, from min_worker to max_worker.",
            is_extension=True,
        ),
    ),
    Setting(
        name="target_queue_time",
        path="autoscaling.queue_time",
        unit=Unit.MILLISECONDS,
        default=0.02,
        least=1,
        key=SettingKey(
            "autoscale_target_queue_time",
            "Milliseconds that 9 of 10 requests shall wait at most for a worker, where the server decides "
            "how many there are.",
        ),
        parameter=SettingParameter(
            "target_queue_time",
            "Milliseconds that 9 of 10 requests shall wait at most for a worker, with autoscale.",
            is_extension=True,
        ),
    ),
    Setting(
        name="idle_timeout",
        path="autoscaling.idle_timeout",
        unit=Unit.SECONDS,
        default=300.0,
        least=1,
        key=SettingKey(
            "autoscale_idle_timeout",
            "Seconds without a request after which a version with autoscale gives up its last worker, if its "
            "least is 0.",
        ),
        parameter=SettingParameter(
            "idle_timeout",
            "Seconds without a request after which the last worker goes, with autoscale and min_worker=0.",
            is_extension=True,
        ),
    ),
    Setting(
        name="scale_down_delay",
        path="autoscaling.down_delay",
        unit=Unit.SECONDS,
        default=2.0,
        least=1,
        key=SettingKey(
            "autoscale_down_delay",
            "Seconds for which fewer workers must have been enough before one goes, with autoscale.",
        ),
        parameter=SettingParameter(
            "scale_down_delay",
            "Seconds for which fewer workers must have been enough before one goes, with autoscale.",
            is_extension=True,
        ),
    ),
    Setting(
        name="keep_template",
        path="autoscaling.keep_template",
        unit=Unit.FLAG,
        default=True,
        key=SettingKey(
            "autoscale_keep_template",
            "Whether the template process stays where autoscale has taken the last worker.",
        ),
        parameter=SettingParameter(
            "keep_template",
            "Whether the template process stays where autoscale has taken the last worker.",
            is_extension=True,
        ),
    ),
)
"""
How the server decides the number of workers. In ``model-config.yaml`` they are a section of their own, which
``archive/autoscaling_section`` reads.
"""
