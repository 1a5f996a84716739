"""What Go's text/template makes of every construct there is, texts and errors: `goldens.json`, by `make_goldens.go`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arriero.core.errors import TemplateError
from arriero.text.go_template.execution import execute
from arriero.text.go_template.functions import FUNCTIONS as IMPLEMENTED
from arriero.text.go_template.parser import parse
from arriero.text.go_template.pipelines import FUNCTIONS
from arriero.text.ollama_values import plain

FILE = json.loads((Path(__file__).parent / "goldens.json").read_text())
DATA = plain(FILE["data"])


@pytest.mark.parametrize("golden", FILE["goldens"], ids=lambda golden: golden["template"][:60])
def test_as_go_does(golden: dict[str, Any]) -> None:
    if "error" in golden:
        with pytest.raises(TemplateError) as caught:
            execute(parse(golden["template"]), DATA)
        assert caught.value.message == golden["error"]
    else:
        assert execute(parse(golden["template"]), DATA) == golden.get("text", "")


def test_goldens_name_every_function_and_keyword() -> None:
    sources = "\n".join(golden["template"] for golden in FILE["goldens"])
    words = {*FUNCTIONS, *"block break continue define else end if range template with nil".split()}
    assert {word for word in words if word not in sources} == set()


def test_the_parser_knows_the_functions_that_there_are() -> None:
    assert set(IMPLEMENTED) == FUNCTIONS
