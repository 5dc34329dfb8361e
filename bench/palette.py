"""The twelve colours of people: how well they are told apart, by every kind of eye, in both themes.

Simulates protanopia and deuteranopia (Machado 2009) and tritanopia (Brettel 1997, which is the
better model of it), and reports the smallest CIEDE2000 difference among the first people of a room
and the WCAG contrast of names on every ground that they stand on. ``--search`` looks for a palette
that does better: the first few people the most different, the same hue in both themes, so that
"the blue one" is blue on every phone.

    python -m bench.palette [--search SEED]
"""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

import numpy as np

WEB = Path(__file__).resolve().parents[1] / "babblefish" / "ui" / "web"
COUNT = 12
THEMES = ("light", "dark")
GROUNDS = {"light": ("#f2f6f7", "#ffffff"), "dark": ("#0d1519", "#162127")}
"""of the page and of its cards, as in base.css"""
PLAYING = 0.1
"""share of the own colour in the ground of a caption that is being spoken"""
LEAST_CONTRAST = 4.5

_MACHADO = np.array(
    [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]],
    ]
)  # fmt: skip
_BRETTEL = np.array(
    [
        [[1.01277, 0.13548, -0.14826], [-0.01243, 0.86812, 0.14431], [0.07589, 0.80500, 0.11911]],
        [[0.93678, 0.18979, -0.12657], [0.06154, 0.81526, 0.12320], [-0.37562, 1.12767, 0.24796]],
    ]
)
_SEPARATION = np.array([0.03901, -0.02788, -0.01113])
EYES = ("all cones", "no red", "no green", "no blue")
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip
_WHITE = _XYZ.sum(axis=1)


# --- colours ---


def parse(colours: list[str]) -> np.ndarray:
    """#rrggbb → (n, 3) linear RGB, 0..1."""
    codes = [[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours]
    coded = np.array(codes)
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def write(linear: np.ndarray) -> list[str]:
    clipped = np.clip(linear, 0, 1)
    coded = np.where(
        clipped <= 0.0031308,
        clipped * 12.92,
        1.055 * np.maximum(clipped, 1e-9) ** (1 / 2.4) - 0.055,
    )
    return ["#" + "".join(f"{round(v * 255):02x}" for v in row) for row in coded]


def seen(linear: np.ndarray) -> np.ndarray:
    """(n, 3) → (EYES, n, 3): the same colours as each kind of eye sees them."""
    tritan = np.where(
        (linear @ _SEPARATION >= 0)[:, None], linear @ _BRETTEL[0].T, linear @ _BRETTEL[1].T
    )
    views = [linear, linear @ _MACHADO[0].T, linear @ _MACHADO[1].T, tritan]
    return np.clip(np.stack(views), 0, 1)


def lab(linear: np.ndarray) -> np.ndarray:
    """(…, 3) linear RGB → CIELAB under D65."""
    ratio = linear @ _XYZ.T / _WHITE
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ciede2000(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Difference of CIELAB colours, broadcast over all but the last axis (Sharma 2005)."""
    l1, a1, b1 = np.moveaxis(one, -1, 0)
    l2, a2, b2 = np.moveaxis(other, -1, 0)
    mean_c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - np.sqrt(mean_c7 / (mean_c7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    coloured = c1 * c2 > 0
    turn = (h2 - h1 + 180) % 360 - 180
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(np.where(coloured, turn, 0.0)) / 2)
    h = np.where(coloured, (h1 + turn / 2) % 360, h1 + h2)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1 - 0.17 * np.cos(np.radians(h - 30)) + 0.24 * np.cos(np.radians(2 * h))
        + 0.32 * np.cos(np.radians(3 * h + 6)) - 0.20 * np.cos(np.radians(4 * h - 63))
    )  # fmt: skip
    sl = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    c7 = chroma**7
    rotation = -np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2)))) * 2
    rotation = rotation * np.sqrt(c7 / (c7 + 25.0**7))
    dl, dc, dh = (l2 - l1) / sl, (c2 - c1) / sc, dh / sh
    return np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


def differences(linear: np.ndarray) -> np.ndarray:
    """(n, n): of each two colours, for the eyes to which they are the most alike."""
    labs = lab(seen(linear))
    return ciede2000(labs[:, :, None], labs[:, None]).min(axis=0)


def luminance(linear: np.ndarray) -> np.ndarray:
    return linear @ _XYZ[1]


def contrasts(linear: np.ndarray, theme: str) -> np.ndarray:
    """(n,): the least contrast of each colour with the grounds of a theme."""
    coded = parse_coded(write(linear))
    found = []
    for ground in GROUNDS[theme]:
        plain = parse_coded([ground])
        for share in (0.0, PLAYING):
            under = write_coded(plain * (1 - share) + coded * share)
            pair = luminance(np.stack([np.broadcast_to(parse(under), linear.shape), linear])) + 0.05
            found.append(pair.max(axis=0) / pair.min(axis=0))
    return np.min(found, axis=0)


def parse_coded(colours: list[str]) -> np.ndarray:
    """#rrggbb → (n, 3) as CSS mixes them, 0..1."""
    return np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])


