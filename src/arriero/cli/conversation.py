"""What a chat knows between two inputs."""

from __future__ import annotations

from dataclasses import dataclass, field

from arriero.cli.settings import Settings
from arriero.client import Client, Message


@dataclass
class Conversation:
    """The server, how to ask it, and the turns so far."""

    client: Client
    settings: Settings
    messages: list[Message] = field(default_factory=list)
