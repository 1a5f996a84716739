"""Faces: the models that one worker answers as. They share weights and differ in templates and LoRA adapters."""

from __future__ import annotations

from collections.abc import Collection

from arriero.core.errors import InvalidRequest
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest
from arriero.core.runner import Adapters
from arriero.core.tokenizer import LoadedModel
from arriero.worker.plans import Plans
from arriero.worker.prompt import PromptBuilder
from arriero.worker.special_tokens import SpecialTokens
from arriero.worker.templates import Templates


class Face:
    """What a request needs of the model that it names, beside the weights: prompts, masks' plans, adapters."""

    def __init__(self, spec: ModelSpec, model: LoadedModel, *, hold_calls: bool, adapters: Adapters = ()) -> None:
        """TemplateError for a template that does not compile."""
        self.name = spec.name
        own = spec.chat_template or model.chat_template
        self.templates = Templates(spec, own, model.tokenizer)
        self.prompts = PromptBuilder(model.tokenizer, self.templates, model.runner.info.max_sequence_tokens)
        self.plans = Plans(spec, own, hold_calls=hold_calls)
        self.special_tokens = SpecialTokens(spec, own, model.tokenizer)
        self.adapters = adapters

    def adapters_of(self, request: GenerateRequest) -> Adapters:
        """The adapters that `request` is computed with: those of the model, as strongly as it wants them."""
        if request.adapter_scales is None:
            return self.adapters
        wanted = zip(self.adapters, request.adapter_scales, strict=False)
        return tuple((path, own * scale) for (path, own), scale in wanted if scale)


class Faces:
    """The faces of one loaded model by key; the one that it was loaded as has the key ""."""

    def __init__(self, spec: ModelSpec, model: LoadedModel, *, hold_calls: bool) -> None:
        """TemplateError as for a Face. The adapters of `spec` are the runner's own, in every step."""
        self._model, self._hold_calls = model, hold_calls
        self._faces = {"": Face(spec, model, hold_calls=hold_calls)}
        self.shared = False
        """Whether another one was ever attached."""

    def __getitem__(self, key: str) -> Face:
        """The face of that key; InvalidRequest where it was never attached."""
        try:
            return self._faces[key]
        except KeyError:
            raise InvalidRequest(f"this worker does not serve {key}") from None

    def make(self, spec: ModelSpec) -> Face:
        """Return the face of `spec`, not known yet. TemplateError as for a Face."""
        adapters = tuple((path, 1.0) for path in spec.adapters)
        return Face(spec, self._model, hold_calls=self._hold_calls, adapters=adapters)

    def attach(self, key: str, face: Face) -> int:
        """Load the adapters of `face` and know it as `key`; return the bytes of adapters that were new.

        For the thread that owns the runner. ModelLoadError for an adapter that cannot be loaded.
        """
        size = 0
        for path, _ in face.adapters:
            if self._model.add_adapter is None:
                raise InvalidRequest("this model's runner takes no adapters")
            size += self._model.add_adapter(path)
        self._faces[key] = face
        self.shared = True
        return size

    def detach(self, key: str, in_use: Collection[str]) -> None:
        """Forget the face of that key, and free its adapters where no other has them and they are not `in_use`.

        For the thread that owns the runner.
        """
        face, drop = self._faces.pop(key, None), self._model.drop_adapter
        if face is None or drop is None:
            return
        kept = {path for other in self._faces.values() for path, _ in other.adapters}.union(in_use)
        for path in {path for path, _ in face.adapters} - kept:
            drop(path)
