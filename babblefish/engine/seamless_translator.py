"""Text to text with the weights of Seamless: sentences of several texts at once."""

from __future__ import annotations

from collections.abc import Sequence

from babblefish.engine import interruption, sentence_wise
from babblefish.engine.seamless_codes import standard_codes
from babblefish.engine.seamless_decoding import decode
from babblefish.engine.seamless_model import Row, SeamlessModel
from babblefish.engine.stages import TranslatorCapabilities
from babblefish.errors import TranslationError

_BATCH_TOKENS = 512
"""tokens, padding included, that are translated at once; between batches a job can be given up"""
_EXPANSION, _SPARE = 2.5, 16
"""a translation has at most this many times the tokens of its original, and some more"""


class SeamlessTranslator:
    """A ``Translator``."""

    def __init__(self, model: SeamlessModel, beam: int = 1) -> None:
        self._model, self._beam = model, beam
        self._codes = standard_codes(model.languages)
        self.capabilities = TranslatorCapabilities.among(self._codes)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See ``Translator.translate``."""
        if (source, target) not in self.capabilities.pairs:
            raise TranslationError(
                "pair",
                f"Seamless does not translate {source} into {target}. Choose two different "
                "languages of those that are offered.",
            )
        return sentence_wise.translate(
            texts, source, target, lambda pieces: self._say(pieces, source, target),
            self._model.count_tokens,
        )  # fmt: skip

    def prepare(self, source: str, target: str) -> None:
        """Nothing to do: one model serves all pairs, and is loaded from the start."""

    def _say(self, pieces: list[str], source: str, target: str) -> dict[str, str]:
        lengths = {piece: self._model.count_tokens(piece) + 2 for piece in pieces}
        said: dict[str, str] = {}
        for batch in sentence_wise.batches(pieces, lengths.__getitem__, _BATCH_TOKENS):
            interruption.check()
            encoding = self._model.encode_text(batch, self._codes[source])
            rows = [
                Row(item, self._codes[target], int(_EXPANSION * lengths[piece]) + _SPARE)
                for item, piece in enumerate(batch)
            ]
            texts = decode(self._model, encoding, rows, beam=self._beam)
            said |= {piece: text.text or piece for piece, text in zip(batch, texts, strict=True)}
        return said
