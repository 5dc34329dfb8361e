"""Text → the clauses to be spoken one after the other, the first one short so that sound starts
early.

Pure text work, no sound and no clock: how long a clause will take to say is estimated from its
letters. Sentences come from sentencex; inside a sentence the places to cut are punctuation, then
conjunctions and prepositions, then any gap between words. A later clause may be longer than the
first, since it is synthesised while what precedes it is still playing.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import sentencex

PAUSES = {"paragraph": 0.45, "sentence": 0.3, "clause": 0.2, "comma": 0.12, "none": 0.0}
"""seconds of silence after a clause, by what ends it"""

FIRST_SECONDS = 0.8
"""the first clause is not longer than this where it can be cut"""
_LATER_SECONDS = 1.2
"""nor does a later one have to be shorter than this: every clause costs some time of its own"""
LONGEST_SECONDS = 7.0
"""no clause is longer than this where it can be cut"""
_GROWTH = 2.0
"""a clause may be this many times as long as what is already being played"""
_TINY = 0.4
"""a clause shorter than this is joined with a neighbour, unless punctuation sets it apart"""


@dataclass(frozen=True, slots=True)
class Clause:
    text: str
    """as it stands in the whole text, without white space around it"""
    pause_after: float
    """seconds of silence that sound natural before the next clause"""


class _Cut(NamedTuple):
    """A place where a sentence may be cut."""

    at: int
    """offset of the first character after it"""
    rank: int
    """how natural: 3 punctuation, 2 conjunction, 1 preposition, 0 any gap between words"""
    word: tuple[int, int]
    """first offset and end of the word before it, which may cling to what follows"""


# --- places to cut ----------------------------------------------------------------------------

_SPACED_MARK = re.compile(r"[,;:…،؛,](?:[\"'”’»)\]]*)\s+|\s[—–-]+\s+|[—–](?=\w)|\s(?=[(\[«“])")
_FULL_WIDTH_MARK = re.compile(r"[，、；：—…]+[」』”）]*\s*")
_GAP = re.compile(r"\s+")
_WORD = re.compile(r"[\w\u0900-\u097f]+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(«\"'’])(?:[^\W\d_]|m(?:me|lle|r|rs|s|m)|drs?|dra|sra?|srta|prof|st[ea]?|sig(?:ra)?|"
    r"dott|avv|ing|av|apr|no|nr|núm|art|fig|vol|pp|vs|e\.g|i\.e|p\.\s?ex|z\.\s?b)\.\s*$",
    re.IGNORECASE,
)
_LONGEST_ABBREVIATION = 12
"""letters, at least: what precedes it included"""
_CONJUNCTIONS = {
    "en": "and but or because so when while if although though which who where since until unless "
    "that whether",
    "es": "y e o u pero porque que cuando si aunque mientras donde como sino quien",
    "fr": "et ou mais parce que quand si lorsque qui dont où donc puisque car comme",
    "it": "e ed o ma perché che quando se mentre dove come quindi anche",
    "pt": "e ou mas porque que quando se enquanto onde como embora pois",
    "hi": "और या लेकिन मगर क्योंकि कि जब अगर तो ताकि",
    "de": "und oder aber denn weil dass wenn als ob während wo sondern",
    "ca": "i o però perquè que quan si mentre on com",
    "ro": "și sau dar pentru că când dacă unde care",
    "pl": "i a lub ale że bo gdy jeśli który która które gdzie",
    "ru": "и а или но что потому когда если который где чтобы",
}
_PREPOSITIONS = {
    "en": "with for in on at from about by into after before without during through between over "
    "under against to",
    "es": "con para en por desde sobre sin entre hasta durante contra tras según a",
    "fr": "avec pour dans sur par depuis sans entre chez vers pendant contre après avant à",
    "it": "con per in su da tra fra senza dopo prima durante contro nel nella al alla",
    "pt": "com para em por desde sobre sem entre até durante contra no na ao",
    "de": "mit für in auf an von aus bei nach vor über unter ohne zwischen",
    "ca": "amb per en des sobre sense entre fins durant a",
    "ro": "cu pentru în pe de la din fără între",
    "pl": "z ze w we na do od po przez bez przed dla",
    "ru": "с в на до от по через без перед для из к",
}
_WORDS = {
    language: {
        **dict.fromkeys(_PREPOSITIONS.get(language, "").split(), 1),
        **dict.fromkeys(conjunctions.split(), 2),
    }
    for language, conjunctions in _CONJUNCTIONS.items()
}
_CLINGING = {
    "en": "a an the my your his her its our their this these not to of very is are was",
    "es": "un una el la los las lo mi tu su de del al no muy se me te le",
    "fr": "un une le la les des du de mon ma mes ton ta son sa ses ce cette ne se me te je tu il",
    "it": "un uno una il lo la i gli le di del della dei mio tuo suo non si mi ti molto",
    "pt": "um uma o a os as de do da dos das meu seu não se me muito",
    "de": "ein eine einen der die das den dem des mein sein nicht zu sehr ist",
}
_CLINGS = {language: frozenset(words.split()) for language, words in _CLINGING.items()}
"""words that must not end a clause: what they belong to follows"""


def split(text: str, language: str, ahead: float = 0.0) -> list[Clause]:
    """Clauses of ``text`` in order; none for blank text. language: an ISO 639-1 code.
    ahead: seconds of speech that are there to be played before it.

    Nothing is lost or changed but white space at the joints.
    """
    clauses: list[Clause] = []
    waiting = ""
    for sentence in _sentences(text, language):
        rest = _Rest(waiting + sentence, language)
        waiting = ""
        while not rest.is_blank:
            limit = _limit(ahead)
            end = rest.end_of_clause(limit)
            clause = rest.text[rest.start : end]
            if end == len(rest.text) and ahead and _is_short(clause, limit):
                waiting = clause
                break
            clauses.append(Clause(clause.strip(), _pause(clause)))
            ahead += seconds(clause) + clauses[-1].pause_after
            rest.start = end
    if waiting.strip():
        clauses.append(Clause(waiting.strip(), _pause(waiting)))
    return clauses


def split_after(text: str, first: str, language: str) -> list[Clause]:
    """``split`` for a text whose first clause is given; none if ``text`` does not begin with it,
    as whole words."""
    rest = text[len(first) :]
    if not text.startswith(first) or not (rest[:1].isspace() or not rest):
        return []
    clause = Clause(first, _pause(first))
    return [clause, *split(rest, language, seconds(first) + clause.pause_after)]


def opening(text: str, language: str, unsure: int) -> str | None:
    """The most of ``text`` that may be a first clause even if its last ``unsure`` words turn out
    to be others; None where that is too little to be said."""
    rest, best = _Rest(text, language), None
    for cut, _ in rest.cuts_within(math.inf):
        before = text[: cut.at].strip()
        if seconds(before) > FIRST_SECONDS or len(text[cut.at :].split()) < unsure:
            break
        if seconds(before) >= _TINY and not rest.tears_apart(cut.at):
            best = before
    return best


def seconds(text: str) -> float:
    """Roughly how long ``text`` takes to say."""
    return sum(map(_duration, text), 0.0)


def _duration(character: str) -> float:
    """Seconds."""
    if character.isdigit():
        return 0.25
    if _is_wide(character):
        return 0.17
    return 0.053 if character.isalnum() or character.isspace() else 0.0


def _sentences(text: str, language: str) -> list[str]:
    """Sentences with the white space after them; joined they are ``text``."""
    pieces = sentencex.segment(language, text)  # pyright: ignore[reportAttributeAccessIssue]
    whole = "".join(pieces)
    begins: list[int] = []
    at = 0
    for piece in pieces:
        if not begins or (_says(piece) and not _ends_in_abbreviation(whole, begins[-1], at)):
            begins.append(at)
        at += len(piece)
    return [whole[begin:end] for begin, end in itertools.pairwise([*begins, at])]


def _limit(ahead: float) -> float:
    """Seconds that a clause may take when so many are there to be played before it."""
    if not ahead:
        return FIRST_SECONDS
    return min(LONGEST_SECONDS, max(_LATER_SECONDS, _GROWTH * ahead))


def _is_short(sentence: str, limit: float) -> bool:
    """Better said together with the next sentence, which the voice then joins by itself."""
    return seconds(sentence) < min(0.8, limit / 2) and "\n" not in sentence


class _Rest:
    """What is left of a sentence from ``start`` on. All of it is looked at once, when it is
    made; after that, each clause looks at what it may hold, and no further."""

    def __init__(self, text: str, language: str) -> None:
        self.text, self.start = text, 0
        self._clings = _CLINGS.get(language, frozenset())
        self._cuts = _cuts(text, language)
        self._ends = [cut.at for cut in self._cuts]
        self._durations = [_duration(character) for character in text]
        self._filled = len(text.rstrip())
        self._said = [offset for offset, character in enumerate(text) if character.isalnum()]

    @property
    def is_blank(self) -> bool:
        return self.start >= self._filled

    def end_of_clause(self, limit: float) -> int:
        """Where the next clause ends: an offset in start + 1..len(text)."""
        early = limit <= FIRST_SECONDS
        whole = limit * (1.15 if early else 1.35)
        if self._seconds_from(self.start, whole) <= whole:
            return self._early_end(limit) if early else len(self.text)
        found: list[tuple[_Cut, float]] = []
        for cut, before in self.cuts_within(max(2 * limit, LONGEST_SECONDS)):
            if found and before > limit:
                break
            if self._is_sound(cut, before):
                found.append((cut, before))
        for rank in (3, 2, 1, 0):
            for cut, before in reversed(found):
                long_enough = rank == 3 or before >= limit * 0.4
                if cut.rank == rank and before <= limit and long_enough:
                    return cut.at
        return found[0][0].at if found else self._hard_end(max(2 * limit, LONGEST_SECONDS))

    def cuts_within(self, limit: float) -> Iterator[tuple[_Cut, float]]:
        """Places to cut, and the seconds before them, as long as those are not above ``limit``."""
        before, counted = 0.0, self.start
        for number in range(bisect_right(self._ends, self.start), len(self._cuts)):
            cut = self._cuts[number]
            while counted < cut.at:
                before += self._durations[counted]
                counted += 1
                if before > limit:
                    return
            word = self.text[max(self.start, cut.word[0]) : cut.word[1]]
            if cut.rank == 3 or word.casefold().strip("\"'«“(¿¡") not in self._clings:
                yield cut, before

    def tears_apart(self, at: int) -> bool:
        """Whether a cut there leaves a side empty, breaks a number or an abbreviation, or
        puts the mark that ends a word after it."""
        said = bisect_left(self._said, self.start)
        if not said < bisect_left(self._said, at) < len(self._said):
            return True
        end = _stripped_end(self.text, self.start, at)
        left, right = self.text[max(self.start, end - 2) : end], self.text[at]
        if right.isdigit() and (left[-1].isdigit() or (left[-1] in ",." and left[:-1].isdigit())):
            return True
        return _ends_in_abbreviation(self.text, self.start, at) or right in ".,;:!?»)%…"

    def _seconds_from(self, start: int, enough: float) -> float:
        """``seconds`` of what follows ``start``; once it is above ``enough`` the rest is left
        out."""
        total = 0.0
        for offset in range(start, len(self._durations)):
            total += self._durations[offset]
            if total > enough:
                break
        return total

    def _early_end(self, limit: float) -> int:
        """A first sentence that would fit: cut all the same after an opening such as "Well, …"."""
        if self._seconds_from(self.start, limit) > limit:
            for match in _SPACED_MARK.finditer(self.text, self.start):
                if not self.tears_apart(match.end()):
                    return match.end()
        return len(self.text)

    def _hard_end(self, limit: float) -> int:
        """No good place near: between two characters of a script without spaces once it is far
        too long."""
        if self._seconds_from(self.start, limit) <= limit:
            return len(self.text)
        total = 0.0
        for offset in range(self.start, self._said[-1] + 1 if self._said else 0):
            total += self._durations[offset]
            if total > LONGEST_SECONDS and offset > self.start and _may_break(self.text, offset):
                return offset
        return len(self.text)

    def _is_sound(self, cut: _Cut, before: float) -> bool:
        """Both sides have something to say, and nothing is torn apart."""
        if self.tears_apart(cut.at):
            return False
        long_enough = before >= _TINY and self._seconds_from(cut.at, _TINY) >= _TINY
        return cut.rank == 3 or long_enough


def _cuts(sentence: str, language: str) -> list[_Cut]:
    """All places to cut, in order, each offset once with its best rank."""
    cuts: dict[int, _Cut] = {}
    words = _WORDS.get(language, {})
    end_of_last = 0
    for gap in _GAP.finditer(sentence):
        rank = words.get(_word(sentence, gap.end()), 0)
        cuts[gap.end()] = _Cut(gap.end(), rank, (end_of_last, gap.start()))
        end_of_last = gap.end()
    for pattern in (_SPACED_MARK, _FULL_WIDTH_MARK):
        for mark in pattern.finditer(sentence):
            cuts[mark.end()] = _Cut(mark.end(), 3, (0, 0))
    return sorted(cuts.values())


def _ends_in_abbreviation(text: str, start: int, at: int) -> bool:
    """Whether ``text[start:at]`` does."""
    end = _stripped_end(text, start, at)
    return bool(_ABBREVIATION.search(text[max(start, end - _LONGEST_ABBREVIATION) : end]))


def _stripped_end(text: str, start: int, at: int) -> int:
    """Where ``text[start:at]`` ends without the white space at its end."""
    while at > start and text[at - 1].isspace():
        at -= 1
    return at


def _pause(clause: str) -> float:
    if "\n" in clause[len(clause.rstrip()) :]:
        return PAUSES["paragraph"]
    end = clause.rstrip().rstrip("\"'”’»)]」』）")[-1:]
    if end and end in ".!?。！？।؟۔":
        return PAUSES["sentence"]
    if end and end in ";:…—–；：؛-":
        return PAUSES["clause"]
    if end and end in ",，、،":
        return PAUSES["comma"]
    return PAUSES["none"]


def _word(text: str, start: int) -> str:
    match = _WORD.match(text, start)
    return match[0].casefold() if match else ""


def _says(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF" and character.isalnum()


def _may_break(text: str, offset: int) -> bool:
    """Not before a combining mark, not inside a number or a Latin word."""
    left, right = text[offset - 1], text[offset]
    if unicodedata.category(right) in ("Mn", "Mc", "Me"):
        return False
    return not (left.isascii() and right.isascii() and left.isalnum() and right.isalnum())
