"""Family: what the conversions of all architectures share: names of tensors, numbers of the configuration."""

from __future__ import annotations

from typing import Any, ClassVar

import gguf

from arriero.convert.output import Change, Output
from arriero.convert.source import Source
from arriero.convert.weights import Tensor, Weights
from arriero.core.errors import InvalidRequest

MAX_LAYERS = 10_000


class Config:
    """Numbers and words of a configuration; InvalidRequest names what is missing or of another type."""

    def __init__(self, values: dict[str, Any], file: str = "config.json") -> None:
        self.values, self.file = values, file

    def integer(self, *names: str, default: int | None = None) -> int:
        """The first of these keys that is there."""
        value = self._first(names, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise InvalidRequest(f"{self.file}: {names[0]} must be a whole number, not {value!r}")
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        """The first of these keys that is there."""
        value = self._first(names, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidRequest(f"{self.file}: {names[0]} must be a number, not {value!r}")
        return float(value)

    def get(self, name: str, default: Any = None) -> Any:
        """The value as it stands there; null is as good as absent."""
        value = self.values.get(name)
        return default if value is None else value

    def _first(self, names: tuple[str, ...], default: Any) -> Any:
        found = next((self.values[name] for name in names if self.values.get(name) is not None), default)
        if found is None:
            raise InvalidRequest(f"{self.file}: {names[0]} is missing")
        return found


class Family:
    """One conversion. A family sets `architecture` and writes its keys, its vocabulary and what differs in tensors."""

    architecture: ClassVar[Any]
    exact: ClassVar[tuple[str, ...]] = ()
    """Beginnings of GGUF names that stay F32 beside the vectors."""

    def __init__(self, source: Source, config: Config, out: Output, weights: Weights) -> None:
        self.source, self.config, self.out, self.weights = source, config, out, weights
        self.layers = config.integer("num_hidden_layers", "n_layers", "num_layers")
        if not 0 < self.layers <= MAX_LAYERS:
            raise InvalidRequest(f"config.json: {self.layers} layers")
        self.names = gguf.get_tensor_name_map(self.architecture, self.layers)

    def keys(self) -> None:
        """Write the architecture's own keys."""
        raise NotImplementedError

    def vocabulary(self) -> None:
        """Write the tokenizer's keys."""
        raise NotImplementedError

    def rename(self, name: str) -> str | None:
        """The name under which gguf's map knows a tensor; None leaves it out."""
        return name

    def change(self, name: str, tensor: Tensor) -> Change | None:
        """What is done with the values of the tensor with this GGUF name."""
        return None

    def extra(self) -> None:
        """Announce tensors that the files do not hold."""

    def cut(self, tensor: Tensor) -> Tensor:
        """The part of the tensor that is used."""
        return tensor

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensors that must be there, by GGUF's name: {} is a layer's number."""
        return {}

    def convert(self) -> None:
        """Announce everything; InvalidRequest if a tensor is missing or of another shape than config.json says."""
        self.out.keys.add_type(gguf.GGUFType.MODEL)
        self.keys()
        self.vocabulary()
        self.extra()
        for tensor in self.weights:
            name = self.rename(tensor.name)
            if name is None:
                continue
            mapped = self.names.get_name(key=name, try_suffixes=(".weight", ".bias"))
            if mapped is None:
                raise InvalidRequest(f"tensor {tensor.name} has no place in this architecture")
            if mapped in self.out.shapes:
                raise InvalidRequest(f"tensor {tensor.name} is there twice, as {mapped}")
            if any(size == 0 for size in tensor.shape):
                raise InvalidRequest(f"tensor {tensor.name} is empty")
            used = self.cut(tensor)
            self.out.tensor(mapped, used, self.change(mapped, used), exact=mapped.startswith(self.exact))
        for pattern, shape in self.shapes().items():
            for layer in range(self.layers) if "{}" in pattern else [0]:
                found = self.out.shapes.get(name := pattern.format(layer))
                if found is None:
                    raise InvalidRequest(f"the weights have nothing for {name}")
                if found != shape:
                    said = f"where config.json makes it {list(shape)}"
                    raise InvalidRequest(f"{name} has the shape {list(found)}, {said}")
