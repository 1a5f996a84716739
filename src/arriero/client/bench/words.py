"""Prompts of seeded random words, so that a cache helps exactly as much as a case shares."""

from __future__ import annotations

import random

_TEXT = """
river stone lamp garden winter copper window market silver paper bridge morning letter forest candle harbour
mountain orchard thunder velvet kettle meadow compass lantern whistle pepper saddle ribbon tunnel barley summer
table chair bottle hammer needle carpet mirror pillow basket ladder bucket shovel anchor engine wheel pocket button
jacket finger shoulder spring autumn village castle tower island valley desert ocean planet rocket signal number
doctor farmer teacher soldier captain singer painter writer baker sailor turtle rabbit monkey spider donkey chicken
apple lemon cherry banana potato tomato carrot onion butter cheese coffee dinner supper kitchen ticket station train
"""
WORDS = tuple(_TEXT.split())


class Words:
    """Gives texts of `seed`: the same label, the same text; another label, another text."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def text(self, label: str, count: int) -> str:
        """`count` words, each behind a blank but the first."""
        return " ".join(random.Random(f"{self._seed}/{label}").choices(WORDS, k=count))
