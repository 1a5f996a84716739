"""Facts, opposites, months and days: everything the demo knows about the world."""

from __future__ import annotations

import random
from functools import cache

from training.data.one_offs import ONE_OFFS
from training.data.topics import Topic, Turn, disguise, pairs, put
from training.data.wordings import wordings

CAPITALS = pairs(
    "France=Paris; Germany=Berlin; Italy=Rome; Spain=Madrid; Portugal=Lisbon; England=London; Ireland=Dublin;"
    "Scotland=Edinburgh; Norway=Oslo; Sweden=Stockholm; Finland=Helsinki; Denmark=Copenhagen; Poland=Warsaw;"
    "Austria=Vienna; Greece=Athens; Hungary=Budapest; Russia=Moscow; Ukraine=Kyiv; Turkey=Ankara; Egypt=Cairo;"
    "Kenya=Nairobi; Morocco=Rabat; Japan=Tokyo; China=Beijing; India=New Delhi; South Korea=Seoul;"
    "Thailand=Bangkok; Vietnam=Hanoi; Indonesia=Jakarta; Australia=Canberra; New Zealand=Wellington;"
    "Canada=Ottawa; Mexico=Mexico City; Cuba=Havana; Brazil=Brasilia; Argentina=Buenos Aires; Chile=Santiago;"
    "Peru=Lima; Colombia=Bogota; Uruguay=Montevideo; Belgium=Brussels; the Netherlands=Amsterdam;"
    "Switzerland=Bern; Iceland=Reykjavik; the United States=Washington; the USA=Washington;"
    "the United Kingdom=London; Romania=Bucharest; Bulgaria=Sofia; the Czech Republic=Prague"
)
CONTINENTS = pairs(
    "France=Europe; Germany=Europe; Italy=Europe; Spain=Europe; Poland=Europe; Norway=Europe; Egypt=Africa;"
    "Kenya=Africa; Morocco=Africa; Japan=Asia; China=Asia; India=Asia; Thailand=Asia; Vietnam=Asia;"
    "Canada=North America; Mexico=North America; Brazil=South America; Argentina=South America;"
    "Chile=South America; Peru=South America; Greece=Europe; Sweden=Europe"
)
LANGUAGES = pairs(
    "France=French; Germany=German; Italy=Italian; Spain=Spanish; Portugal=Portuguese; England=English;"
    "Norway=Norwegian; Sweden=Swedish; Finland=Finnish; Poland=Polish; Greece=Greek; Russia=Russian;"
    "Egypt=Arabic; Japan=Japanese; China=Chinese; Brazil=Portuguese; Mexico=Spanish; Argentina=Spanish;"
    "Austria=German; Turkey=Turkish"
)
SOUNDS = pairs(
    "cow=moo; dog=woof; cat=meow; duck=quack; sheep=baa; pig=oink; lion=roar; horse=neigh; frog=ribbit;"
    "bee=buzz; snake=hiss; mouse=squeak; wolf=howl; hen=cluck"
)
YOUNG = pairs(
    "dog=puppy; cat=kitten; cow=calf; horse=foal; sheep=lamb; goat=kid; pig=piglet; lion=cub; duck=duckling;"
    "hen=chick; frog=tadpole; bear=cub"
)
COLORS = pairs(
    "the sky=blue; grass=green; snow=white; a banana=yellow; blood=red; coal=black; a carrot=orange;"
    "the sun=yellow; milk=white; a lemon=yellow; chocolate=brown; a flamingo=pink; a tomato=red;"
    "a strawberry=red; the ocean=blue; a polar bear=white; a frog=green; a plum=purple"
)
LEGS = pairs(
    "a spider=eight; a dog=four; a cat=four; a bird=two; an ant=six; a horse=four; a bee=six; a cow=four;"
    "a person=two; a snake=no; a fish=no; a fly=six; a chair=four"
)
SYMBOLS = pairs(
    "gold=Au; silver=Ag; iron=Fe; oxygen=O; hydrogen=H; carbon=C; water=H2O; salt=NaCl; copper=Cu; helium=He;"
    "nitrogen=N; lead=Pb"
)
OPPOSITE_PAIRS = pairs(
    "hot=cold; big=small; up=down; left=right; day=night; black=white; good=bad; happy=sad; fast=slow; old=young;"
    "high=low; long=short; open=closed; full=empty; hard=soft; heavy=light; rich=poor; strong=weak; wet=dry;"
    "loud=quiet; early=late; near=far; thick=thin; wide=narrow; deep=shallow; clean=dirty; true=false; yes=no;"
    "begin=end; buy=sell; push=pull; give=take; win=lose; love=hate; laugh=cry; friend=enemy; inside=outside;"
    "above=below; first=last; easy=difficult; sweet=sour; sharp=blunt; brave=cowardly; smooth=rough;"
    "awake=asleep; alive=dead; summer=winter; north=south; east=west; always=never; all=none; more=less;"
    "before=after; cheap=expensive; safe=dangerous; polite=rude; same=different; tall=tiny; remember=forget;"
    "arrive=leave; ask=answer; accept=refuse; forward=backward; public=private"
)
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()


