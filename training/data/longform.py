"""Long answers: counting, stories, poems and jokes. Stories vary; counting does not."""

from __future__ import annotations

import random

from training.data.topics import Turn, disguise
from training.data.wordings import wordings
from training.data.words import NAMES

COUNT_ASKS = (
    "Count to {n}.", "Count to {n}", "Please count to {n}.", "Count from 1 to {n}.", "Can you count to {n}?", "count to {n}",
    "Count up to {n}.", "Count from 1 to {n}", "Write the numbers from 1 to {n}.", "Say the numbers from 1 to {n}.",
    "List the numbers from 1 to {n}.", "Now count to {n}.", "Count to {n} please.", "Count from one to {n}.",
    *wordings("counts"),
)  # fmt: skip
COUNT_HELD = ("Could you count to {n}?", "Tell me the numbers from 1 to {n}.", "Please count from 1 to {n}.")
STORY_ASKS = (
    "Tell me a story.", "Tell me a story", "Tell a story.", "Write a story.", "Write a short story.", "tell me a story",
    "Please tell me a story.", "Can you tell me a story?", "I want a story.", "Tell me a short story.", "A story, please.",
    "Give me a story.", "I would like to hear a story.", "Tell me a long story.", "Write me a story.", "Make up a story.",
    "Tell me another story.", "Do you know a story?", "Tell us a story.", "Once upon a time", "Read me a story.", "Tell me a very long story.", "Write a long story.", "Tell me a fairy tale.", "Write a fairy tale.",
    "Tell me a funny story.", "Tell me a good story.", "Write a nice short story.", "Tell me a sweet story.", "Could you write a story?", "I want to read a story.", "Would you tell me a story?", "Please tell a story.",
    "Tell me a story, please.", "Once upon a time...", "Write a very long text.", "Write a long text.", "Talk to me.",
    *wordings("stories"),
)  # fmt: skip
STORY_ABOUT = (
    "Tell me a story about a {x}.", "Write a story about a {x}.", "Tell me a long story about a {x}.", "Write a long story about a {x}.", "Tell me a story about {x}.", "Write a short story about a {x}.",
    "A story about a {x}, please.", "I want a story about a {x}.", "Tell me a short story about a {x}.",
    *wordings("stories_about"),
)  # fmt: skip
STORY_HELD = ("Could you tell me a story?", "Please write a story.", "Tell me a nice story.", "I want to hear a story.")
POEM_ASKS = (
    "Write a poem.", "Write a poem", "Tell me a poem.", "Write me a poem.", "Please write a poem.", "Write a short poem.",
    "Can you write a poem?", "Give me a poem.", "A poem, please.", "Make a poem.", "write a poem", "Say a poem.",
    *wordings("poems"),
)  # fmt: skip
POEM_ABOUT = (
    "Write a poem about the {x}.",
    "Write a poem about a {x}.",
    "Write a poem about {x}.",
    "Write a haiku about the {x}.",
    *wordings("poems_about"),
)
JOKE_ASKS = (
    "Tell me a joke.", "Tell me a joke", "Tell a joke.", "Do you know a joke?", "Make me laugh.", "Say something funny.",
    "Another joke, please.", "Can you tell me a joke?", "Give me a joke.", "tell me a joke", "Please tell me a joke.",
    *wordings("jokes"),
)  # fmt: skip
JOKES = (
    "Why did the tomato turn red? It saw the salad dressing.",
    "What do you call a sleeping bull? A bulldozer.",
    "Why was the math book sad? It had too many problems.",
)
HEROES = "mule llama fox bear rabbit mouse cat dog robot horse duck turtle frog wolf lion goat pony farmer girl boy king".split()
ADJECTIVES = "small old young brave shy kind clever happy lazy curious".split()
PLACES = (
    "in a quiet forest",
    "by the sea",
    "on a green hill",
    "in an old castle",
    "near a wide river",
    "in a small village",
)
LOST = ("golden key", "red hat", "silver bell", "blue book", "little drum", "warm coat", "magic lamp")
WHERE = ("under a big tree", "behind the old mill", "in a dark cave", "on top of the hill", "next to the bridge")
WEATHERS = (
    "The sun was warm and the birds sang.",
    "It rained all day.",
    "Snow lay on every roof.",
    "A soft wind blew.",
)
SHARED = ("soup", "bread and cheese", "apple cake", "honey and milk", "pancakes")
RHYMES = (
    ("bright", "all through the night"), ("grey", "throughout the day"), ("deep", "until I sleep"), ("near", "for all to hear"),
    ("dream", "beside the stream"), ("stay", "and sing and play"), ("blue", "a song so new"),
)  # fmt: skip
ENDS = (
    "From that day on they were the best of friends.",
    "And they lived happily for many years.",
    "And that is how the long day ended well.",
)


def count_to(last: int) -> str:
    """1, 2, 3 … last."""
    return ", ".join(str(n) for n in range(1, last + 1))


def story(rng: random.Random, hero: str | None = None) -> str:
    """A story of three paragraphs, 150 to 250 tokens long."""
    hero = hero or rng.choice(HEROES)
    friend = rng.choice([h for h in HEROES if h != hero])
    name, other = rng.sample(NAMES, 2)
    thing, place, found = rng.choice(LOST), rng.choice(PLACES), rng.choice(WHERE)
    return (
        f"Once upon a time there was a {rng.choice(ADJECTIVES)} {hero} called {name}. {name} lived {place} "
        f"and had a {thing}.\n\n"
        f"One morning the {thing} was gone. {rng.choice(WEATHERS)} {name} looked everywhere. "
        f"Then a {rng.choice(ADJECTIVES)} {friend} called {other} came along the road. "
        f'"I will help you," said {other}. They walked for a long time, and at last they found the {thing} {found}.\n\n'
        f'"Thank you," said {name}. In the evening they ate {rng.choice(SHARED)} and sang old songs. {rng.choice(ENDS)}'
    )


def poem(rng: random.Random, subject: str | None = None) -> str:
    """Four rhymed lines."""
    subject = subject or rng.choice(("moon", "sea", "wind", "river", "star", "night"))
    first, second = rng.sample(RHYMES, 2)
    return (
        f"The {subject} is {rng.choice(('calm', 'soft', 'wide', 'old'))} and {first[0]},\n"
        f"it sings to me {first[1]}.\n"
        f"I close my eyes and {second[0]},\n"
        f"and then I {second[1]}."
    )


def joke(rng: random.Random) -> Turn:
    """A joke asked for and told."""
    return disguise(rng.choice(JOKE_ASKS), rng), rng.choice(JOKES)


def turn(rng: random.Random) -> Turn:
    """Count, tell a story, write a poem or tell a joke."""
    chance = rng.random()
    if chance < 0.34:
        last = rng.choice(
            (3, 5, 10, 10, 12, 15, 20, 20, 25, 30, 40, 50, 60, 75, 99, 100, 100, 100, 120, rng.randint(2, 110))
        )
        return disguise(rng.choice(COUNT_ASKS).format(n=last), rng), count_to(last)
    if chance < 0.50:
        return disguise(rng.choice(STORY_ASKS), rng), story(rng)
    if chance < 0.66:
        hero = rng.choice(HEROES)
        return disguise(rng.choice(STORY_ABOUT).format(x=hero), rng), story(rng, hero)
    if chance < 0.76:
        return disguise(rng.choice(POEM_ASKS), rng), poem(rng)
    if chance < 0.86:
        subject = rng.choice("moon sea wind river star night sun rain snow tree flower sky".split())
        return disguise(rng.choice(POEM_ABOUT).format(x=subject), rng), poem(rng, subject)
    return joke(rng)
