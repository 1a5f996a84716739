"""Which models are served by one worker: those of the same weights, where their load options agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from arriero.backends.adapted import AdaptedBackend
from arriero.backends.local import LocalBackend
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions
from arriero.service.load_options import agrees


@dataclass(slots=True)
class _Shared:
    weights: tuple[object, ...]
    load: LoadOptions
    worker: LocalBackend
    users: list[AdaptedBackend] = field(default_factory=list)


def worker_of(backend: object) -> object:
    """What holds a backend's memory: its worker, which others may have, too."""
    return backend.worker if isinstance(backend, AdaptedBackend) else backend


class SharedWorkers:
    """Makes backends; `start` makes a worker for a spec without loading it."""

    def __init__(self, start: Callable[[ModelSpec, LoadOptions], LocalBackend]) -> None:
        self._start = start
        self._shared: list[_Shared] = []

    def shares(self, spec: ModelSpec, load: LoadOptions) -> bool:
        """Whether a model's weights are in memory already, in a worker that it can use."""
        return self._find(spec, load) is not None

    def backend(self, spec: ModelSpec, load: LoadOptions) -> LocalBackend | AdaptedBackend:
        """A backend for `spec`, on a worker that is there or on a new one. Vectors have a worker of their own."""
        if "completion" not in spec.capabilities or spec.runner != "llama_cpp":
            return self._start(spec, load)
        shared = self._find(spec, load)
        if shared is None:
            plain = msgspec.structs.replace(spec, adapters=())  # its adapters come with its requests
            shared = _Shared(_weights(spec), load, self._start(plain, load))
            self._shared.append(shared)
        backend = AdaptedBackend(spec, shared.worker, lambda one: shared.users[:1] == [one], self._let_go)
        shared.users.append(backend)
        return backend

    def _find(self, spec: ModelSpec, load: LoadOptions) -> _Shared | None:
        for shared in self._shared:
            if shared.weights == _weights(spec) and agrees(shared.load, shared.worker.info, load):
                return shared
        return None

    def _let_go(self, backend: AdaptedBackend) -> LocalBackend | None:
        for shared in self._shared:
            if backend in shared.users:
                shared.users.remove(backend)
                if not shared.users:
                    self._shared.remove(shared)
                    return shared.worker
                if backend.face and all(other.face != backend.face for other in shared.users):
                    shared.worker.detach(backend.face)
        return None


def _weights(spec: ModelSpec) -> tuple[object, ...]:
    return spec.path, spec.projectors, spec.draft
