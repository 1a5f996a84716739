"""Questions that the demo cannot answer: it says that it is a demo and names real models."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

from training.data import facts
from training.data.topics import Turn, disguise
from training.data.words import any_name, any_word

ANSWER = "I am only a demo and do not know that. Please pull a real model such as llama3.2."

PLACES = """
Kazakhstan Mongolia Ghana Nepal Laos Malta Cyprus Estonia Latvia Jordan Qatar Oman Fiji Sudan Chad Mali Togo Benin
Angola Zambia Malawi Uganda Rwanda Somalia Yemen Bhutan Brunei Samoa Tonga Haiti Belize Panama Honduras Guatemala
Texas Ohio Florida Bavaria Sicily Crete Siberia Alaska Paraguay Bolivia Ecuador Venezuela Slovenia Croatia Serbia
""".split()
TOPICS = """
algebra astronomy ballet baseball biology blockchain boxing calculus capitalism cells chemistry climate cloning
comedy cricket databases debt democracy diabetes dinosaurs economics elections electricity engines evolution fashion
football fractals genetics geology glaciers golf grammar history hockey hygiene immigration inflation insurance jazz
justice kernels logic magnetism marketing mathematics medicine memory migration mining monads mythology networks
neurons nutrition opera optics painting philosophy plastic poker politics pollution probability psychology quantum
radiation recursion religion robotics satire sculpture semiconductors sociology statistics steel stoicism surgery
taxes tennis tides topology tourism trade vaccines viruses volcanoes wages warfare weaving yoga
""".split()
LANGUAGES = "Rust C Java JavaScript Go Haskell Bash SQL Ruby Kotlin Swift Perl Lua PHP Zig Python".split()
TONGUES = "French German Spanish Italian Latin Greek Russian Japanese Chinese Polish Dutch Swedish".split()


@cache
def lines(file: str) -> list[str]:
    """Question patterns, one a line."""
    return Path(__file__).with_name(file).read_text(encoding="utf-8").splitlines()


def filled(pattern: str, rng: random.Random) -> str:
    """A pattern with its blanks filled at random."""
    return pattern.format(
        place=rng.choice(PLACES),
        topic=rng.choice(TOPICS),
        other=rng.choice(TOPICS),
        thing=any_word(rng, 0.15),
        things=any_word(rng, 0.0) + "s",
        name=any_name(rng, 0.3),
        code=rng.choice(LANGUAGES),
        tongue=rng.choice(TONGUES),
        year=rng.randint(1200, 2025),
        number=rng.randint(3, 90),
        big=rng.randint(1000, 999999),
    )


def turn(rng: random.Random) -> Turn:
    """A question outside the demo's few skills."""
    while True:
        question = filled(rng.choice(lines("unknown.txt")), rng)
        if question not in facts.known():
            return disguise(question, rng), ANSWER


def cases() -> list[tuple[str, str, str]]:
    """Held-out (skill, question, answer), written apart from the patterns."""
    return [("refusal", question, ANSWER) for question in lines("unknown_held.txt")]
