"""The models that are served: versions by name, and which one is the default."""

from __future__ import annotations

from attrs import field

from modelserver.core.version import ModelVersion
from modelserver.core.version_order import in_order
from modelserver.errors import (
    DefaultVersionInUse,
    ModelNotFound,
    NoSuchVersionToDefault,
    VersionExists,
    VersionNotFound,
)
from modelserver.language.attributes import define


@define(eq=False)
class _Model:
    versions: dict[str, ModelVersion]
    default: ModelVersion

    def arrange(self) -> None:
        """Put the versions in order: one that has come or gone may change that of the others."""
        self.versions = {each: self.versions[each] for each in in_order(self.versions)}


@define(eq=False)
class Registry:
    """Owns the map of models. The first version of a model is its default until another is set."""

    _models: dict[str, _Model] = field(factory=dict, init=False)

    def get(self, name: str, version: str | None = None) -> ModelVersion:
        """
        A version, the default one unless it is named.

        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        """
        model = self._models.get(name)
        if model is None:
            raise ModelNotFound(name)
        if version is None:
            return model.default
        found = model.versions.get(version)
        if found is None:
            raise VersionNotFound(name, version)
        return found

    def add(self, version: ModelVersion) -> None:
        """
        Serve a version from now on.

        :raises VersionExists: it is served already.
        """
        spec = version.spec
        model = self._models.get(spec.name)
        if model is None:
            self._models[spec.name] = _Model({spec.version: version}, version)
        elif spec.version in model.versions:
            raise VersionExists(spec.name, spec.version)
        else:
            model.versions[spec.version] = version
            model.arrange()

    def remove(self, name: str, version: str | None = None) -> ModelVersion:
        """
        Serve a version no more.

        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        :raises DefaultVersionInUse: it is the default while others exist.
        """
        found = self.get(name, version)
        model = self._models[name]
        if len(model.versions) == 1:
            del self._models[name]
        elif found is model.default:
            raise DefaultVersionInUse(name)
        else:
            del model.versions[found.spec.version]
            model.arrange()
        return found

    def set_default(self, name: str, version: str) -> None:
        """
        Make a version the one that is meant when none is named.

        :raises ModelNotFound: no model has this name.
        :raises NoSuchVersionToDefault: the model has no such version.
        """
        model = self._models.get(name)
        if model is None:
            raise ModelNotFound(name)
        if version not in model.versions:
            raise NoSuchVersionToDefault(name, version)
        model.default = model.versions[version]

    def names(self) -> list[str]:
        """All models, in the order of their names' bytes."""
        return sorted(self._models)

    def has(self, name: str) -> bool:
        """Whether a model has this name."""
        return name in self._models

    def has_version(self, version: ModelVersion) -> bool:
        """Whether this very version is served."""
        model = self._models.get(version.spec.name)
        return model is not None and model.versions.get(version.spec.version) is version

    def versions(self, name: str) -> list[ModelVersion]:
        """
        All versions of a model, older ones first; see ``version_order``.

        :raises ModelNotFound: no model has this name.
        """
        if name not in self._models:
            raise ModelNotFound(name)
        return list(self._models[name].versions.values())

    def is_default(self, version: ModelVersion) -> bool:
        """Whether this version is the one that is meant when none is named."""
        model = self._models.get(version.spec.name)
        return model is not None and model.default is version

    def all(self) -> list[ModelVersion]:
        """Return every version of every model."""
        return [version for model in self._models.values() for version in model.versions.values()]
