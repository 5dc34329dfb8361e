"""The owner's page on the laptop (Gradio): how it goes, and a box to try a voice.

Figures come from ``reception``; who may see the page is decided in ``page_wall``. Of a voice that
is tried, nothing stays: its copy at the synthesiser is deleted after each sentence, its file as
soon as it is replaced or removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import soundfile
from fastapi import FastAPI
from gradio.themes import Base

from babblefish.accelerator import page_views as views
from babblefish.accelerator.page_views import Connection
from babblefish.accelerator.reception import Reception
from babblefish.accelerator_protocol import (
    MOST_TEXT,
    PutVoice,
    Synthesize,
    decode_audio,
    digest_of,
    encode_audio,
)
from babblefish.audio import resample, to_float32, wav_file
from babblefish.errors import AudioError, BabbleFishError
from babblefish.languages import english_name

PATH = "/page"
MOST_BYTES = 20_000_000
_RATE = 24_000
_LONGEST_S, _SHORTEST_S = 30.0, 1.0
_LOOK_S = 1.0
_TRY_S = 300.0
"""a sentence takes no longer, even without a GPU"""
_FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
GRADIO_6 = int(gr.__version__.partition(".")[0]) >= 6
"""F5-TTS wants it, the room server Gradio 5: the theme is told elsewhere, and the page evaluates
templates of its own"""
_NO_SHARING: dict[str, Any] = {"buttons": []} if GRADIO_6 else {"show_share_button": False}
_QUIETLY: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
_TOP = '<header class="bl-top"><h1>BabbleFish <span>laptop</span></h1></header>'


@dataclass(frozen=True, slots=True)
class Trial:
    """What somebody wants to hear."""

    clip: str | None
    """path of the file"""
    text: str
    clip_language: str
    sentence: str
    language: str


def theme() -> Base:
    """System fonts only: nothing is fetched. Its colours are in page.css."""
    base = Base(
        primary_hue="teal", neutral_hue="slate", font=_FONT, font_mono=_MONO, radius_size="lg"
    )
    return base.set(
        input_border_color="#75868f", input_border_color_dark="#7d929c", input_border_width="1px",
        block_background_fill_dark="#162127", input_background_fill_dark="#0d1519",
        block_border_color_dark="#2b3b43", block_label_background_fill_dark="#162127",
    )  # fmt: skip


def build(reception: Reception, connection: Callable[[], Connection]) -> gr.Blocks:
    early: dict[str, Any] = {} if GRADIO_6 else {"theme": theme()}
    with gr.Blocks(
        title="BabbleFish laptop", analytics_enabled=False, fill_width=True,
        delete_cache=(60, 600), **early,
    ) as page:  # fmt: skip
        gr.HTML(_TOP, padding=False)
        with gr.Row(elem_classes="bl-columns"):
            with gr.Column(min_width=300):
                state = gr.HTML(padding=False)
                work = gr.HTML(padding=False)
            with gr.Column(min_width=300):
                offered = _trial_box(reception)
        last = gr.HTML(padding=False)

        async def look(shown: list[str]) -> tuple[Any, ...]:
            health = reception.health()
            languages = list(health.languages)
            choices = gr.update(choices=_choices(languages)) if languages != shown else gr.skip()
            return (
                views.state_card(health, connection()), views.work_card(health),
                views.last_card(reception.last), choices, choices, languages,
            )  # fmt: skip

        shown = gr.State([])
        outputs = [state, work, last, *offered, shown]
        page.load(look, shown, outputs, **_QUIETLY)
        gr.Timer(_LOOK_S).tick(look, shown, outputs, **_QUIETLY)
    return page


def _trial_box(reception: Reception) -> list[gr.Dropdown]:
    """The two choices of a language."""
    gr.HTML(
        '<section class="bl-lead"><h2>Try a voice</h2><p>Five to ten seconds of one person who '
        "agrees to it, without noise.</p></section>",
        padding=False,
    )
    clip = gr.Audio(label="Clip", type="filepath", sources=["upload", "microphone"], **_NO_SHARING)
    text = gr.Textbox(label="What is said in the clip, word for word", max_length=MOST_TEXT)
    clip_language = gr.Dropdown([], label="Language of the clip")
    sentence = gr.Textbox(label="What it should say", lines=2, max_length=MOST_TEXT)
    language = gr.Dropdown([], label="In which language")
    with gr.Row():
        speak = gr.Button("Speak", variant="primary")
        forget = gr.Button("Delete the clip")
    heard = gr.HTML(padding=False)
    kept = gr.State(None)

    def changed(now: str | None, before: str | None) -> str | None:
        if before and before != now:
            _delete(before)
        return now

    async def tried(*what: Any) -> tuple[str, Any]:
        try:
            async with asyncio.timeout(_TRY_S):
                return await try_voice(reception, Trial(*what)), gr.update(interactive=True)
        except BabbleFishError as error:
            return views.problem_card(error.message), gr.update(interactive=True)
        except TimeoutError:
            late = f"It took more than {_TRY_S:.0f} seconds. Try a shorter sentence."
            return views.problem_card(late), gr.update(interactive=True)

    def cleared() -> tuple[None, str]:
        return None, ""  # and ``changed`` deletes the file, once nothing plays it any more

    def begun() -> tuple[str, Any]:
        return '<p class="bl-muted">Speaking…</p>', gr.update(interactive=False)

    clip.change(changed, [clip, kept], kept, **_QUIETLY)
    pressed = speak.click(begun, None, [heard, speak], **_QUIETLY)
    inputs = [clip, text, clip_language, sentence, language]
    pressed.then(tried, inputs, [heard, speak], **_QUIETLY)
    forget.click(cleared, None, [clip, heard], **_QUIETLY)
    return [clip_language, language]


_reader = ThreadPoolExecutor(1, "try a voice")
"""decodes clips: the loop's own executor is for quick things"""