def write_coded(coded: np.ndarray) -> list[str]:
    return ["#" + "".join(f"{round(v * 255):02x}" for v in row) for row in coded]


def least_among_first(apart: np.ndarray) -> list[float]:
    """The smallest difference among the first 2, 3 … n people."""
    far = apart + np.where(np.eye(len(apart), dtype=bool), np.inf, 0)
    return [float(far[:k, :k].min()) for k in range(2, len(apart) + 1)]


# --- the style sheets ---


def of_the_phone_page() -> dict[str, list[str]]:
    """Theme → colours in their order, from room.css."""
    light, _, dark = (WEB / "room.css").read_text("utf-8").partition("@media (prefers-color-scheme")
    found = {"light": light, "dark": dark}
    return {
        theme: _ordered(re.findall(r"\.c(\d+) \{ --who: (#[0-9a-f]{6});", text))
        for theme, text in found.items()
    }


def of_the_host_page() -> dict[str, list[str]]:
    """The same from host.css."""
    text = (WEB / "host.css").read_text("utf-8")
    rule = r'^{}\.bf-dot\[data-color="(\d+)"\] {{ background: (#[0-9a-f]{{6}});'
    return {
        theme: _ordered(re.findall(rule.format(before), text, re.MULTILINE))
        for theme, before in (("light", ""), ("dark", r"\.dark "))
    }


def _ordered(found: list[tuple[str, str]]) -> list[str]:
    by_number = {int(number): colour for number, colour in found}
    return [by_number[number] for number in range(len(by_number))]


def report(palette: dict[str, list[str]]) -> None:
    for theme in THEMES:
        linear = parse(palette[theme])
        firsts = least_among_first(differences(linear))
        print(f"{theme}: {' '.join(palette[theme])}")
        print("  smallest difference among the first 2, 3 … people, for every kind of eye:")
        print("   ", " ".join(f"{value:.1f}" for value in firsts))
        labs = lab(seen(linear))
        for eyes, view in zip(EYES, labs, strict=True):
            alike = ciede2000(view[:, None], view[None])
            print(f"    {eyes:<10} {least_among_first(alike)[-1]:5.1f} among all")
        print(f"  contrast of names: at least {contrasts(linear, theme).min():.2f}")


# --- looking for a better one ---

_WEIGHTS = {
    2: 0.05,
    3: 0.1,
    4: 0.25,
    5: 0.15,
    6: 0.3,
    7: 0.2,
    8: 0.5,
    9: 0.3,
    10: 0.4,
    11: 0.5,
    12: 2,
}
_HUE_APART = 14.0
"""degrees by which a hue may differ between the themes, either way"""
_LEAST_CHROMA = 0.075
_LIGHTNESS = {"light": (0.3, 0.6), "dark": (0.6, 0.92)}
"""OKLab, from which colours do not look like the ink of the page itself"""
_ALL_CONES = 1.5
"""how much further apart colours are to be for eyes that see all of them"""
_LMS = np.array(
    [[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
     [-0.0041960863, -0.7034186147, 1.7076147010]]
)  # fmt: skip
_LMS_OF_OKLAB = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728],
     [1, -0.0894841775, -1.2914855480]]
)  # fmt: skip


def of_oklch(light: float, chroma: float, hue: float) -> np.ndarray:
    """→ (3,) linear RGB, outside 0..1 where no screen shows it."""
    turned = math.radians(hue)
    lms = _LMS_OF_OKLAB @ [light, chroma * math.cos(turned), chroma * math.sin(turned)]
    return _LMS @ lms**3


def search(seed: int, steps: int = 70000) -> dict[str, list[str]]:
    """Simulated annealing over lightness, chroma and hue of all colours and their order."""
    now = _Palette(np.random.default_rng(seed))
    best, best_score = now.linear, now.score
    for step in range(steps):
        now.change(1.2 * (1 - step / steps) ** 2 + 1e-3)
        if now.score > best_score:
            best, best_score = now.linear, now.score
    return {theme: write(best[theme]) for theme in THEMES}


