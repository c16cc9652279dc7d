"""Looks: build, skin, hair, clothes, bag and gait of a person, which stay the same wherever the person goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np

from reid.types import AnyArray
from simulation.fabric import Colour, Fabric, Pattern, Strap

_OptionT = TypeVar("_OptionT")

Difficulty = Literal["easy", "medium", "hard"]
HairStyle = Literal["bald", "short", "bob", "long", "bun", "cap"]
Legwear = Literal["trousers", "shorts", "skirt", "dress"]
Sleeves = Literal["long", "short"]
Bag = Literal["none", "backpack", "shoulder_bag", "handbag"]

_TOPS: dict[str, Colour] = {
    "white": (232, 234, 236),
    "black": (34, 32, 33),
    "grey": (132, 130, 128),
    "navy": (88, 48, 32),
    "blue": (188, 104, 48),
    "sky": (216, 178, 126),
    "red": (44, 40, 186),
    "wine": (50, 26, 98),
    "pink": (172, 142, 226),
    "orange": (42, 118, 228),
    "yellow": (70, 204, 236),
    "green": (70, 132, 52),
    "olive": (56, 96, 98),
    "mint": (176, 204, 150),
    "purple": (142, 62, 106),
    "brown": (46, 68, 104),
    "beige": (158, 190, 212),
}
_BOTTOMS: dict[str, Colour] = {
    "jeans": (122, 84, 58),
    "dark jeans": (72, 48, 36),
    "pale jeans": (176, 148, 118),
    "black": (36, 34, 34),
    "grey": (112, 110, 108),
    "khaki": (108, 150, 172),
    "white": (214, 218, 222),
    "brown": (44, 60, 84),
    "green": (60, 88, 62),
    "red": (52, 44, 142),
}
_SOBER_TOPS = ("black", "grey", "navy", "white", "brown")
_SOBER_BOTTOMS = ("jeans", "dark jeans", "black", "grey")
_SKINS: tuple[Colour, ...] = (
    (182, 204, 236),
    (158, 186, 224),
    (126, 160, 204),
    (92, 126, 174),
    (64, 90, 134),
    (48, 64, 98),
)
_HAIRS: tuple[Colour, ...] = (
    (28, 26, 28),
    (34, 44, 62),
    (48, 72, 104),
    (104, 152, 186),
    (140, 140, 142),
    (36, 62, 118),
)
_SHOES: tuple[Colour, ...] = ((30, 30, 32), (220, 222, 224), (52, 72, 108), (60, 52, 150), (120, 118, 116))
_BAGS: tuple[Colour, ...] = ((32, 30, 32), (40, 40, 150), (136, 84, 40), (48, 70, 104), (60, 110, 62), (60, 150, 214))
_PATTERNS: tuple[Pattern, ...] = (
    "plain",
    "plain",
    "plain",
    "stripes",
    "checks",
    "block",
    "logo",
    "logo",
    "open",
    "band",
    "pinstripes",
)

_CANDIDATES: dict[Difficulty, int] = {"easy": 24, "medium": 8, "hard": 1}
"""How many looks are drawn for each person; the one most unlike all others is kept."""

_NUM_TRAITS = 4 * 3 + sum(len(get_args(kind)) for kind in (Pattern, Legwear, HairStyle, Bag))


@dataclass(frozen=True, kw_only=True)
class Gait:
    """How a person walks.

    Attributes:
        speed_m_s: Metres a second.
        step_m: Length of one step.
        swing: Swing of the legs, radians.
        arm_swing: Swing of the arms, radians.
        lean: Of the upper body, forwards, radians.
    """

    speed_m_s: float
    step_m: float
    swing: float
    arm_swing: float
    lean: float


@dataclass(frozen=True, kw_only=True)
class Look:
    """Everything that makes a person recognisable.

    Attributes:
        height_m: From floor to crown.
        girth: Width of the body, 1 is average.
        skin: BGR.
        hair_style: Cut, or a cap.
        hair: BGR of hair or cap.
        top: Fabric of the upper body.
        sleeves: Their length.
        legwear: What is worn below.
        bottom: Its fabric.
        shoes: BGR.
        bag: What is carried.
        bag_colour: BGR.
        gait: How the person walks.
    """

    height_m: float
    girth: float
    skin: Colour
    hair_style: HairStyle
    hair: Colour
    top: Fabric
    sleeves: Sleeves
    legwear: Legwear
    bottom: Fabric
    shoes: Colour
    bag: Bag
    bag_colour: Colour
    gait: Gait


def draw_looks(rng: np.random.Generator, num_people: int, *, difficulty: Difficulty = "medium") -> list[Look]:
    """Draw people who can be told apart: easily, or with care on a hard site, where clothes are sober and alike."""
    looks: list[Look] = []
    traits = np.empty((0, _NUM_TRAITS))
    for _ in range(num_people):
        candidates = [_draw_look(rng, sober=difficulty == "hard") for _ in range(_CANDIDATES[difficulty])]
        wanted = np.stack([_traits(look) for look in candidates])
        nearest = np.linalg.norm(wanted[:, None] - traits[None], axis=2).min(axis=1, initial=np.inf)
        chosen = int(np.argmax(nearest))
        looks.append(candidates[chosen])
        traits = np.concatenate([traits, wanted[chosen : chosen + 1]])
    return looks


def unlikeness(one: Look, other: Look) -> float:
    """How far two people look apart: distance of their weighted colours, patterns, legwear, hair and bags."""
    return float(np.linalg.norm(_traits(one) - _traits(other)))


def _traits(look: Look) -> AnyArray:
    """(`_NUM_TRAITS`,) numbers whose distance is the unlikeness of two people."""
    colours = [np.multiply(colour, weight / 255) for colour, weight in _coloured(look)]
    kinds = [
        0.2 * (np.array(options) == worn)
        for options, worn in (
            (get_args(Pattern), look.top.pattern),
            (get_args(Legwear), look.legwear),
            (get_args(HairStyle), look.hair_style),
            (get_args(Bag), look.bag),
        )
    ]
    return np.concatenate([*colours, *kinds])


def _coloured(look: Look) -> tuple[tuple[Colour, float], ...]:
    """A person's colours, each with how much it counts."""
    return (look.top.base, 1.5), (look.bottom.base, 1.2), (look.hair, 0.3), (look.skin, 0.2)


