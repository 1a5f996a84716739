"""Gemma 3's language model: norms around both halves of a layer, windows in most layers, two bases of rotation."""

from __future__ import annotations

import gguf

from arriero.convert.architectures.decoder import Decoder, is_norm
from arriero.convert.output import Change
from arriero.convert.weights import Tensor
from arriero.core.errors import InvalidRequest

_OF_27B = 62  # layers; llama.cpp scales the attention of this one by the hidden size


class Gemma3(Decoder):
    """Keys and tensors of `gemma3`."""

    architecture = gguf.MODEL_ARCH.GEMMA3
    activation = ("gelu_pytorch_tanh",)
    tied = True

    def keys(self) -> None:
        """Write the keys; what llama.cpp computes otherwise is refused."""
        super().keys()
        config, keys = self.config, self.out.keys
        if config.get("attn_logit_softcapping") is not None:
            raise InvalidRequest("attn_logit_softcapping is not supported")
        scale = config.number("query_pre_attn_scalar", default=256)
        known = self.hidden / self.heads if self.layers == _OF_27B else self.head_dim
        if scale != known:
            raise InvalidRequest(f"query_pre_attn_scalar {scale:g} is not supported, only {known:g} for this model")
        if config.get("final_logit_softcapping"):
            keys.add_final_logit_softcapping(config.number("final_logit_softcapping"))
        keys.add_sliding_window(config.integer("sliding_window", default=4096))
        keys.add_sliding_window_pattern(self._windowed())
        local = (config.get("rope_parameters") or {}).get("sliding_attention") or {}
        keys.add_rope_freq_base_swa(
            float(local.get("rope_theta") or config.number("rope_local_base_freq", default=1e4))
        )

    def rope_keys(self) -> None:
        """Write how positions rotate; the base is 1e6 where nothing is said."""
        if self.config.get("rope_theta") is None:
            self.config.values["rope_theta"] = 1_000_000.0
        super().rope_keys()

    def change(self, name: str, tensor: Tensor) -> Change | None:
        """Norms are stored as their distance from one."""
        return (lambda values: values + 1) if is_norm(tensor) else None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensors that must be there."""
        norms: dict[str, tuple[int, ...]] = {f"blk.{{}}.attn_{one}_norm.weight": (self.head_dim,) for one in "qk"}
        posts = {f"blk.{{}}.post_{one}_norm.weight": (self.hidden,) for one in ("attention", "ffw")}
        return super().shapes() | norms | posts

    def _windowed(self) -> list[bool]:
        kinds = self.config.get("layer_types")
        if isinstance(kinds, list):
            if len(kinds) != self.layers:
                raise InvalidRequest(f"config.json: layer_types names {len(kinds)} of {self.layers} layers")
            return [kind == "sliding_attention" for kind in kinds]
        every = max(1, self.config.integer("sliding_window_pattern", "_sliding_window_pattern", default=6))
        return [(layer + 1) % every != 0 for layer in range(self.layers)]


class Gemma3WithImages(Gemma3):
    """The bigger ones, which see images too: their configuration holds the language model's, and only that is made."""

    def rename(self, name: str) -> str | None:
        """The language model's tensors, by the names they have alone."""
        if "vision_tower" in name or "multi_modal_projector" in name:
            self.out.notes.add(
                "images are not understood by the model that is made: only its language part is converted"
            )
            return None
        for outer in ("model.language_model.", "language_model.model."):
            if name.startswith(outer):
                name = "model." + name.removeprefix(outer)
        return super().rename(name.removeprefix("language_model.") if name.endswith("lm_head.weight") else name)
