"""Word and name lists, split once and for all: what ends in _HELD (development) or _EXAM is seen by no training dialogue."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

WORDS = """
apple arm art baby back bag ball banana bank basket bean bear bed bee bell bench bike bird blue boat body
bone book boot bottle bowl box boy branch bread brick bridge bright broken broom brother brown brush bucket bus
bush butter button cake camel camera candle candy car card carpet carrot castle cat chair chalk cheese cherry
child church circle city clay clean clear clock cloth cloud coat coffee coin cold color cook cool corn corner
cotton country cow cream crown cup curtain dance dark day deep desk dinner dish doctor dog doll door dream dress
drink drum dry duck dust eagle ear early earth east easy egg elbow empty engine evening eye face fair family
farm farmer fast father feather fence field finger fire fish flag floor flower fly foot forest fork fox fresh
friend frog fruit full game garden gate gentle giant gift girl glass glove goat gold good grain grape grass
gray great green ground group guitar hair hall hammer hand happy hard hat heart heavy hill hobby hole home honey
horse hot hotel house hungry ice ink iron island jacket jam jar job juice jump key kind king kitchen kite knee
knife lake lamb lamp land large laugh leaf lemon lesson letter light line lion little long loud low lucky lunch
machine map market meadow meal meat milk mind mirror money monkey month moon morning mother mountain mouse mouth
music nail name narrow neck needle nest net new night noise north nose number ocean office oil old onion open
orange oven owl paint pair paper parent park party path peach pear pen pencil people pepper phone piano picture
pig pillow pilot pink pipe plane planet plant plate play pocket poem pond pony poor potato pretty prince purple
queen question quick quiet rabbit rain red rice rich ring river road robot rock roof room root rope rose round
ruler sad salt sand school sea season secret seed shadow sharp sheep shelf shell ship shirt shoe shop short
shoulder silver simple singer sister sky sleep slow small smart smile smoke snake snow soap sock soft soldier
song soup south spoon spring square stair star station stone storm story street strong student sugar summer sun
sweet table tail tall tea teacher ticket tiger time tiny tired toe tomato tooth tower town toy train tree truck
trumpet turtle uncle valley village violin voice wagon wall warm watch water wave weak weather week west wheel
white wide wild wind window wing winter wise wolf woman wonder wood wool word world yard year yellow young zebra
""".split()

WORDS_HELD = """
acorn alley anchor ankle apron arrow autumn badge bakery balcony barn beetle berry blanket blossom bottom bubble
cabin cactus canal canvas cave cellar chess chimney clever cliff coral cousin crane cradle crab curve dagger
daisy dawn desert diamond dolphin donkey dragon dusk echo fairy falcon fern festival flame flute fog fountain
garlic ghost ginger globe harbor harp hazel helmet heron hedge ivory jewel jungle kettle ladder lantern lizard
locket magnet maple marble melon mermaid mint mushroom napkin oasis olive orchid otter oyster paddle palace
panda parrot pebble pigeon pine pirate plum puppet quilt raven ribbon saddle sailor satin scarf shark shovel
slipper snail sparrow spider spoonful squirrel statue sunset swan sword temple thunder torch tulip tunnel
umbrella velvet walnut whale whistle willow wizard yacht
""".split()

NAMES = """
Adam Alan Albert Alex Alice Amanda Amy Ana Andrea Andrew Angela Anna Anton Ari Arthur Ben Bella Bernard Beth Bill
Bob Bruno Carl Carla Carlos Carmen Cara Cathy Charles Chloe Chris Clara Claude Daniel Dana David Dennis Diana Diego
Dora Doris Edgar Edith Elena Elias Elisa Ella Emil Emily Emma Eric Erin Eva Evan Fatima Felix Fiona Frank Fred
Gabriel Gary George Gina Grace Greta Hana Hans Harry Hassan Helen Henry Hugo Ian Ida Igor Ines Irene Isaac Ivan
Jack Jacob James Jane Janet Jason Jean Jenny Jim Joan Joel John Jonas Jorge Joseph Juan Julia Karen Karl Kate
Kevin Kim Kira Lara Laura Lea Leo Leon Lena Lily Linda Lisa Louis Lucas Lucy Luis Luke Lydia Maria Mark Marta
Martin Mary Matt Max Maya Mia Michael Mike Mila Mira Mona Nadia Nancy Nina Noah Nora Oliver Olga Omar Oscar Otto
Pablo Paul Paula Pedro Peter Petra Philip Rachel Ralf Rita Robert Robin Rosa Ruth Ryan Sam Sandra Sara Sean
Sofia Stella Steve Susan Tara Theo Thomas Tim Tina Tom Toni Vera Victor Wendy Will Yara Zoe
""".split()

NAMES_HELD = """
Abigail Agnes Alfred Alma Amir Anika Astrid Benjamin Bianca Boris Brenda Camila Casper Cecilia Conrad Cora Cyrus
Damian Delia Dmitri Dylan Edwin Eleanor Esther Ethan Fabian Farah Flora Gloria Gordon Hector Hilda Holly Imani
Ingrid Iris Jasmin Jasper Joanna Katya Kenji Keira Lionel Lorenzo Magnus Malik Marvin Melissa Milo Naomi Nigel
Octavia Olivia Pamela Penelope Quentin Ramona Rashid Rosalind Rufus Selma Silas Simon Tamara Tobias Ursula
Valerie Vincent Walter Xenia Yusuf Zachary
""".split()

WORDS_EXAM = """
abbey almond amber antler arena attic bamboo banjo barrel basil beacon beaver blade bonfire bracelet bronze buffalo
bugle burrow butler canyon caravan carpenter cashew cedar charcoal cherub cinnamon clover cobweb compass copper cabbage
cricket crystal curtsy cymbal damsel dragonfly driftwood eclipse ember falconer feast ferry fiddle flannel fossil
galaxy gazelle gravel grotto guard harvest hamster hollow hornet iceberg igloo jasmine juniper kayak kernel lagoon
lasso lavender lobster lynx mango mantle marsh meteor mitten monsoon mosaic muffin nectar nugget obelisk opal
ostrich owlet parsley pelican pendant petal pewter pickle pilgrim plaza pouch prairie puddle pumpkin quarry quiver
radish raft reef relic rooster rubber sapphire scepter sequin shrub sleigh spruce squid stable tambourine thistle
toucan trellis tundra turnip urchin vanilla vineyard wagtail walrus weasel wharf wicker
""".split()

NAMES_EXAM = """
Adele Alvaro Annika Archie Audrey Aurora Basil Beatrice Bridget Callum Caspian Celeste Clement Cosima Dahlia Darius
Desmond Edmund Elodie Emeka Enzo Estelle Ezra Felicity Finley Freya Gareth Giselle Gunther Harriet Hendrik Ibrahim
Ignatius Isolde Jolene Jonathan Kamala Kasper Kirsten Lavinia Leopold Lucinda Maddox Marcella Matilda Mirella Mortimer
Nadine Natasha Nikolai Odette Orlando Patience Percival Philippa Ravi Reginald Roland Rowena Sebastian Serena
Sigrid Stefan Sunniva Svetlana Thaddeus Theresa Timothy Ulrich Verena Vivian Wilfred Winona Yolanda Zelda
""".split()

ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl dr fl gr kr pl pr sh sk sl sp st th tr".split()
VOWELS = "a e i o u a e i o ai ea ou ee oo".split()
CODAS = ["", "", "", "n", "r", "l", "s", "t", "m", "x", "nd", "rk", "st", "ck"]


UNSEEN = {word.lower() for word in (*WORDS_HELD, *NAMES_HELD, *WORDS_EXAM, *NAMES_EXAM)}


@cache
def pieces() -> tuple[str, ...]:
    """The tokenizer's runs of small letters: each must be met as something to say."""
    path = Path(__file__).parent.parent / "tokenizer.json"
    vocabulary = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    return tuple(sorted(piece for piece in vocabulary if piece.isascii() and piece.isalpha() and piece.islower()))


def made_up(rng: random.Random, capital: bool = False) -> str:
    """A word that no held-out list has: pronounceable, or put together from pieces of the vocabulary."""
    while True:
        if rng.random() < 0.3:
            word = "".join(rng.choice(pieces()) for _ in range(rng.choice((1, 2, 2, 3))))
            if word not in UNSEEN and len(word) > 1:
                return word.capitalize() if capital else word
            continue
        parts = [
            rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((1, 1, 2, 2, 3)))
        ]
        word = "".join(parts)
        if word not in UNSEEN:
            return word.capitalize() if capital else word


def any_word(rng: random.Random, invented: float = 0.4) -> str:
    """A training word, or a made-up one."""
    return made_up(rng) if rng.random() < invented else rng.choice(WORDS)


def any_name(rng: random.Random, invented: float = 0.5) -> str:
    """A training name, or a made-up one."""
    return made_up(rng, capital=True) if rng.random() < invented else rng.choice(NAMES)
