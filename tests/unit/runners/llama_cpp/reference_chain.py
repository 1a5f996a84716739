"""libllama's own sampler chain, as the reference that the numpy sampler must agree with."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from arriero.core.request import SamplingParams
from arriero.runners.llama_cpp.bindings import lib

TOKEN = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


def reference(logits: npt.NDArray[np.float32], tokens: Sequence[int], params: SamplingParams) -> dict[int, float]:
    """Return what libllama would keep after `tokens`, and with which probabilities, in llama-server's order."""
    p = params
    last_n = len(tokens) if p.repeat_last_n < 0 else p.repeat_last_n
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    penalties = lib.llama_sampler_init_penalties(
        logits.size, last_n, p.repeat_penalty, p.frequency_penalty, p.presence_penalty
    )
    for sampler in (
        penalties,
        lib.llama_sampler_init_top_k(p.top_k),
        lib.llama_sampler_init_typical(p.typical_p, 0),
        lib.llama_sampler_init_top_p(p.top_p, 0),
        lib.llama_sampler_init_min_p(p.min_p, 0),
        lib.llama_sampler_init_temp(p.temperature),
        lib.llama_sampler_init_dist(1),
    ):
        lib.llama_sampler_chain_add(chain, sampler)
    for token in tokens:
        lib.llama_sampler_accept(chain, token)
    data = np.zeros(logits.size, TOKEN)
    data["id"] = np.arange(logits.size)
    data["logit"] = logits
    array = lib.llama_token_data_array()
    array.data = data.ctypes.data_as(lib.llama_token_data_p)
    array.size = logits.size
    array.selected = -1
    array.sorted = False
    lib.llama_sampler_apply(chain, ctypes.byref(array))
    lib.llama_sampler_free(chain)
    at = ctypes.addressof(array.data.contents)
    left = np.frombuffer((ctypes.c_char * (array.size * TOKEN.itemsize)).from_address(at), TOKEN)
    return {int(token): float(p) for token, _, p in left if p > 0}