async def try_voice(reception: Reception, trial: Trial) -> str:
    """HTML with the sound. Raises BabbleFishError with a sentence for the owner."""
    for what, missing in (
        (trial.clip, "Choose or record a clip first."),
        (trial.text.strip(), "Type what is said in the clip: without it the voice cannot be told."),
        (trial.clip_language, "Choose the language of the clip."),
        (trial.sentence.strip(), "Type what the voice should say."),
        (trial.language, "Choose the language of the sentence."),
    ):
        if not what:
            raise AudioError("incomplete", missing)
    loop = asyncio.get_running_loop()
    samples = await loop.run_in_executor(_reader, read_clip, Path(trial.clip or ""))
    speaker, clip = f"page-{secrets.token_hex(8)}", encode_audio(samples)
    digest = digest_of(clip, trial.text.strip(), _RATE)
    began = time.monotonic()
    pieces, rate, first_s = [], _RATE, 0.0
    try:
        await reception.put_voice(
            PutVoice(
                speaker_id=speaker, digest=digest, text=trial.text.strip(),
                language=trial.clip_language, clip=clip, sample_rate=_RATE,
            )
        )  # fmt: skip
        request = Synthesize(
            request_id=speaker, text=trial.sentence.strip(), language=trial.language,
            speaker_id=speaker, reference=digest,
        )  # fmt: skip
        async with contextlib.aclosing(reception.speak(request, "page")) as clauses:
            async for clause in clauses:
                first_s = first_s or time.monotonic() - began
                pieces.append(decode_audio(clause.audio))
                rate = clause.sample_rate
    finally:
        await asyncio.shield(reception.delete_voice(speaker))
    if not pieces:
        raise AudioError("nothing", "Nothing was spoken. Try another sentence.")
    return views.spoken_card(
        wav_file(np.concatenate(pieces), rate), time.monotonic() - began, first_s
    )


def read_clip(path: Path) -> np.ndarray:
    """float32 at 24 kHz. Raises AudioError with a sentence for the owner."""
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > _LONGEST_S * file.samplerate:
                raise AudioError(
                    "too_long",
                    f"The clip is longer than {_LONGEST_S:.0f} seconds. Five to ten are best.",
                )
            samples, rate = file.read(dtype="float32", always_2d=True), file.samplerate
    except (OSError, soundfile.SoundFileError) as error:
        raise AudioError(
            "unreadable", "The clip cannot be read. Use WAV, FLAC, OGG or MP3."
        ) from error
    sound = resample(to_float32(samples.T), rate, _RATE)
    if len(sound) < _SHORTEST_S * _RATE:
        raise AudioError("too_short", "The clip is too short. Five to ten seconds are best.")
    if not np.isfinite(sound).all() or float(np.abs(sound).max()) < 1e-3:
        raise AudioError("silent", "Nothing is to be heard in the clip.")
    return sound


def _delete(path: str) -> None:
    """The file of a clip, and the folder that Gradio made for it."""
    file = Path(path)
    with contextlib.suppress(OSError):
        file.unlink()
        file.parent.rmdir()


def _choices(codes: list[str]) -> list[tuple[str, str]]:
    return sorted((english_name(code), code) for code in codes)


def mount(app: FastAPI, page: gr.Blocks) -> None:
    """Serve ``page`` below ``PATH``, without its API, monitoring or error details."""
    page.queue(api_open=False, default_concurrency_limit=None, max_size=50)
    late: dict[str, Any] = {"theme": theme()} if GRADIO_6 else {}
    with contextlib.redirect_stdout(io.StringIO()):  # it reports the path
        gr.mount_gradio_app(
            app, page, path=PATH, allowed_paths=[], max_file_size=MOST_BYTES, show_error=False,
            ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False, **late,
        )  # fmt: skip
