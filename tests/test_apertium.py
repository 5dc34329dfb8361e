"""Apertium with its real dictionaries."""

from __future__ import annotations

import pytest

from babblefish.engine import apertium, pipeline, text_repair
from babblefish.engine.apertium import ApertiumTranslator, find_modes, shortest_paths
from babblefish.engine.pipeline import Pipeline, read_mode
from babblefish.errors import TranslationError


@pytest.fixture(scope="module")
def translator():
    translator = ApertiumTranslator(warm=("en", "es"))
    if not translator.capabilities.pairs:
        pytest.fail("No Apertium language pair is installed. Run `make run`, or apt-get install "
                    "the packages of requirements-apt.txt.")  # fmt: skip
    yield translator
    translator.close()


def test_translates_several_texts_in_order(translator):
    hello, house = translator.translate(["Good morning.", "The house is big."], "en", "es")
    assert hello == "Buenos días."
    assert house == "La casa es grande."


def test_what_was_started_serves_the_next_sentences_too(translator, monkeypatch):
    translator.translate(["Warm."], "en", "es")
    started = []
    real = pipeline.subprocess.Popen
    monkeypatch.setattr(
        pipeline.subprocess, "Popen", lambda *a, **k: started.append(a) or real(*a, **k)
    )
    for _ in range(5):
        translator.translate(["The meeting begins at nine."], "en", "es")
    assert started == []


def test_chains_pairs_where_no_direct_one_exists(translator):
    assert ("fr", "en") not in find_modes(apertium.MODES_DIR)
    assert "big" in translator.translate(["La maison est grande."], "fr", "en")[0]


@pytest.mark.parametrize(
    "text",
    [
        "<b>", "[x]", "^a$", "a/b", "back\\slash", "{y}", "~", "@ #", "* * *", "5 € 10 %", "🎉 a",
        "]]", "\\", "$^", "[][\n]", "\\[", "a\\",
    ],
)  # fmt: skip
def test_characters_of_the_stream_format_survive(translator, text):
    (translated,) = translator.translate([f"Anna {text} Anna"], "en", "es")
    for char in text:
        if not char.isalnum():
            assert translated.count(char) >= text.count(char), (char, translated)


def test_lines_null_bytes_and_nothing(translator):
    assert translator.translate(["", " ", "...", "?!"], "en", "es") == ["", " ", "...", "?!"]
    assert translator.translate(["Good morning.\n\nHouse."], "en", "es") == [
        "Buenos días.\n\nCasa."
    ]
    assert translator.translate(["Good\0 morning."], "en", "es") == ["Buenos días."]
    assert translator.translate([], "en", "es") == []


def test_a_very_long_text_comes_back_whole(translator):
    sentence = "The house is big. "
    (translated,) = translator.translate([sentence * 1000], "en", "es")
    assert translated.count("La casa es grande.") == 1000
    (translated,) = translator.translate(["Zork " * 1000], "en", "es")
    assert translated.count("Zork") == 1000


def test_unknown_words_come_through_without_marks(translator):
    (translated,) = translator.translate(["The Zkrblx is big."], "en", "es")
    assert "Zkrblx" in translated
    assert not set("*#@") & set(translated)


def test_an_unknown_pair_is_named(translator):
    with pytest.raises(TranslationError) as caught:
        translator.translate(["a"], "en", "tlh")
    assert caught.value.code == "pair"


def test_dead_and_hanging_processes_are_replaced(translator):
    pipeline = translator._pipelines[find_modes(apertium.MODES_DIR)["en", "es"]]
    for process in pipeline._processes:
        process.kill()
    assert translator.translate(["Good morning."], "en", "es") == ["Buenos días."]
    pipeline._processes[3].send_signal(19)
    pipeline._timeout, timeout = 0.5, pipeline._timeout
    try:
        with_hang = translator.translate(["Good morning."], "en", "es")
    finally:
        pipeline._timeout = timeout
    assert with_hang == ["Buenos días."]