def _draw_look(rng: np.random.Generator, *, sober: bool) -> Look:
    bag: Bag = _pick(rng, ("none", "none", "backpack", "shoulder_bag", "handbag"))
    bag_colour = _shade(rng, _pick(rng, _BAGS))
    legwear: Legwear = (
        "trousers" if sober else _pick(rng, ("trousers", "trousers", "trousers", "shorts", "skirt", "dress"))
    )
    top = _draw_top(rng, sober=sober, bag=bag, bag_colour=bag_colour)
    hair_style: HairStyle = _pick(rng, ("short", "short", "short", "bald", "bob", "long", "long", "bun", "cap"))
    height_m = float(rng.normal(1.66 if legwear in ("skirt", "dress") else 1.74, 0.07))
    return Look(
        height_m=min(2.0, max(1.5, height_m)),
        girth=float(np.clip(rng.normal(1.0, 0.12), 0.8, 1.35)),
        skin=_shade(rng, _pick(rng, _SKINS)),
        hair_style=hair_style,
        hair=_shade(rng, _pick(rng, _BAGS if hair_style == "cap" else _HAIRS)),
        top=top,
        sleeves="long" if sober or top.pattern == "open" else _pick(rng, ("long", "short")),
        legwear=legwear,
        bottom=top if legwear == "dress" else _draw_bottom(rng, sober=sober),
        shoes=_shade(rng, _pick(rng, _SHOES)),
        bag=bag,
        bag_colour=bag_colour,
        gait=_draw_gait(rng),
    )


def _draw_top(rng: np.random.Generator, *, sober: bool, bag: Bag, bag_colour: Colour) -> Fabric:
    names = _SOBER_TOPS if sober else tuple(_TOPS)
    base, second = (str(name) for name in rng.choice(names, 2, replace=False))
    pattern: Pattern = _pick(rng, ("plain", "plain", "plain", "open", "logo")) if sober else _pick(rng, _PATTERNS)
    straps: dict[Bag, Strap] = {"backpack": "shoulders", "shoulder_bag": "diagonal"}
    return Fabric(
        base=_shade(rng, _TOPS[base]),
        second=_shade(rng, _TOPS[second]),
        pattern=pattern,
        scale=float(rng.integers(3, 7)),
        fold=float(rng.uniform(0.025, 0.05)),
        phase=float(rng.uniform(0, 6.28)),
        strap=straps.get(bag, "none"),
        strap_colour=bag_colour,
    )


def _draw_bottom(rng: np.random.Generator, *, sober: bool) -> Fabric:
    name = _pick(rng, _SOBER_BOTTOMS if sober else tuple(_BOTTOMS))
    return Fabric(base=_shade(rng, _BOTTOMS[name]), fold=0.045, phase=float(rng.uniform(0, 6.28)))


def _draw_gait(rng: np.random.Generator) -> Gait:
    speed = float(rng.uniform(1.05, 1.55))
    return Gait(
        speed_m_s=speed,
        step_m=float(rng.uniform(0.62, 0.74)),
        swing=float(rng.uniform(0.3, 0.42)),
        arm_swing=float(rng.uniform(0.2, 0.5)),
        lean=float(rng.uniform(-0.01, 0.07)),
    )


def _shade(rng: np.random.Generator, colour: Colour) -> Colour:
    """The colour, a little lighter or darker and off its hue."""
    blue, green, red = np.clip(np.asarray(colour) * rng.uniform(0.9, 1.08) + rng.normal(0, 4, 3), 6, 248)
    return float(blue), float(green), float(red)


def _pick(rng: np.random.Generator, options: tuple[_OptionT, ...]) -> _OptionT:
    return options[int(rng.integers(len(options)))]
