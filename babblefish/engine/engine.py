"""The engine: utterances in, transcripts, translations and speech out.

Owns the worker pools of one profile and everything languages need to be offered. It knows no
rooms, listeners or web: ``process`` is given one utterance and the languages somebody wants.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from babblefish import languages
from babblefish.engine import routes, strain, translations, words
from babblefish.engine.backlog import Backlog
from babblefish.engine.foresight import Foresight
from babblefish.engine.hush import Hush
from babblefish.engine.interpretation import Interpretation, checked_recognition
from babblefish.engine.job_queue import Priority
from babblefish.engine.listening import VadStream, VoiceActivity
from babblefish.engine.offers import Abilities
from babblefish.engine.pitch import Pitch, measure
from babblefish.engine.pool_part import PoolPart
from babblefish.engine.precedence import Precedence
from babblefish.engine.profiles import Profile, StagePlan
from babblefish.engine.stages import SPEECH_RATE, RecogniserCapabilities
from babblefish.engine.strain import Strain
from babblefish.engine.text_language import TextLanguage, TextLanguages
from babblefish.engine.workers import WorkerPool
from babblefish.errors import BabbleFishError, TranslationError
from babblefish.languages import LanguageOffer
from babblefish.protocol import EngineMessage, Quality, Transcript, Translation, Utterance, Word

if TYPE_CHECKING:
    from babblefish.engine.two_tier import OwnVoice

T = TypeVar("T")

_DRAFT_TIMEOUT_S = 60.0
"""a partial caption has the cores only while nothing else wants them"""
_MUCH = 0.2
"""of the time"""
_PITCH_SECONDS = 5.0
"""of an utterance that its pitch is measured on"""


class Engine:
    """All methods are for one event loop. ``start`` before anything else."""

    def __init__(self, profile: Profile) -> None:
        self.profile_name = profile.name
        self.ready = False
        self.pools: list[WorkerPool] = []
        self._shared: dict[str, WorkerPool] = {}
        """factory → the pool that holds several of the stages"""
        self._precedence = Precedence() if profile.shares_cores else None
        self._hush = Hush() if profile.shares_cores else None
        self._vad = self._pool("vad", profile.vad, None)
        self.recogniser = self._stage("recogniser", profile.recogniser)
        translator, drafter = profile.translator, profile.drafter
        self.translator = self._stage("translator", translator) if translator else None
        precedence = self._precedence
        self._drafter = self._pool("drafter", drafter, precedence) if drafter else None
        self.synthesisers = [
            self._pool(f"synthesiser-{i}", plan, precedence)
            for i, plan in enumerate(profile.synthesisers)
        ]
        self.speaker_encoder = self._pool("speaker", profile.speaker_encoder, precedence)
        self._activity = VoiceActivity(self._vad)
        self._backlogs: defaultdict[tuple[str, Priority], Backlog] = defaultdict(Backlog)
        self._preparing: set[asyncio.Task] = set()
        self.text_languages = TextLanguages(on_start=self.pools.append)
        self._arithmetic = ThreadPoolExecutor(1, "pitch")
        """for what is too little for a worker process and too much for the event loop"""
        shared = self.recogniser.pool if isinstance(self.recogniser, PoolPart) else self.recogniser
        strained = [shared, *self.synthesisers]
        self._strain = Strain(strained, profile.cores)
        self._peoples_strain = Strain(strained, profile.cores, Priority.DRAFT)

    def _pool(self, name: str, plan: StagePlan, precedence: Precedence | None) -> WorkerPool:
        pool = WorkerPool(
            name, plan.spec, processes=plan.processes, threads=plan.threads, nice=plan.nice,
            precedence=precedence,
        )  # fmt: skip
        self.pools.append(pool)
        return pool

    def _stage(self, name: str, plan: StagePlan) -> WorkerPool | PoolPart:
        """A pool of its own, or the part of one that is there already."""
        if not plan.spec.part:
            return self._pool(name, plan, self._precedence)
        if plan.spec.factory not in self._shared:
            self._shared[plan.spec.factory] = self._pool(name, plan, self._precedence)
        return PoolPart(self._shared[plan.spec.factory], plan.spec.part)

    @property
    def strain(self) -> float:
        """See ``Strain``: from ``strain.BUSY`` on, leave out what is merely nice to have."""
        return self._strain.now()

    def strain_of(self, priority: Priority) -> float:
        """What people say does not have to wait for what is said among programs, which do with the
        bare necessities while people talk."""
        if priority is Priority.NOW:
            return self._peoples_strain.now()
        return max(self.strain, strain.OVERLOADED if self.stands_back(priority) else 0.0)

    def stands_back(self, priority: Priority) -> bool:
        """Whether such work has had to rest for people's for much of the time lately."""
        return self._precedence is not None and self._precedence.share(priority) > _MUCH

    async def start(self) -> None:
        """Load and warm all stages. Raises the first error, with the others stopped."""
        try:
            async with asyncio.TaskGroup() as group:
                for pool in self.pools:
                    group.create_task(pool.start(), name=f"start {pool.name}")
        except BaseExceptionGroup as errors:
            await self.close()
            raise errors.exceptions[0] from None
        self.ready = True

    async def close(self) -> None:
        self.ready = False
        await asyncio.gather(*(pool.close() for pool in self.pools), self.text_languages.close())
        await asyncio.gather(*self._preparing)
        self._arithmetic.shutdown(wait=False)

    # --- what is served ---------------------------------------------------------------------

    @property
    def recogniser_capabilities(self) -> RecogniserCapabilities:
        return self.recogniser.capabilities

    def route(self, source: str, target: str) -> routes.Route | None:
        translator = self.translator.capabilities if self.translator else None
        return routes.plan(source, target, self.recogniser_capabilities, translator)

    def pair(self, source: str, target: str) -> Quality | None:
        """How well ``source`` is translated into ``target``; None: not at all."""
        if source == target:
            return "good"
        route = self.route(source, target)
        return route.quality if route else None

    def synthesiser(self, language: str) -> WorkerPool | None:
        """The best voice for ``language``, None when nothing can speak it."""
        for pool in self.synthesisers:
            if language in pool.capabilities.voices:
                return pool
        return None

    def plain_synthesiser(self, language: str) -> WorkerPool | None:
        """Speaks ``language`` without effort, if not well."""
        for pool in self.synthesisers:
            if pool.capabilities.quality == "basic" and language in pool.capabilities.voices:
                return pool
        return None

    def backlog(self, synthesiser: WorkerPool, priority: Priority = Priority.NOW) -> Backlog:
        """What it has still to say of that kind."""
        return self._backlogs[synthesiser.name, priority]

    def voices(self, language: str) -> tuple[str, ...]:
        """Voice names for ``language``, best first."""
        pool = self.synthesiser(language)
        return pool.capabilities.voices[language] if pool else ()

    @property
    def abilities(self) -> Abilities:
        """What the stages can do together."""
        return Abilities(
            self.recogniser_capabilities,
            self.translator.capabilities if self.translator else None,
            [pool.capabilities for pool in self.synthesisers],
        )

    def hearing(self, language: str) -> languages.Hearing | None:
        """See ``Abilities.hearing``."""
        return self.abilities.hearing(language)

    def languages(self) -> list[LanguageOffer]:
        """Every language that may be spoken or heard, best served first."""
        return self.abilities.languages()

    # --- work -------------------------------------------------------------------------------

    def listen(self) -> VadStream:
        """Voice activity of one more microphone."""
        return self._activity.open()

    def may_listen(self, priority: Priority) -> bool:
        """Whether more may be taken now of the sound in which such work is found. See ``Hush``."""
        return self._hush is None or priority is Priority.NOW or not self._hush.goes_on

    async def turn_to_listen(self, priority: Priority) -> None:
        """Until ``may_listen``, or little longer: not everybody goes on at once."""
        if self._hush is not None and not self.may_listen(priority):
            await self._hush.over()

    def hush(self, priority: Priority) -> contextlib.AbstractContextManager[None]:
        """While somebody waits for such work's first sound."""
        if self._hush is None or priority is not Priority.NOW:
            return contextlib.nullcontext()
        return self._hush.keep()

    async def process(
        self,
        utterance: Utterance,
        targets: Mapping[str, str | None],
        emit: Callable[[EngineMessage], None],
        *,
        pace: Callable[[str], float | None] = lambda language: 1.0,
        priority: Priority = Priority.NOW,
        foresight: Foresight | None = None,
        own_voice: OwnVoice | None = None,
    ) -> None:
        """Interpret one utterance; ``emit`` gets each message as soon as it exists.

        targets: language → voice name, or None for captions only. pace: speaking speed wanted
        for a language, asked before each clause; None when nobody waits for the rest any more.
        foresight: what was made of the utterance's drafts. own_voice: how it may be said in the
        speaker's own voice. The order per language is Transcript,
        Translation, Speech …; a Trace comes last. What goes wrong becomes a Notice; only
        cancellation is raised, and stops the work.
        """
        await Interpretation(
            self, utterance, targets, emit, pace, priority, foresight, own_voice
        ).run()

    async def draft(
        self, utterance: Utterance, targets: Iterable[str], priority: Priority = Priority.DRAFT
    ) -> tuple[Transcript, list[Translation]]:
        """A quick look at unfinished speech, and its translations by the routes of final ones.

        Raises BabbleFishError when the recogniser cannot; drafts are dropped under load.
        """
        wanted = tuple(targets)
        recogniser = self._draft_recogniser(utterance.language)
        request = translations.request(self, utterance, wanted, recogniser.capabilities, draft=True)
        raw = await recogniser.call(
            "transcribe", utterance.audio.samples, request, priority=priority,
            timeout=_DRAFT_TIMEOUT_S,
        )  # fmt: skip
        heard = translations.spelt(checked_recognition(raw), utterance.glossary)
        transcript = Transcript(
            utterance.id, heard.text, heard.language, heard.language_probability,
            heard.confidence, final=False,
        )  # fmt: skip
        found = []
        for target in wanted if heard.text else ():
            if target == heard.language:
                continue
            with contextlib.suppress(TranslationError):
                text, route = await translations.translate(
                    self, heard, target, utterance.glossary, priority
                )
                found.append(Translation(utterance.id, target, text, route.quality, False))
        return transcript, found

    def _draft_recogniser(self, language: str | None) -> WorkerPool | PoolPart:
        """The drafter, unless it does not know the language and the recogniser does."""
        drafter = self._drafter
        if drafter and (language is None or language in drafter.capabilities.languages):
            return drafter
        return self.recogniser

    async def words(
        self, samples: np.ndarray, text: str, language: str, priority: Priority = Priority.BATCH
    ) -> tuple[Word, ...]:
        """When the words of ``text`` were said in (n,) float32 of 16 kHz speech of any length, in
        seconds from its beginning; in order, never overlapping. Languages without spaces between
        words are cut into characters (see ``word_splitting``).

        Empty where no stage of this profile can tell (``times_words``), where ``text`` has no word,
        or where it cannot be what is said. Raises BabbleFishError as the recogniser does.
        """
        timer = self._word_timer(language)
        if timer is None or not text.strip() or not len(samples):
            return ()
        return await words.words(timer, samples, text, language, priority)

    def times_words(self, language: str) -> bool:
        """Whether ``words`` knows this language."""
        return self._word_timer(language) is not None

    def _word_timer(self, language: str) -> WorkerPool | PoolPart | None:
        """The drafter if it can: what nobody waits for had better not keep the recogniser."""
        for stage in (self._drafter, self.recogniser):
            if stage is not None and language in stage.capabilities.word_times:
                return stage
        return None

    def foresight(
        self, pace: Callable[[str], float | None], priority: Priority = Priority.NEXT
    ) -> Foresight:
        """For one utterance's drafts; then give it to ``process``."""
        return Foresight(self.synthesiser, pace, priority)

    def translates_text(self, source: str, target: str) -> bool:
        """Whether ``translate`` serves this pair."""
        return self.translator is not None and (
            (source, target) in self.translator.capabilities.pairs
        )

    async def translate(
        self, text: str, source: str, target: str, priority: Priority = Priority.NOW
    ) -> str:
        """Text to text. Raises TranslationError("pair") for a pair that is not served."""
        return (await self.translate_together([text], source, target, priority))[0]

    async def translate_together(
        self, texts: list[str], source: str, target: str, priority: Priority = Priority.NOW
    ) -> list[str]:
        """Several texts as one job, in order; otherwise as ``translate``."""
        if self.translator is None:
            raise TranslationError("pair", "This profile does not translate text.")
        answer = await self.translator.call(
            "translate", texts, source, target, priority=priority, timeout=10.0
        )
        fits = isinstance(answer, list) and len(answer) == len(texts)
        if not (fits and all(isinstance(text, str) for text in answer)):
            raise TranslationError("bad_output", "The translator returned no text.")
        return answer

    async def identify_texts(
        self, texts: Sequence[str], expected: Collection[str]
    ) -> list[TextLanguage]:
        """What each text is written in, of the languages that this profile knows.

        expected: those that the caller can do something with. Raises WorkerError.
        """
        return await self.text_languages.identify(texts, expected, self.abilities.known)

    def prepare(self, spoken: Iterable[str], heard: Iterable[str]) -> None:
        """People who speak and hear these languages have met: load in the background what
        translating between them takes, so that the first sentence need not wait for it."""
        listened = set(heard)
        for language in listened:
            pool = self.synthesiser(language)
            if pool is not None and pool.capabilities.on_demand:
                self._soon(
                    f"prepare {language}", pool.call("prepare", language, priority=Priority.NEXT)
                )
        for source, target in itertools.product(set(spoken), listened):
            route = self.route(source, target)
            text_from = source if route and route.kind == "text" else route and route.through
            if self.translator and text_from and self.translates_text(text_from, target):
                call = self.translator.call("prepare", text_from, target, priority=Priority.NEXT)
                self._soon(f"prepare {text_from} {target}", call)

    def _soon(self, name: str, call: Coroutine[Any, Any, Any]) -> None:
        async def quietly() -> None:
            with contextlib.suppress(BabbleFishError):  # reported when somebody needs it
                await call

        task = asyncio.create_task(quietly(), name=name)
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def pitch(self, audio: np.ndarray) -> Pitch | None:
        """How high 16 kHz speech is spoken; None where too little of it is voiced."""
        some = audio[: int(_PITCH_SECONDS * SPEECH_RATE)]
        return await self.calculate(measure, some, SPEECH_RATE)

    async def calculate(self, work: Callable[..., T], *arguments: Any) -> T:
        """``work(*arguments)`` on the engine's own thread: for arithmetic of some milliseconds."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._arithmetic, work, *arguments)

    async def embed(self, audio: np.ndarray, priority: Priority = Priority.NOW) -> np.ndarray:
        """Voiceprint of 16 kHz speech, (dimension,) float32. Raises SpeakerError, WorkerError."""
        return await self.speaker_encoder.call("embed", audio, priority=priority, timeout=10.0)
