"""Text → the clauses to be spoken one after the other, the first one short so that sound starts
early.

Pure text work, no sound and no clock: how long a clause will take to say is estimated from its
letters. Sentences come from sentencex; inside a sentence the places to cut are punctuation, then
conjunctions and prepositions, then any gap between words. A later clause may be longer than the
first, since it is synthesised while what precedes it is still playing.
"""

from __future__ import annotations

import re
import unicodedata
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


# --- places to cut ----------------------------------------------------------------------------

_SPACED_MARK = re.compile(r"[,;:…،؛,](?:[\"'”’»)\]]*)\s+|\s[—–-]+\s+|[—–](?=\w)|\s(?=[(\[«“])")
_FULL_WIDTH_MARK = re.compile(r"[，、；：—…]+[」』”）]*\s*")
_GAP = re.compile(r"\s+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(«\"'’])(?:[^\W\d_]|m(?:me|lle|r|rs|s|m)|drs?|dra|sra?|srta|prof|st[ea]?|sig(?:ra)?|"
    r"dott|avv|ing|av|apr|no|nr|núm|art|fig|vol|pp|vs|e\.g|i\.e|p\.\s?ex|z\.\s?b)\.\s*$",
    re.IGNORECASE,
)
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
        rest = waiting + sentence
        waiting = ""
        while rest.strip():
            limit = _limit(ahead)
            end = _end(rest, language, limit)
            if end == len(rest) and ahead and _is_short(rest, limit):
                waiting = rest
                break
            clauses.append(Clause(rest[:end].strip(), _pause(rest[:end])))
            ahead += seconds(rest[:end]) + clauses[-1].pause_after
            rest = rest[end:]
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
    for cut in reversed(_cuts(text, language)):
        before = text[: cut.at].strip()
        enough = len(text[cut.at :].split()) >= unsure and not _tears_apart(text, cut.at)
        if enough and _TINY <= seconds(before) <= FIRST_SECONDS:
            return before
    return None


def seconds(text: str) -> float:
    """Roughly how long ``text`` takes to say."""
    total = 0.0
    for character in text:
        if character.isdigit():
            total += 0.25
        elif _is_wide(character):
            total += 0.17
        elif character.isalnum() or character.isspace():
            total += 0.053
    return total


def _sentences(text: str, language: str) -> list[str]:
    """Sentences with the white space after them; joined they are ``text``."""
    sentences: list[str] = []
    for piece in sentencex.segment(language, text):  # pyright: ignore[reportAttributeAccessIssue]
        if sentences and (_ABBREVIATION.search(sentences[-1]) or not _says(piece)):
            sentences[-1] += piece
        else:
            sentences.append(piece)
    return sentences


def _limit(ahead: float) -> float:
    """Seconds that a clause may take when so many are there to be played before it."""
    if not ahead:
        return FIRST_SECONDS
    return min(LONGEST_SECONDS, max(_LATER_SECONDS, _GROWTH * ahead))


def _is_short(sentence: str, limit: float) -> bool:
    """Better said together with the next sentence, which the voice then joins by itself."""
    return seconds(sentence) < min(0.8, limit / 2) and "\n" not in sentence


def _end(rest: str, language: str, limit: float) -> int:
    """Where the next clause of ``rest`` ends: an offset in 1..len(rest)."""
    if seconds(rest) <= limit * (1.35 if limit > FIRST_SECONDS else 1.15):
        return len(rest) if limit > FIRST_SECONDS else _early_end(rest, limit)
    cuts = [cut for cut in _cuts(rest, language) if _is_sound(rest, cut)]
    fitting = [cut for cut in cuts if seconds(rest[: cut.at]) <= limit]
    for rank in (3, 2, 1, 0):
        ranked = [cut for cut in fitting if cut.rank == rank]
        long_enough = [c for c in ranked if rank == 3 or seconds(rest[: c.at]) >= limit * 0.4]
        if long_enough:
            return long_enough[-1].at
    near = [cut for cut in cuts if seconds(rest[: cut.at]) <= limit * 1.5]
    return near[0].at if near else _hard_end(rest, cuts, limit)


def _early_end(rest: str, limit: float) -> int:
    """A first sentence that would fit: cut all the same after an opening such as "Well, …"."""
    for match in _SPACED_MARK.finditer(rest):
        cut = _Cut(match.end(), 3)
        if _is_sound(rest, cut) and seconds(rest) > limit:
            return cut.at
    return len(rest)


def _hard_end(rest: str, cuts: list[_Cut], limit: float) -> int:
    """No good place near: the first possible one, or between two characters of a script
    without spaces once it is far too long."""
    at = cuts[0].at if cuts else len(rest)
    if seconds(rest[:at]) <= max(2 * limit, LONGEST_SECONDS):
        return at
    total = 0.0
    for offset, character in enumerate(rest):
        total += seconds(character)
        if total > LONGEST_SECONDS and offset and _may_break(rest, offset):
            return offset
    return at


def _cuts(sentence: str, language: str) -> list[_Cut]:
    """All places to cut, in order, each offset once with its best rank."""
    ranks: dict[int, int] = {}
    words = _WORDS.get(language, {})
    clings = _CLINGS.get(language, frozenset())
    for gap in _GAP.finditer(sentence):
        before = sentence[: gap.start()].rsplit(None, 1)
        if before and before[-1].casefold().strip("\"'«“(¿¡") in clings:
            continue
        following = _word(sentence, gap.end())
        ranks[gap.end()] = words.get(following, 0)
    for pattern in (_SPACED_MARK, _FULL_WIDTH_MARK):
        for mark in pattern.finditer(sentence):
            ranks[mark.end()] = 3
    return [_Cut(at, rank) for at, rank in sorted(ranks.items())]


def _is_sound(sentence: str, cut: _Cut) -> bool:
    """Both sides have something to say, and nothing is torn apart."""
    if _tears_apart(sentence, cut.at):
        return False
    if cut.rank == 3:
        return True
    return min(seconds(sentence[: cut.at]), seconds(sentence[cut.at :])) >= _TINY


def _tears_apart(sentence: str, at: int) -> bool:
    """Whether a cut there leaves a side empty, breaks a number or an abbreviation, or
    puts the mark that ends a word after it."""
    before, after = sentence[:at], sentence[at:]
    if not (_says(before) and _says(after)):
        return True
    left, right = before.rstrip(), after
    if left[-1:].isdigit() and right[:1].isdigit():
        return True
    if left[-1:] in ",." and left[-2:-1].isdigit() and right[:1].isdigit():
        return True
    return bool(_ABBREVIATION.search(before)) or right[:1] in ".,;:!?»)%…"


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
    match = re.compile(r"[\w\u0900-\u097f]+").match(text, start)
    return match[0].casefold() if match else ""


def _says(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF" and character.isalnum()


def _may_break(text: str, offset: int) -> bool:
    """Not before a combining mark, not inside a number or a Latin word."""
    left, right = text[offset - 1], text[offset]
    if unicodedata.category(right) in ("Mn", "Mc", "Me") or not _says(text[offset:]):
        return False
    return not (left.isascii() and right.isascii() and left.isalnum() and right.isalnum())
