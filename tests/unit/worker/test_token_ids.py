"""Token ids that the vocabulary does not have are refused, with the field that names them."""

from __future__ import annotations

import pytest

from arriero.core.errors import InvalidRequest
from arriero.core.request import SamplingParams
from arriero.worker.token_ids import check_sampling, check_tokens, text_of
from tests.unit.worker.letters import Letters


@pytest.mark.parametrize("token", [-1, 258])
def test_a_token_outside_of_the_vocabulary(token: int) -> None:
    with pytest.raises(InvalidRequest, match=f"token {token} is not in the model's vocabulary of 258"):
        check_tokens([0, 257, token], 258)
    with pytest.raises(InvalidRequest) as caught:
        text_of([token], Letters())
    assert caught.value.details == {"param": "tokens"}


@pytest.mark.parametrize("field", ["logit_bias", "stop_token_ids"])
def test_the_field_is_named(field: str) -> None:
    good = SamplingParams(logit_bias=((5, 1.0),), stop_token_ids=(6,))
    check_sampling(good, 7)
    bad = SamplingParams(logit_bias=((7, 1.0),)) if field == "logit_bias" else SamplingParams(stop_token_ids=(7,))
    with pytest.raises(InvalidRequest) as caught:
        check_sampling(bad, 7)
    assert caught.value.details == {"param": field}


def test_what_tokens_read_as() -> None:
    assert text_of([104, 105, 0xC3], Letters()) == "hi\ufffd"
