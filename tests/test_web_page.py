"""The phone page in a real browser over real WebRTC: joining, and reading captions."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

import pytest
from playwright.sync_api import Playwright

from babblefish.protocol import (
    Microphone,
    Person,
    Resume,
    Retract,
    Voicing,
    Warn,
)
from tests.web_browser import (
    INSECURE_HOST,
    OpenPhone,
    PhonePage,
    chromium,
    launch,
    phone,
    playwright,
    web,
)
from tests.web_server import WebServer

pytestmark = pytest.mark.e2e


# --- joining ---


def test_join_with_one_tap_speaks_and_hears(phone: OpenPhone) -> None:
    dan = phone().join()
    member = dan.member
    assert (member.name, member.speaks, member.hears, member.microphone) == (
        "Dan", "en", "en", True,
    )  # fmt: skip
    assert isinstance(member.events[0], Resume)
    assert dan.loudness() > 0.05
    dan.until_heard()
    assert dan.page.evaluate("document.getElementById('sound').paused") is False
    dan.until_texts("#people .name bdi", ["Dan"])


def test_join_with_the_keyboard_alone(phone: OpenPhone) -> None:
    ana = phone(locale="es-MX").open()
    ana.page.wait_for_selector("#join:not([hidden])")
    ana.page.focus("#name")
    ana.page.keyboard.type("Ana")
    for _ in range(12):
        ana.page.keyboard.press("Tab")
        if ana.page.evaluate("document.activeElement.id") == "listen-only":
            break
    ana.page.keyboard.press("Space")
    assert ana.page.is_checked("#listen-only")
    ana.page.focus("#name")
    ana.page.keyboard.press("Enter")
    ana.connected()
    assert (ana.member.name, ana.member.hears, ana.member.microphone) == ("Ana", "es", False)
    assert ana.page.evaluate("document.documentElement.lang") == "es"


def test_a_name_is_required_and_remembered(phone: OpenPhone) -> None:
    dan = phone().form("   ")
    dan.page.click("#join-button")
    assert dan.page.is_visible("#name-error")
    assert dan.page.evaluate("document.activeElement.id") == "name"
    dan.page.fill("#name", "Dan")
    dan.page.keyboard.press("Enter")
    dan.connected()
    dan.page.click("#leave")
    dan.state("left")
    dan.page.get_by_role("button", name="Join again").click()
    dan.page.wait_for_selector("#join:not([hidden])")
    assert dan.page.input_value("#name") == "Dan"
    dan.eventually(lambda: dan.room.members == {})


def test_the_form_says_what_a_language_lacks(phone: OpenPhone) -> None:
    page = phone(locale="de-AT").open().page
    page.wait_for_selector("#join:not([hidden])")
    assert page.input_value("#hears") == "en"
    assert page.input_value("#speaks") == "de"
    assert "Deutsch kann man hier noch nicht hören" in page.inner_text("#pair-notes")
    assert "Español" in page.inner_text("#speak-notes")
    assert page.locator("#hears option[value=pl]").count() == 0
    page.select_option("#hears", "ar")
    assert "nur Untertitel" in page.inner_text("#pair-notes")
    page.select_option("#hears", "it")
    assert "einfach" in page.inner_text("#pair-notes")
    page.select_option("#hears", "es")
    assert "Polski" in page.inner_text("#pair-notes")


def test_a_refused_microphone_is_explained_and_listening_offered(
    phone: OpenPhone,
) -> None:
    dan = phone(mic=False).form()
    dan.page.click("#join-button")
    dan.page.wait_for_selector("#mic-problem:not([hidden])")
    assert "blocked" in dan.page.inner_text("#mic-problem-title")
    assert "allow the microphone" in dan.page.inner_text("#mic-problem-help")
    dan.context.grant_permissions(["microphone"])
    dan.page.click("#mic-retry")
    dan.page.wait_for_selector("#mic-ok:not([hidden])")
    dan.page.click("#join-button")
    dan.connected()
    assert dan.member.microphone is True


def test_no_microphone_at_all(phone: OpenPhone, playwright: Playwright) -> None:
    bare = launch(playwright)
    try:
        dan = phone(browser=bare).form()
        dan.page.click("#join-button")
        dan.page.wait_for_selector("#mic-problem:not([hidden])")
        assert "No microphone" in dan.page.inner_text("#mic-problem-title")
        dan.page.click("#mic-listen")
        dan.page.click("#join-button")
        dan.connected()
        assert dan.member.microphone is False
        dan.context.close()
    finally:
        bare.close()


def test_without_https_people_can_still_listen(phone: OpenPhone) -> None:
    dan = phone().form(host=INSECURE_HOST)
    assert "secure connection" in dan.page.inner_text("#mic-problem-title")
    dan.page.wait_for_selector("#mic-problem-trust a[href='/trust']")
    dan.page.click("#mic-listen")
    dan.page.click("#join-button")
    dan.connected()
    assert dan.loudness() > 0.05


def slow_microphone(dan: PhonePage) -> None:
    """Let the browser take its time to open the microphone; ``window.tracks`` has what opened."""
    dan.page.add_init_script(
        """
        const media = navigator.mediaDevices;
        const open = media.getUserMedia.bind(media);
        window.tracks = [];
        media.getUserMedia = async (wish) => {
          await new Promise((done) => setTimeout(done, 1200));
          const stream = await open(wish);
          window.tracks.push(...stream.getTracks());
          return stream;
        };
        """
    )


def test_choosing_to_listen_while_the_microphone_opens_keeps_it_closed(phone: OpenPhone) -> None:
    dan = phone()
    slow_microphone(dan)
    dan.form()
    dan.page.click("label:has(#listen-only)")
    dan.page.click("#join-button")
    dan.connected()
    dan.page.wait_for_function("() => window.tracks.length > 0")
    dan.until("window.tracks.every((track) => track.readyState === 'ended')")
    assert "Listening only" in dan.page.inner_text("#talk")
    assert not [e for e in dan.member.events if isinstance(e, Microphone) and e.on]


def test_a_microphone_request_that_the_browser_loses_is_made_again(phone: OpenPhone) -> None:
    dan = phone()
    dan.page.add_init_script(
        """
        const media = navigator.mediaDevices;
        const open = media.getUserMedia.bind(media);
        window.asked = 0;
        const lost = new Promise(() => {});
        media.getUserMedia = (wish) => ((window.asked += 1) === 1 ? lost : open(wish));
        """
    )
    dan.join()
    dan.until_heard()
    assert dan.page.evaluate("() => window.asked") == 2


def test_joining_while_the_microphone_opens_waits_for_it(phone: OpenPhone) -> None:
    dan = phone()
    slow_microphone(dan)
    dan.join()
    assert dan.page.evaluate("() => window.tracks.length") == 1, "asked for once"
    assert dan.member.microphone
    dan.until_heard()
    live = "() => window.tracks.filter((track) => track.readyState === 'live').length"
    assert dan.page.evaluate(live) == 1, "one microphone is enough"


def test_a_listener_can_take_the_microphone_later(phone: OpenPhone) -> None:
    dan = phone().join(listen_only=True)
    assert dan.loudness() > 0.05
    assert "Listening only" in dan.page.inner_text("#talk")
    assert dan.page.is_disabled("#talk")
    dan.page.click("#mute")
    dan.page.wait_for_selector(".bar.on-air")
    dan.until_heard()
    dan.eventually(lambda: dan.member.microphone is True)


# --- captions ---


def test_partials_are_replaced_by_their_final_and_kept_in_order(phone: OpenPhone) -> None:
    dan = phone().join()
    dan.say("a", "Good mor", final=False)
    dan.say("b", "Hola", final=False, name="Sofía", member="p3", color=3)
    dan.until_texts(".caption .text", ["Good mor", "Hola"])
    assert dan.page.locator(".caption.partial").count() == 2
    dan.say("b", "Hello everyone.", name="Sofía", member="p3", color=3)
    dan.until_texts(".caption .text", ["Hello everyone.", "Good mor"])
    dan.say("a", "Good morning.")
    dan.say("a", "Good morning to you.", final=False)
    dan.until_texts(".caption .text", ["Hello everyone.", "Good morning."])
    assert dan.page.locator(".caption.partial").count() == 0
    dan.say("c", "Uh", final=False)
    dan.until_texts(".caption .text", ["Hello everyone.", "Good morning.", "Uh"])
    dan.send(Retract("c"))
    dan.until_texts(".caption .text", ["Hello everyone.", "Good morning."])


def test_the_original_shows_on_tap_in_its_own_direction(phone: OpenPhone) -> None:
    dan = phone().join()
    dan.say(
        "a", "Good morning.", name="ليلى", translated=True, synthetic=True, quality="basic",
        original_text="صباح الخير", original_language="ar", original_direction="rtl",
    )  # fmt: skip
    text, original = dan.page.locator(".caption .text"), dan.page.locator(".caption .original")
    text.wait_for()
    assert (text.get_attribute("lang"), text.get_attribute("dir")) == ("en", "ltr")
    assert not original.is_visible()
    text.click()
    assert original.is_visible()
    assert (original.get_attribute("lang"), original.get_attribute("dir")) == ("ar", "rtl")
    dan.page.get_by_role("button", name="Hide the original").press("Enter")
    assert not original.is_visible()
    assert "synthetic voice" in dan.page.inner_text(".caption .who")
    assert "basic translation" in dan.page.inner_text(".caption .marks")
    dan.send(Voicing("a", "playing"))
    dan.page.wait_for_selector(".caption.playing")
    dan.send(Voicing("a", "skipped"))
    dan.page.wait_for_selector(".caption:not(.playing) .marks >> text=not spoken")


def test_promise_29_captions_tell_whose_voice_is_heard(phone: OpenPhone) -> None:
    dan = phone().join()
    for utterance, seen in (("a", {}), ("b", {}), ("c", {"own_voice": True}), ("d", {})):
        if utterance == "d":
            dan.send(Voicing("d", "playing", True))  # before its caption
        dan.say(utterance, f"Sentence {utterance}.", translated=True, synthetic=True, **seen)
    badges = dan.page.locator(".caption .who .mark")
    neutral, own = "synthetic voice", "own voice, synthetic"
    dan.until_texts(".caption .who .mark", [neutral, neutral, own, own])
    dan.send(Voicing("b", "playing"))
    dan.send(Voicing("b", "playing", True))  # it took over
    dan.until_texts(".caption .who .mark", [neutral, own, own, own])
    dan.send(Voicing("b", "played"))
    dan.page.wait_for_selector(".caption:not(.playing) >> nth=1")
    dan.until_texts(".caption .who .mark", [neutral, own, own, own])
    assert badges.nth(1).is_visible(), "the heading says that the voice is another one"


def test_promise_27_nobody_is_named_who_may_be_somebody_else(phone: OpenPhone) -> None:
    dan = phone().join()
    dan.say("a", "Good morning.", name="Sofía", member="p3", color=3)
    dan.say("b", "Who am I?", name="Sofía", member="p3", color=3, known=False)
    dan.until_texts(".caption .text", ["Good morning.", "Who am I?"])
    names = dan.page.locator(".caption .who bdi")
    assert names.all_inner_texts() == ["Sofía", "Unknown (Sofía’s phone)"]
    lines = "getComputedStyle(e, '::before').backgroundColor"
    colours = dan.page.locator(".caption").evaluate_all(f"all => all.map((e) => {lines})")
    assert len(set(colours)) == 2, "nor wears anybody's colour"


HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "--> <!-- ]]> </p><style>*{display:none}</style>",
    "\u202etxt.exe\u2066 \u200fשלום",
    '"><svg onload=window.hacked=3>',
]


def test_promise_22_names_and_captions_are_inert(phone: OpenPhone, web: WebServer) -> None:
    room = web.room(HOSTILE[0])
    room.extras = [
        Person(f"x{i}", text, "en", "en", i, True, True) for i, text in enumerate(HOSTILE)
    ]
    dan = phone(room).join(HOSTILE[1][:40])
    for number, text in enumerate(HOSTILE):
        dan.say(
            f"u{number}", text, name=text, member=f"x{number}", translated=True,
            original_text=text, original_language="en",
        )  # fmt: skip
    dan.send(Warn("custom", HOSTILE[1]))
    dan.told(HOSTILE[1])
    dan.until_texts(".caption .text", HOSTILE)
    dan.until_texts(".caption .who bdi", HOSTILE)
    dan.until_texts(".caption .original", HOSTILE)
    assert dan.texts("#people .name bdi")[1:] == HOSTILE
    assert dan.page.inner_text("#room-name") == HOSTILE[0]
    assert dan.page.evaluate("window.hacked") is None
    strange = ".caption :is(img, script, style), #people img, p svg[onload]"
    assert dan.page.locator(strange).count() == 0
    # The right-to-left override in a name moves nothing outside that name.
    boxes = dan.page.evaluate(
        "[...document.querySelectorAll('.caption .who')].map((who) => [who.querySelector('bdi'), "
        "who.querySelector('time')].map((e) => e.getBoundingClientRect().left))"
    )
    name, time = boxes[3]
    assert name < time


def test_the_page_writes_no_markup_from_data() -> None:
    from babblefish.ui.server import WEB

    markup = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    page = ["main", "room", "captions", "caption-view", "roster", "join", "states", "dom", "call"]
    for name in page:
        source = (WEB / f"{name}.js").read_text("utf-8")
        for forbidden in markup:
            assert forbidden not in source, f"{name}.js uses {forbidden}"


def test_scrolling_never_fights_the_reader(phone: OpenPhone) -> None:
    dan = phone().join()
    for number in range(40):
        dan.say(f"u{number}", f"Sentence number {number} of a long meeting.", at=number * 100.0)
    dan.until("document.querySelectorAll('.caption').length === 40")
    at_end = (
        "(b => b.scrollHeight - b.scrollTop - b.clientHeight < 2)"
        "(document.getElementById('captions'))"
    )
    dan.until(at_end)
    dan.page.evaluate("document.getElementById('captions').scrollTop = 300")
    dan.page.wait_for_selector("#newest:not([hidden])")
    dan.say("late", "Something new.")
    dan.say("later", "Still being s", final=False)
    dan.until_texts("#newest-count", ["1"])
    assert dan.page.evaluate("document.getElementById('captions').scrollTop") == 300
    dan.page.click("#newest")
    dan.until(at_end)
    dan.page.wait_for_selector("#newest", state="hidden")
    dan.say("last", "And another one.")
    dan.until_texts(".caption:nth-last-child(2) .text", ["And another one."])
    dan.until(at_end)


def test_a_long_meeting_keeps_the_page_small(phone: OpenPhone) -> None:
    dan = phone().join()

    def talk() -> None:
        for number in range(800):
            dan.room.say(f"u{number}", f"Sentence {number}.")

    dan.web.do(talk)
    last = "document.querySelector('.caption:last-child .text')"
    dan.until(f"{last}?.textContent === 'Sentence 799.'")
    assert dan.page.locator(".caption").count() <= 600


def test_screen_readers_get_finished_captions_when_asked(phone: OpenPhone) -> None:
    dan = phone().join()
    dan.say("a", "Not announced.")
    dan.page.click("#open-settings")
    dan.page.check("#live-log")
    dan.page.keyboard.press("Escape")
    dan.say("b", "Half a", final=False)
    dan.say("b", "Half a sentence.")
    dan.until_texts("#log[role=log][aria-live=polite] p", ["Pierre: Half a sentence."])