class _Palette:
    """A palette on its way to a better one."""

    def __init__(self, chance: np.random.Generator) -> None:
        self.chance = chance
        self.hues = np.arange(COUNT) * 30.0 + chance.uniform(0, 30)
        chance.shuffle(self.hues)
        light = {"light": 0.42, "dark": 0.8}
        self.shapes = {theme: np.tile([light[theme], 0.09], (COUNT, 1)) for theme in THEMES}
        """lightness and chroma of each colour"""
        self.shifts = {theme: np.zeros(COUNT) for theme in THEMES}
        self.linear = {
            theme: _painted(self.shapes[theme], self.hues, self.shifts[theme]) for theme in THEMES
        }
        self.apart = {theme: _aimed_at(lab(seen(self.linear[theme]))) for theme in THEMES}
        self.score = self._score(self.apart)

    @staticmethod
    def _score(apart: dict[str, np.ndarray]) -> float:
        return sum(_worth(apart[theme]) for theme in THEMES)

    def change(self, heat: float) -> None:
        """Try one thing; keep it if it is better, or by chance while it is hot."""
        one, kind = int(self.chance.integers(COUNT)), self.chance.random()
        if kind < 0.15:
            self._swap(one, int(self.chance.integers(COUNT)), heat)
            return
        before = self.hues.copy(), _copies(self.shapes), _copies(self.shifts)
        if kind < 0.3:
            self.hues[one] += self.chance.normal(0, 25)
        else:
            theme = THEMES[int(self.chance.integers(2))]
            self.shapes[theme][one] += self.chance.normal(0, [0.05, 0.03])
            shift = self.shifts[theme][one] + self.chance.normal(0, 6)
            self.shifts[theme][one] = np.clip(shift, -_HUE_APART, _HUE_APART)
        if not self._repaint(one, heat):
            self.hues, self.shapes, self.shifts = before

    def _swap(self, one: int, other: int, heat: float) -> None:
        order = np.arange(COUNT)
        order[[one, other]] = order[[other, one]]
        apart = {theme: self.apart[theme][np.ix_(order, order)] for theme in THEMES}
        if not self._taken(self._score(apart), heat):
            return
        self.hues, self.apart = self.hues[order], apart
        self.linear = {theme: self.linear[theme][order] for theme in THEMES}
        self.shapes = {theme: self.shapes[theme][order] for theme in THEMES}
        self.shifts = {theme: self.shifts[theme][order] for theme in THEMES}

    def _repaint(self, one: int, heat: float) -> bool:
        linear, apart = {}, {}
        for theme in THEMES:
            shape = self.shapes[theme][[one]]
            painted = _painted(shape, self.hues[[one]], self.shifts[theme][[one]])
            if not _allowed(shape[0], painted, theme):
                return False
            linear[theme] = self.linear[theme].copy()
            linear[theme][one] = painted[0]
            row = _aimed_at(lab(seen(linear[theme])), one)
            apart[theme] = self.apart[theme].copy()
            apart[theme][one, :] = apart[theme][:, one] = row
        if not self._taken(self._score(apart), heat):
            return False
        self.linear, self.apart = linear, apart
        return True

    def _taken(self, score: float, heat: float) -> bool:
        if score > self.score or self.chance.random() < math.exp((score - self.score) / heat):
            self.score = score
            return True
        return False


def _copies(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {theme: array.copy() for theme, array in arrays.items()}


def _painted(shape: np.ndarray, hues: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    return np.array(
        [of_oklch(li, c, h + s) for (li, c), h, s in zip(shape, hues, shifts, strict=True)]
    )


def _allowed(shape: np.ndarray, painted: np.ndarray, theme: str) -> bool:
    least, most = _LIGHTNESS[theme]
    if not least <= shape[0] <= most or shape[1] < _LEAST_CHROMA:
        return False
    if painted.min() < 0 or painted.max() > 1:
        return False
    return bool(contrasts(painted, theme).min() >= LEAST_CONTRAST + 0.05)


def _aimed_at(labs: np.ndarray, one: int | None = None) -> np.ndarray:
    """As ``differences``, harder for eyes that see all colours; of ``one`` colour, or of all."""
    chosen = labs if one is None else labs[:, [one]]
    found = ciede2000(chosen[:, :, None], labs[:, None])
    found[0] /= _ALL_CONES
    least = found.min(axis=0)
    return least if one is None else least[0]


def _worth(apart: np.ndarray) -> float:
    firsts = least_among_first(apart)
    return sum(_WEIGHTS[k] * value for k, value in enumerate(firsts, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--search", type=int, metavar="SEED")
    seed = parser.parse_args().search
    report(of_the_phone_page() if seed is None else search(seed))


if __name__ == "__main__":
    main()
