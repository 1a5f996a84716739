"""What goes wrong with a registry, as errors of core's one tree. Texts that Ollama's clients may know are Ollama's."""

from __future__ import annotations

from arriero.core.errors import RegistryError


class NotThere(RegistryError):
    """The registry has no such manifest or blob."""

    def __init__(self) -> None:
        super().__init__("file does not exist")


class AccessDenied(RegistryError):
    """The registry wants other credentials than there are; `why` says what could be done."""

    def __init__(self, why: str = "") -> None:
        super().__init__("unauthorized: access denied" + (f": {why}" if why else ""))


class Refused(RegistryError):
    """The registry answered with an error status and a text: `412: …`, as Ollama shows it.

    `wait` are the seconds after which it wants to be asked again (Retry-After), 0 where it does not say.
    """

    def __init__(self, status: int, text: str, wait: float = 0.0) -> None:
        super().__init__(f"{status}: {text}", status=status)
        self.status, self.wait = status, wait

    @property
    def final(self) -> bool:
        """Whether asking again is no use."""
        return 400 <= self.status < 500 and self.status not in (408, 425, 429)


class Broken(RegistryError):
    """A connection was lost or an answer is not what was asked for; another try may succeed."""


class Stalled(Broken):
    """No byte came for as long as is waited."""


class Unreachable(RegistryError):
    """Nobody answers under the registry's name: it is not known, or refuses connections."""


class NotAllowed(RegistryError):
    """The address must not be spoken to: private, without encryption, or a redirect that leads astray."""
