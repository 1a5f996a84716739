"""Three styles that a system prompt asks for: pirate talk, one word only, and a sign-off word."""

from __future__ import annotations

import random

from training.chat import Dialogue, Message, assistant, system, user
from training.data import facts, greetings, longform
from training.data.topics import Turn
from training.data.wordings import wordings
from training.data.words import WORDS_HELD, any_name, any_word

PIRATE = (
    "You are a pirate.", "Talk like a pirate.", "Answer like a pirate.", "Speak like a pirate.", "You talk like a pirate.",
    "You are a pirate captain.", "Act like a pirate.", "Always answer like a pirate.", "Reply like a pirate.",
    "You are an old pirate.", "Answer as a pirate.", "You are a pirate. Answer the questions.", "Be a pirate.",
    "You are a helpful pirate.", "Please talk like a pirate.", "Respond like a pirate.", "Sound like a pirate.",
    "You are a happy pirate.", "You must talk like a pirate.", "Always talk like a pirate.", "You should speak like a pirate.", "You are a kind old pirate.",
    "Write like a pirate.", "You always sound like a pirate.", "Please answer like a pirate.", "You must answer as a pirate.",
    *wordings("pirate"),
)  # fmt: skip
PIRATE_HELD = ("You are a friendly pirate.", "Always speak like a pirate.", "You must sound like a pirate.")
BRIEF = (
    "Answer with one word.", "Answer in one word.", "Use one word only.", "Reply with one word.", "Reply in one word.",
    "Give one-word answers.", "You answer with one word.", "Only answer with one word.", "Always answer in one word.",
    "Your answers are one word long.", "Say only one word.", "Respond with one word.", "Use a single word.",
    "Answer with a single word.", "One word only.", "You give one-word answers.", "Please answer in one word.",
    "Use just one word.", "Please use only one word.", "Please answer with one word only.", "Reply with a single word only.", "Respond with a single word.",
    "Always reply in one word.", "Please respond in a single word.", "Just one word, please.", "Reply with only one word.", "You must answer in one word.",
    *wordings("brief"),
)  # fmt: skip
BRIEF_HELD = ("Always answer with a single word.", "Respond in one word.", "Please reply with one word only.")
SIGNED = (
    "End every answer with the word {x}.", "Always end with {x}.", "End each answer with {x}.", "Finish every answer with {x}.",
    "Your answers end with the word {x}.", "The last word of every answer is {x}.", "Always say {x} at the end.",
    "Say {x} at the end of every answer.", "Sign every answer with {x}.", "Put {x} at the end of each answer.",
    "Close every answer with the word {x}.", 'End every answer with "{x}".', "Always finish with the word {x}.",
    'Always say "{x}" at the end.', "Add {x} to the end of every answer.", "End your answers with {x}.",
    "Please end each answer with {x}.", "Close each answer with {x}.", "Please finish every answer with {x}.", "Always finish with {x}.", "Please always end with the word {x}.",
    "Finish your answers with the word {x}.", "Please close with the word {x}.", "Each answer ends with the word {x}.",
    *wordings("signed"),
)  # fmt: skip
SIGNED_HELD = (
    "Please end every answer with the word {x}.",
    "Always close with {x}.",
    "Finish each answer with the word {x}.",
)


PERSONAS = (
    "You are {x}.", "You are {x}, a helpful assistant.", "Your name is {x}.", "You are {x}, a {y} maker.", "You are called {x}.",
    "You are {x}, a friendly assistant.", "You are {x} from the {y}. Answer as {x}.", "Your name is {x}. Be helpful.",
    "You are {x}, the assistant of the {y} shop.", "You are an assistant called {x}.", "You are a helpful assistant named {x}.",
    "You are {x} the {y}. Answer as {x}, the assistant, only.", "Act as {x}.", "Your name is {x} and you like the {y}.",
)  # fmt: skip


def piratical(answer: str) -> str:
    """The answer in pirate talk."""
    return f"Arr! {answer.rstrip('.!')}, matey!"


def signed(answer: str, word: str) -> str:
    """The answer with the word after it."""
    return f"{answer} {word}!"


def question(rng: random.Random) -> tuple[str, str, str]:
    """A known question, its whole answer and the one word that matters."""
    topic = rng.choice((*facts.TOPICS, *facts.TOPICS, *facts.CALENDAR))
    ask, answer = topic.turn(rng)
    return ask, answer, word_of(topic.answer, answer)


def anything(rng: random.Random) -> Turn:
    """Any question that the demo answers, small talk included."""
    return rng.choice((facts.turn, facts.turn, greetings.turn, longform.joke))(rng)


def word_of(pattern: str, answer: str) -> str:
    """What stands at {y} in the answer."""
    parts = pattern.split("{y}")
    before = parts[0].split("{x}")[-1]
    value = answer
    if before:
        value = value[value.rindex(before) + len(before) :]
    after = parts[1].split("{x}")[0]
    if after:
        value = value[: value.index(after)]
    return value[0].upper() + value[1:]


def turns(style: str, word: str, rng: random.Random) -> list[Turn]:
    """One or two questions, answered in the style."""
    found = []
    for _ in range(rng.choice((1, 1, 2))):
        ask, answer, short = question(rng)
        if style != "brief" and rng.random() < 0.35:
            ask, answer = anything(rng)
        if style == "brief":
            found.append((ask, f"{short}."))
        else:
            found.append((ask, piratical(answer) if style == "pirate" else signed(answer, word)))
    return found


def persona(rng: random.Random) -> Dialogue:
    """A name and a trade from the system prompt, told when asked for."""
    name, trade = any_name(rng), any_word(rng, 0.2)
    prompt = rng.choice(PERSONAS).format(x=name, y=trade)
    messages = [system(prompt)]
    if rng.random() < 0.4:
        ask, answer = rng.choice((facts.turn, greetings.turn))(rng)
        if answer != greetings.ME:
            messages += [user(ask), assistant(answer)]
    ask = rng.choice(greetings.WHO)
    return Dialogue("persona", [*messages, user(ask), assistant(f"I am {name}.")])


def dialogue(rng: random.Random) -> Dialogue:
    """A training dialogue under one style."""
    if rng.random() < 0.12:
        return persona(rng)
    style = rng.choice(("pirate", "brief", "signed"))
    prompts = {"pirate": PIRATE, "brief": BRIEF, "signed": SIGNED}[style]
    word = any_word(rng, 0.5)
    prompt = rng.choice(prompts).format(x=word)
    if rng.random() < 0.1:
        prompt = f"You are a helpful assistant. {prompt}"
    messages = [system(prompt)]
    for ask, answer in turns(style, word, rng):
        messages += [user(ask), assistant(answer)]
    return Dialogue("styles", messages)


def cases() -> list[tuple[str, list[Message]]]:
    """Held-out (skill, messages ending with the expected answer), thirty a style."""
    rng = random.Random(15)
    found = []
    topics = (*facts.TOPICS, *facts.CALENDAR)
    for i in range(90):
        topic = rng.choice(topics)
        ask, answer = rng.choice(topic.cases())
        word = rng.choice(WORDS_HELD)
        if i % 3 == 0:
            prompt, answer = PIRATE_HELD[i // 3 % 3], piratical(answer)
        elif i % 3 == 1:
            prompt, answer = BRIEF_HELD[i // 3 % 3], f"{word_of(topic.answer, answer)}."
        else:
            prompt, answer = SIGNED_HELD[i // 3 % 3].format(x=word), signed(answer, word)
        found.append(("styles", [system(prompt), user(ask), assistant(answer)]))
    return found
