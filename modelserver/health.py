"""Whether the server does what it is meant to do: the peers' rule for a ping."""

from __future__ import annotations

from attrs import frozen

from modelserver.core.registry import Registry


@frozen
class Health:
    """
    The workers of all models together.

    :param wanted: how many there are meant to be.
    :param running: how many have loaded their model.
    :param is_healthy: every default version has as many workers as it is meant to, or they may still come.
    """

    wanted: int
    running: int
    is_healthy: bool


def health_of(registry: Registry) -> Health:
    """Look at every version; only default versions decide whether the server is healthy."""
    versions = registry.all()
    return Health(
        sum(version.pool.minimum for version in versions),
        sum(version.pool.ready for version in versions),
        all(
            version.pool.healthy >= version.pool.minimum
            for version in versions
            if registry.is_default(version)
        ),
    )


def unready_models(registry: Registry) -> list[str]:
    """The models that are meant to have workers and have none that has loaded."""
    return [
        name
        for name in registry.names()
        if any(version.pool.minimum and not version.pool.ready for version in registry.versions(name))
    ]