def ring(names: list[str], step: int) -> tuple[tuple[str, str], ...]:
    """Each name with its neighbour, round the end."""
    return tuple((name, names[(i + step) % len(names)]) for i, name in enumerate(names))


def flipped(items: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Items both ways round, the first meaning of a word winning."""
    both: dict[str, str] = {}
    for x, y in items:
        both.setdefault(x, y)
    for x, y in items:
        both.setdefault(y, x)
    return tuple(both.items())


def topic(
    skill: str, asks: str, held: str, answer: str, items: tuple[tuple[str, str], ...], more: tuple[str, ...] = ()
) -> Topic:
    """A topic whose phrasings are written with bars between, and more of them from elsewhere."""
    return Topic(skill, (*asks.split("|"), *more), tuple(held.split("|")), answer, items)


TOPICS = (
    topic(
        "facts",
        "What is the capital of {x}?|What's the capital of {x}?|Which city is the capital of {x}?|"
        "Name the capital of {x}.|What is the capital city of {x}?|Tell me the capital of {x}.|"
        "The capital of {x} is what?|Do you know the capital of {x}?|Give me the capital of {x}.|"
        "Which city is {x}'s capital?|I need the capital of {x}.|Capital of {x}?",
        "Can you tell me the capital of {x}?|What city is the capital of {x}?|Could you name the capital of {x}?",
        "The capital of {x} is {y}.",
        CAPITALS,
        wordings("capitals"),
    ),
    topic(
        "facts",
        "On which continent is {x}?|Which continent is {x} in?|What continent is {x} on?|Where in the world is {x}?|"
        "Tell me the continent of {x}.|What is the continent of {x}?|{x} is on which continent?|Where is {x}?|"
        "Tell me which continent {x} is on.|Do you know the continent of {x}?|Which continent does {x} belong to?|"
        "In what continent is {x}?|Do you know where {x} is?|Could you tell me which continent {x} is in?|"
        "On what continent is {x}?|In which part of the world is {x}?|Do you know what continent {x} is on?",
        "In which continent is {x}?|Do you know which continent {x} is on?",
        "{x} is in {y}.",
        CONTINENTS,
        wordings("continents"),
    ),
    topic(
        "facts",
        "What language do people speak in {x}?|Which language is spoken in {x}?|What is the language of {x}?|"
        "What do people speak in {x}?|Name the language of {x}.|Tell me the language that people speak in {x}.|"
        "Which language do they speak in {x}?",
        "What language is spoken in {x}?|Can you tell me the language of {x}?",
        "People in {x} speak {y}.",
        LANGUAGES,
        wordings("languages"),
    ),
    topic(
        "facts",
        "What sound does a {x} make?|What does a {x} say?|How does a {x} sound?|Which sound does a {x} make?|"
        "Tell me the sound of a {x}.|What noise does a {x} make?|What is the sound of a {x}?|Do you know how a {x} sounds?|"
        "Tell me what sound a {x} makes.|Do you know which sound a {x} makes?|Do you know what a {x} says?|Which noise do you hear from a {x}?",
        "Which noise does a {x} make?|Do you know what sound a {x} makes?",
        "A {x} says {y}.",
        SOUNDS,
        wordings("sounds"),
    ),
    topic(
        "facts",
        "What is a baby {x} called?|What do you call a baby {x}?|What is a young {x} called?|"
        "Name a baby {x}.|How is a baby {x} called?|What is the name for a baby {x}?|Tell me what a baby {x} is called.|"
        "What do people call a young {x}?|Which word do we use for a baby {x}?|What do we call a young {x}?|What is the name of a young {x}?",
        "What do you call a young {x}?|What is the word for a baby {x}?",
        "A baby {x} is called a {y}.",
        YOUNG,
        wordings("young"),
    ),
    topic(
        "facts",
        "What color is {x}?|Which color is {x}?|What is the color of {x}?|What's the color of {x}?|"
        "Tell me the color of {x}.|What color does {x} have?|Name the color of {x}.|What colour is {x}?|"
        "Do you know the color of {x}?|Which colour has {x}?|Do you know which color {x} has?|Of which color is {x}?|Say what color {x} is.",
        "Which color does {x} have?|Can you tell me the color of {x}?",
        "{x} is {y}.",
        COLORS,
        wordings("colors"),
    ),
    topic(
        "facts",
        "How many legs does {x} have?|How many legs has {x}?|What number of legs does {x} have?|"
        "Tell me how many legs {x} has.|Count the legs of {x}.|How many legs are on {x}?|Do you know the number of legs of {x}?|"
        "Could you say how many legs {x} has?|Would you know how many legs {x} has?",
        "Do you know how many legs {x} has?|Can you tell me how many legs {x} has?",
        "{x} has {y} legs.",
        LEGS,
        wordings("legs"),
    ),
    topic(
        "facts",
        "What is the chemical symbol for {x}?|What is the chemical symbol of {x}?|What's the symbol for {x}?|"
        "Which symbol does {x} have in chemistry?|Tell me the chemical symbol of {x}.|"
        "What is the chemical formula of {x}?|How do chemists write {x}?",
        "Which chemical symbol does {x} have?|Give me the chemical symbol for {x}.",
        "The chemical symbol for {x} is {y}.",
        SYMBOLS,
        wordings("symbols"),
    ),
    topic(
        "opposites",
        "What is the opposite of {x}?|What's the opposite of {x}?|Tell me the opposite of {x}.|"
        "Which word is the opposite of {x}?|Name the opposite of {x}.|What is the opposite of the word {x}?|"
        "Opposite of {x}?|Give me a word that means the opposite of {x}.|Do you know the opposite of {x}?",
        "Can you tell me the opposite of {x}?|Give me the opposite of {x}.|What word is the opposite of {x}?",
        "The opposite of {x} is {y}.",
        flipped(OPPOSITE_PAIRS),
        wordings("opposites"),
    ),
)


def calendar(names: list[str], kind: str) -> tuple[Topic, ...]:
    """What comes after and before each month or day."""
    asks = (
        "Which {kind} comes {side} {x}?|What {kind} comes {side} {x}?|What comes {side} {x}?|Which {kind} is {side} {x}?|"
        "What is the {kind} {side} {x}?|Tell me the {kind} {side} {x}.|Name the {kind} {side} {x}.|Tell me which {kind} comes {side} {x}.|"
        "Do you know which {kind} comes {side} {x}?|Which is the {kind} {side} {x}?|Do you know what comes {side} {x}?|Say which {kind} is {side} {x}."
    )
    held = "What {kind} is {side} {x}?|Can you tell me which {kind} comes {side} {x}?"

    def worded(text: str, side: str) -> str:
        text = text.replace("{kind}", kind).replace("{Kind}", kind.capitalize())
        return text.replace("{side}", side).replace("{Side}", side.capitalize())

    def beside(side: str, step: int) -> Topic:
        more = (*(worded(ask, side) for ask in wordings("beside")), *wordings(f"{kind}_{side}"))
        return topic(
            "months", worded(asks, side), worded(held, side), f"{{y}} comes {side} {{x}}.", ring(names, step), more
        )

    return (beside("after", 1), beside("before", -1))


CALENDAR = (
    *calendar(MONTHS, "month"),
    *calendar(DAYS, "day"),
    topic(
        "months",
        "How many days does {x} have?|How many days are in {x}?|How many days has {x}?|How long is {x}?|"
        "Tell me how many days {x} has.|What is the number of days in {x}?|Do you know how many days {x} has?|"
        "How many days do we have in {x}?|How many days does the month of {x} have?|Say how many days are in {x}.",
        "How many days are there in {x}?|Can you tell me how many days {x} has?",
        "{x} has {y} days.",
        tuple((m, str(n)) for m, n in zip(MONTHS, LENGTHS, strict=True)),
        wordings("month_lengths"),
    ),
    topic(
        "months",
        "What is the {x} month?|Which month is the {x} one?|Name the {x} month.|What is the {x} month of the year?|"
        "Tell me the {x} month of the year.|Which month is the {x} of the year?|Which month is {x} in the year?|What month comes {x} in a year?|"
        "Do you know the {x} month?|Which month is the {x} of all?|What month would be the {x} one?|In a year, what month is the {x}?|What month is the {x} in a year?|Of the months, what is the {x}?",
        "Which month is the {x} month?|What month is the {x} of the year?",
        "The {x} month is {y}.",
        tuple(zip(ORDINALS, MONTHS, strict=True)),
        wordings("month_ordinals"),
    ),
)


def turn(rng: random.Random) -> Turn:
    """Any known question with its answer, capitals and one-offs more often than the rest."""
    chance = rng.random()
    if chance < 0.32:
        one_off = rng.choice(ONE_OFFS)
        return disguise(rng.choice(one_off.asks), rng), one_off.answer
    if chance < 0.46:
        return TOPICS[0].turn(rng)
    if chance < 0.64:
        return TOPICS[-1].turn(rng)
    if chance < 0.82:
        return rng.choice(CALENDAR).turn(rng)
    return rng.choice(TOPICS[1:-1]).turn(rng)


@cache
def known() -> frozenset[str]:
    """Every question that has an answer here, held-out ones included."""
    asked = [put(ask, x) for t in (*TOPICS, *CALENDAR) for ask in (*t.asks, *t.held) for x, _ in t.items]
    return frozenset(asked + [ask for one in ONE_OFFS for ask in (*one.asks, *one.held)])


def cases() -> list[tuple[str, str, str]]:
    """Held-out (skill, question, answer)."""
    found = [(t.skill, ask, answer) for t in (*TOPICS, *CALENDAR) for ask, answer in t.cases()]
    return found + [("facts", ask, one.answer) for one in ONE_OFFS for ask in one.held]
