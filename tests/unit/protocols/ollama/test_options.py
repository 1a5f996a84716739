from __future__ import annotations

from typing import Any

import pytest

from arriero.core.errors import InvalidOption, InvalidRequest
from arriero.core.request import LoadOptions, SamplingParams
from arriero.protocols.ollama.options import OPTIONS, RETIRED, read_options


def test_each_option_fills_its_own_field() -> None:
    """A value that is not the default must arrive in exactly one field of core."""
    values: dict[str, Any] = {"integer": 17, "float32": 0.625, "boolean": False, "array": ["x"], "string": "q8_0"}
    plain = read_options({})
    for name, option in OPTIONS.items():
        read = read_options({name: values[option.kind]})
        target: SamplingParams | LoadOptions = read.load if option.load else read.sampling
        before: SamplingParams | LoadOptions = plain.load if option.load else plain.sampling
        changed = [field for field in target.__struct_fields__ if getattr(target, field) != getattr(before, field)]
        assert changed == [option.field], name
        assert read.ignored == ()


def test_nothing_given_is_core_defaults() -> None:
    assert read_options({}) == (SamplingParams(), LoadOptions(), ())


def test_a_draft_model_is_named_as_it_is() -> None:
    assert read_options({"draft": "Small:q8_0"}).load == LoadOptions(draft="Small:q8_0")
    assert read_options({"draft": ""}, {"draft": "small"}).load.draft == ""


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("num_ctx", "512", "of type integer"),
        ("num_ctx", True, "of type integer"),
        ("temperature", "hot", "of type float32"),
        ("temperature", False, "of type float32"),
        ("use_mmap", 1, "of type boolean"),
        ("stop", "x", "of type array"),
        ("stop", ["x", 1], "of an array of strings"),
        ("seed", {}, "of type integer"),
    ],
)
def test_wrong_types_have_ollamas_text(name: str, value: Any, kind: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        read_options({name: value})
    assert raised.value.message == f'option "{name}" must be {kind}'


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("temperature", -0.1, "at least 0"),
        ("temperature", 1e39, "at most 3.4028234663852886e+38"),
        ("top_p", 1.1, "between 0 and 1"),
        ("top_p", -1, "between 0 and 1"),
        ("min_p", 2, "between 0 and 1"),
        ("typical_p", -0.5, "between 0 and 1"),
        ("num_ctx", 3, "at least 4"),
        ("num_ctx", 2**40, "at most 2147483647"),
        ("num_predict", -3, "at least -2"),
        ("num_batch", 0, "at least 1"),
        ("num_gpu", -2, "at least -1"),
        ("num_thread", 5000, "between 0 and 4096"),
        ("repeat_last_n", -2, "at least -1"),
        ("repeat_penalty", 0, "greater than 0"),
        ("presence_penalty", float("inf"), "a finite number"),
        ("frequency_penalty", float("nan"), "a finite number"),
        ("seed", 2**63, "a 64-bit integer"),
    ],
)
def test_out_of_range_names_option_and_range(name: str, value: Any, text: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_options({name: value})
    assert raised.value.message == f'option "{name}" must be {text}'
    assert not isinstance(raised.value, InvalidOption)


def test_unknown_and_retired_options_are_named() -> None:
    given = dict.fromkeys(RETIRED, "anything") | {"frob": 1, "top_k": 3}
    assert set(read_options(given).ignored) == {*RETIRED, "frob"}


def test_ways_to_say_unset() -> None:
    read = read_options({"seed": -1, "num_gpu": -1, "num_thread": 0, "num_predict": -2, "stop": [""], "top_p": None})
    assert read == (SamplingParams(), LoadOptions(), ())
    assert read_options({"seed": -2}).sampling.seed == 2**63 - 2


def test_request_over_model_over_default() -> None:
    read = read_options({"top_k": 1}, {"top_k": 2, "min_p": 0.5, "frob": 1})
    assert (read.sampling.top_k, read.sampling.min_p, read.sampling.top_p) == (1, 0.5, 0.9)
    assert read.ignored == ()
