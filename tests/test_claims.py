"""The table of languages: what is claimed without weights is what the stages do."""

from __future__ import annotations

from pathlib import Path

from babblefish.engine import claims
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.mms import MmsSynthesiser
from babblefish.engine.nllb import NllbTranslator
from babblefish.engine.seamless import Seamless
from babblefish.engine.whisper import WhisperRecogniser
from babblefish.models_cli import language_table

DOCUMENT = Path(__file__).parents[1] / "docs" / "languages.md"


def test_the_stages_do_what_is_claimed(big_weights_dir):
    whisper = WhisperRecogniser(big_weights_dir).capabilities
    assert whisper.languages == claims.whisper().languages
    assert whisper.translates_into == claims.whisper().translates_into
    kokoro = KokoroSynthesiser(big_weights_dir).capabilities
    assert (kokoro.voices, kokoro.quality) == (claims.KOKORO.voices, claims.KOKORO.quality)
    nllb = NllbTranslator(big_weights_dir).capabilities
    assert dict(nllb.pairs) == dict(claims.nllb().pairs), "the toy has all of the model's languages"
    mms = MmsSynthesiser(big_weights_dir).capabilities
    assert set(mms.voices) <= set(claims.MMS.voices) and mms.quality == claims.MMS.quality


def test_seamless_claims_what_its_toy_does_in_the_toys_languages(big_weights_dir):
    toy = Seamless(big_weights_dir, precision="fp32")
    heard, written = toy.recogniser.capabilities, toy.translator.capabilities
    recogniser, translator = claims.seamless()
    assert heard.languages == recogniser.languages & heard.languages
    assert heard.translates_into - heard.languages == {"ms"}
    assert recogniser.translates_into - recogniser.languages == {"ms"}
    assert written.pairs.items() <= translator.pairs.items()
    assert len(recogniser.translates_into) == 96


def test_the_document_is_what_the_command_prints():
    table = language_table({name: profile() for name, profile in claims.PROFILES.items()})
    assert table in DOCUMENT.read_text(encoding="utf-8"), (
        "run `python app.py models languages` and put it into docs/languages.md"
    )
    for line in (
        "| Polish | pl | spoken | spoken, read, heard | spoken, read, heard |",
        "| Malay | ms | spoken | spoken, read, heard plainly | read, heard plainly |",
    ):
        assert line in table