def test_a_pipeline_that_never_works_is_an_error_not_a_hang(tmp_path):
    (tmp_path / "eng-spa.mode").write_text("sleep 60 | cat")
    broken = ApertiumTranslator(tmp_path, start_timeout=0.2, warm=())
    with pytest.raises(TranslationError) as caught:
        broken.translate(["Good morning."], "en", "es")
    assert caught.value.code == "unavailable"


def test_no_more_pipelines_than_allowed_and_none_left_behind():
    small = ApertiumTranslator(keep=2, warm=())
    for pair in (("en", "es"), ("es", "en"), ("es", "fr")):
        small.translate(["a"], *pair)
    assert len(small._pipelines) == 2
    processes = [p for pipe in small._pipelines.values() for p in pipe._processes]
    small.close()
    assert all(p.poll() is not None for p in processes)


def test_without_any_pair_nothing_is_served(tmp_path):
    assert not ApertiumTranslator(tmp_path).capabilities.pairs


def test_modes_are_read_without_a_shell(tmp_path):
    mode = tmp_path / "x.mode"
    mode.write_text("lt-proc '/a b/c.bin' | apertium-tagger -g $2 'x.prob' | lt-proc $1 'y'\n")
    assert read_mode(mode) == [
        ["lt-proc", "-z", "/a b/c.bin"],
        ["apertium-tagger", "-z", "-g", "x.prob"],
        ["lt-proc", "-z", "-n", "y"],
    ]


def test_paths_lose_as_little_as_possible_and_have_at_most_three_hops():
    paths = shortest_paths(
        [("fr", "es"), ("es", "en"), ("es", "pt"), ("en", "eo"), ("eo", "de"), ("fr", "en")]
    )
    assert paths["fr", "en"] == ("fr", "en")
    assert paths["fr", "pt"] == ("fr", "es", "pt")
    assert paths["fr", "de"] == ("fr", "en", "eo", "de")
    assert ("es", "fr") not in paths
    assert all(len(path) <= 4 for path in paths.values())


def test_a_detour_over_catalan_is_taken_where_it_measured_better():
    paths = shortest_paths([("fr", "es"), ("fr", "ca"), ("ca", "es"), ("ca", "en"), ("es", "en")])
    assert paths["fr", "es"] == ("fr", "ca", "es")
    assert paths["fr", "en"] == ("fr", "ca", "es", "en")
    assert shortest_paths([("fr", "es"), ("es", "en")])["fr", "en"] == ("fr", "es", "en")


@pytest.mark.parametrize(
    ("text", "original", "target", "repaired"),
    [
        ("Hola, cómo eres?", "Hello, how are you?", "es", "Hola, ¿cómo eres?"),
        ("Bien. Dónde está?", "Good. Where is it?", "es", "Bien. ¿Dónde está?"),
        ("¿Qué?", "What?", "es", "¿Qué?"),
        ("¿Where?", "¿Dónde?", "en", "Where?"),
        ("l' homme  d' accord", "x", "fr", "l'homme d'accord"),
        ("*Zork #haber a@b", "Zork", "es", "Zork haber a@b"),
        ("oui , non", "sí , no", "fr", "oui, non"),
        ("the house red", "La casa roja", "en", "The house red"),
    ],
)
def test_repairs(text, original, target, repaired):
    assert text_repair.after(text, original, target) == repaired


def test_preparing_waits_for_nothing_and_ends_nothing_in_use(monkeypatch):
    translator = ApertiumTranslator(warm=(), keep=2)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Pipeline, "_read", lambda _: pytest.fail("preparing waits"))
            translator.prepare("en", "es")
            translator.prepare("en", "tlh")
        (started,) = translator._pipelines.values()
        translator.prepare("en", "es")
        translator.prepare("en", "fr")
        assert started in translator._pipelines.values() and len(translator._pipelines) == 2
        assert translator.translate(["Good morning."], "en", "es") == ["Buenos días."]
        assert started in translator._pipelines.values()
    finally:
        translator.close()
