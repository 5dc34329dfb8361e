""" "My voice" on the phone page, in a real browser: from consent to deletion."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

import io
import re
import wave
from collections.abc import Callable

import numpy as np
import pytest

from babblefish.engine.consent_texts import consent_text
from babblefish.engine.enrolment_prompts import prompts
from babblefish.protocol import Microphone
from tests.voice_page import COUNT, GAIN, VoicePage, agreed, joined
from tests.voice_script import VoiceScript
from tests.web_browser import (
    DESKTOP,
    PHONE,
    OpenPhone,
    PhonePage,
    chromium,
    phone,
    playwright,
    web,
)

pytestmark = pytest.mark.e2e


def test_a_voice_from_consent_to_deletion(phone: OpenPhone) -> None:
    voice = joined(phone)
    script = voice.script
    voice.open().heading("Your voice is not known here")
    voice.press("Introduce my voice").heading("Your voice")
    words = consent_text("en")
    shown = voice.body.inner_text()
    assert all(statement in shown for statement in words.statements)
    about = voice.page.inner_text("#voice-cloning-hint")
    assert about == " ".join(words.purposes["cloning"]), "each purpose beside what it means"
    on = [voice.page.is_checked(f"#voice-{purpose}") for purpose in ("voiceprint", "cloning")]
    assert on == [False, False], "nothing is agreed to beforehand"
    voice.page.check("#voice-voiceprint")
    voice.page.check("#voice-cloning")
    voice.press(words.agree).heading("How shall we get to know it?")
    assert "POST /enrolment" not in script.calls, "nothing is begun before a way is chosen"
    voice.body.get_by_role("button", name="Read three sentences").click()
    for number, sentence in enumerate(prompts("en").sentences, 1):
        voice.heading(f"Sentence {number} of 3")
        assert voice.page.inner_text(".voice-prompt") == sentence
        if number == 2:
            voice.loudness(0)
            voice.record().says("Nothing was recorded.")
            assert voice.body.get_by_role("button", name="Next").count() == 0
            voice.loudness(1)
            voice.record(button="Again")
        else:
            voice.record()
        voice.says("That sounds good.")
        assert voice.focused() == "Next"
        voice.press("Next")
    assert script.body == {"name": "Dan", "language": "en", "purposes": ["voiceprint", "cloning"]}
    with wave.open(io.BytesIO(script.takes["1"])) as file:
        assert file.getframerate() >= 16000
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples))
    loudest = np.argmax(spectrum) * file.getframerate() / len(samples)
    assert loudest == pytest.approx(330, abs=5), "what the microphone heard, at its own speed"

    voice.heading("Does that sound like you?")
    voice.press("Listen: Sentence 2")
    voice.phone.until("window.playedHushed > 0")  # the room was silent
    voice.phone.until("!document.getElementById('sound').muted")
    voice.press("Save").heading("Your voice is known here")
    voice.says("From now on you are recognised")
    assert voice.page.inner_text(".voice-standing strong") == "Voice 70 %: 14 of 20 s"
    assert voice.page.evaluate("JSON.parse(localStorage['babblefish.profile'])") == "s1.key"

    voice.page.check("input[name=voice-kind][value=chosen]")
    assert voice.page.input_value("#voice-language") == "fr", "the language that others hear"
    voice.page.evaluate("() => { window.playedHushed = 0; }")
    voice.press("Listen: Voice 2")
    voice.phone.until("window.playedHushed > 0")
    voice.phone.until("!document.getElementById('sound').muted")
    voice.page.check("input[name=voice-name][value=fr_2]")
    voice.says("Your voice is chosen.")
    assert (script.choice, script.chosen) == ("chosen", {"fr": "fr_2"})
    voice.page.check("input[name=voice-kind][value=closest]")
    voice.page.wait_for_selector("#voice-list", state="hidden")

    voice.page.click("label:has(#voice-cloning)")
    voice.heading("No longer imitate your voice?").press("Cancel")
    assert voice.page.is_checked("#voice-cloning"), "nothing was withdrawn yet"
    voice.page.click("label:has(#voice-cloning)")
    voice.press("Withdraw consent").says("what was kept for it is deleted")
    assert script.agreed == ["voiceprint"]
    assert not voice.page.is_checked("#voice-cloning")

    voice.press("Delete everything").heading("Delete everything about your voice?")
    assert "Your voiceprint" in voice.page.inner_text(".voice-kept")
    voice.press("Delete for good").heading("Your voice is not known here")
    voice.says("Everything about your voice is deleted.")
    assert "DELETE " in script.calls
    assert voice.page.evaluate("localStorage['babblefish.profile']") is None


def test_the_room_hears_nothing_of_what_is_read(phone: OpenPhone) -> None:
    voice = joined(phone)
    dan = voice.phone
    dan.until_heard()
    agreed(voice).body.get_by_role("button", name="Read three sentences").click()
    voice.heading("Sentence 1 of 3")
    dan.until("document.querySelector('.person.me .silent') !== null")
    dan.until_quiet()
    dan.member.heard_peak = 0
    voice.record(1.2).says("That sounds good.")
    assert len(voice.script.takes["1"]) > 16000, "it was recorded all the same"
    assert dan.member.heard_peak < 100
    voice.page.keyboard.press("Escape")
    voice.page.wait_for_selector("#voice", state="hidden")
    dan.until("document.querySelector('.person.me .silent') === null")
    dan.until_heard()
    dan.eventually(lambda: voice.script.purposes is None, "what was not saved is forgotten")
    events = dan.member.events
    dan.eventually(
        lambda: [e.on for e in events if isinstance(e, Microphone)][-2:] == [False, True]
    )


def test_who_was_muted_is_muted_again_and_who_listens_only_has_no_microphone(
    phone: OpenPhone,
) -> None:
    voice = joined(phone)
    voice.page.click("#mute")
    agreed(voice).body.get_by_role("button", name="Read three sentences").click()
    voice.record().says("That sounds good.")
    voice.page.keyboard.press("Escape")
    voice.phone.member.heard_peak = 0
    voice.page.wait_for_timeout(500)
    assert voice.phone.member.heard_peak < 100
    assert voice.page.get_attribute("#mute", "aria-pressed") == "true"

    listener = phone()
    listener.page.add_init_script(GAIN + COUNT)
    voice = VoicePage(listener.join(listen_only=True))
    agreed(voice).body.get_by_role("button", name="Read three sentences").click()
    voice.record().says("That sounds good.")
    assert voice.page.evaluate("window.opened") == 1
    voice.page.keyboard.press("Escape")
    voice.phone.until("window.opened === 0")
    assert listener.member.heard_peak < 100
    assert "Listening only" in listener.page.inner_text("#talk")


def test_use_what_i_say_and_refuse_without_a_voiceprint(phone: OpenPhone) -> None:
    voice = joined(phone)
    voice.open().press("Introduce my voice").heading("Your voice")
    voice.press(consent_text("en").agree).says("Without it nothing is recorded.")
    assert voice.page.evaluate("document.activeElement.id") == "voice-voiceprint"
    voice.page.click("label:has(#voice-voiceprint)")
    voice.press(consent_text("en").agree).heading("How shall we get to know it?")
    assert "switch on all three" in voice.body.inner_text()
    meeting = voice.body.get_by_role("button", name="Use what I say in this meeting")
    assert meeting.is_disabled()
    voice.page.click("#voice-back")
    voice.heading("Your voice")
    for purpose in ("cloning", "passive_collection"):
        voice.page.check(f"#voice-{purpose}")
    voice.press(consent_text("en").agree).heading("How shall we get to know it?")
    meeting.click()
    voice.heading("Your voice is known here").says("Just talk")
    assert voice.script.body["purposes"] == ["voiceprint", "cloning", "passive_collection"]
    assert voice.page.inner_text(".voice-standing strong") == "Voice 0 %: 0 of 20 s"
    assert voice.page.evaluate("window.opened") == 1, "the meeting's microphone is the only one"


def test_a_file_in_place_of_reading(phone: OpenPhone) -> None:
    voice = joined(phone, mic=True)
    agreed(voice).body.get_by_role("button", name="Upload a recording").click()
    voice.heading("Upload a recording")
    voice.script.least_seconds = 10.0

    def give(seconds: float) -> None:
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(16000)
            tone = 9000 * np.sin(np.arange(int(16000 * seconds)) / 9)
            writer.writeframes(tone.astype("<i2").tobytes())
        voice.page.set_input_files(
            "#voice input[type=file]",
            {"name": "me.wav", "mimeType": "audio/wav", "buffer": file.getvalue()},
        )

    voice.script.failure = (415, "file_unreadable")
    give(1)
    voice.says("This recording cannot be read.")
    give(2)
    voice.says("at least 10 seconds")
    give(11)
    voice.says("That sounds good.").press("Next").heading("Does that sound like you?")
    voice.press("Save").heading("Your voice is known here")


def test_troubles_are_told_in_words_and_nothing_is_lost(phone: OpenPhone) -> None:
    voice = joined(phone)
    voice.script.keeps = False
    voice.open()
    assert "keeps no voices" in voice.body.inner_text()
    assert voice.body.get_by_role("button", name="Introduce my voice").count() == 0
    voice.page.keyboard.press("Escape")
    assert voice.page.evaluate("document.activeElement.className").find("voice-entry") > 0
    voice.script.keeps = True
    agreed(voice).body.get_by_role("button", name="Read three sentences").click()
    voice.heading("Sentence 1 of 3")
    voice.script.failure = (503, "worker_hung")
    voice.record().says("The server is busy.")
    assert voice.script.takes == {}
    voice.press("Send it again").says("That sounds good.")
    assert list(voice.script.takes) == ["1"], "the same recording, not a new one"
    for _ in range(2):
        voice.press("Next").record().says("That sounds good.")
    voice.press("Next").heading("Does that sound like you?")
    voice.script.failure = (500, "full")
    voice.press("Save").says("The server cannot store or delete anything")
    voice.script.failure = (404, "enrolment")
    voice.press("Save").says("Please start again.")
    voice.press("Save").heading("Your voice is known here")
    voice.press("Delete everything")
    voice.phone.page.route("**/voice", lambda route: route.abort())
    voice.press("Delete for good").says("The server does not answer")
    assert voice.page.evaluate("JSON.parse(localStorage['babblefish.profile'])") == "s1.key"
    voice.phone.page.unroute_all()
    voice.script.erasing = True
    voice.press("Delete for good").heading("Your voice is not known here")
    voice.says("the server still wipes the last traces")
    assert voice.page.evaluate("localStorage['babblefish.profile']") is None


def test_a_refused_microphone_is_explained_and_another_way_is_open(phone: OpenPhone) -> None:
    blocked = phone(mic=False)
    blocked.page.add_init_script(COUNT)
    voice = VoicePage(blocked.join(listen_only=True))
    agreed(voice).body.get_by_role("button", name="Read three sentences").click()
    voice.says("The microphone is blocked").says("allow the microphone")
    voice.phone.context.grant_permissions(["microphone"])
    voice.record().says("That sounds good.")
    voice.press("Back").heading("Your voice").press(consent_text("en").agree)
    voice.body.get_by_role("button", name="Upload a recording").click()
    voice.heading("Upload a recording")


def test_a_meeting_that_ends_ends_the_recording_too(phone: OpenPhone) -> None:
    voice = joined(phone)
    agreed(voice).body.get_by_role("button", name="Read three sentences").click()
    voice.press("Record")
    voice.page.wait_for_selector(".voice-record-button.on")
    voice.phone.web.do(lambda: voice.phone.web.hub.close_room(voice.phone.room.code))
    voice.phone.state("closed")
    voice.page.wait_for_selector("#voice", state="hidden")
    voice.phone.until("window.opened === 0")


def test_a_phone_is_known_again_in_the_next_meeting(phone: OpenPhone) -> None:
    dan = phone()
    dan.page.add_init_script("localStorage['babblefish.profile'] = '\"s1.key\"'")
    dan.join()
    assert dan.member.profile == "s1.key"
    assert phone().join().member.profile == ""


def test_a_ring_shows_how_much_of_the_voice_there_is(phone: OpenPhone) -> None:
    voice = joined(phone)
    script = voice.script
    script.enrolled, script.agreed = True, ["cloning", "passive_collection", "voiceprint"]
    script.samples, script.clips, script.seconds = 1, 2, 5.0
    voice.open().heading("Your voice is known here")
    assert voice.page.inner_text(".voice-standing strong") == "Voice 25 %: 5 of 20 s"
    script.seconds = 14.0
    voice.phone.until_texts(".voice-standing strong", ["Voice 70 %: 14 of 20 s"])
    label = voice.page.get_attribute(".voice-entry", "aria-label")
    assert label == "My voice. Voice 70 %: 14 of 20 s"
    voice.page.keyboard.press("Escape")
    voice.page.click("#open-settings")
    assert voice.page.inner_text("#voice-summary") == "Voice 70 %: 14 of 20 s"
    voice.page.click("#open-voice")
    voice.heading("Your voice is known here")


def test_the_page_writes_no_markup_from_what_the_server_says() -> None:
    from babblefish.ui.server import WEB

    for path in WEB.glob("voice*.js"):
        source = path.read_text("utf-8")
        for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
            assert forbidden not in source, path.name
