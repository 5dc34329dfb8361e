"""What programs written for OpenAI's interface send with a recording: each field checked, honoured,
or refused by its name. Knows neither recordings nor answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_origin

from pydantic import Field, ValidationError, field_validator

from babblefish import languages
from babblefish.errors import BabbleFishError
from babblefish.ui.api import Body
from babblefish.ui.programs.listening import ListeningRequest
from babblefish.ui.programs.openai_errors import FieldError, field_error
from babblefish.ui.programs.openai_models import TRANSCRIBING, check_model

Code = Annotated[str, Field(max_length=35)]
Term = Annotated[str, Field(min_length=1, max_length=40)]
_PROMPT = 2000
"""characters of a prompt's end that are looked at"""


class TranslationForm(Body):
    model: str = Field(max_length=100)
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"
    prompt: str = Field(
        "", max_length=20_000, description="Taken, and without effect: it would be in English"
    )
    temperature: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False,
        description="Taken, and without effect: the same sound gives the same words",
    )  # fmt: skip
    language: Code = Field("", description="Not one of OpenAI's fields: what is spoken, if known")

    @property
    def ignored(self) -> list[str]:
        """Fields that were sent, and have no effect."""
        found = ["prompt"] if self.prompt else []
        return [*found, "temperature"] if self.temperature else found

    def request(self) -> ListeningRequest:
        """Raises FieldError."""
        check_model(self.model, TRANSCRIBING)
        return ListeningRequest(_code(self.language), targets=("en",))


class TranscriptionForm(Body):
    model: str = Field(max_length=100)
    language: Code = ""
    languages: list[Code] = Field([], max_length=20, description="Those that may be spoken")
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"] = "json"
    timestamp_granularities: list[Literal["word", "segment"]] = Field(
        [], max_length=2, description="With verbose_json; segment by default"
    )
    stream: bool = False
    prompt: str = Field("", max_length=20_000)
    keywords: list[Term] = Field([], max_length=100, description="Names and terms to be spelt so")
    temperature: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False,
        description="Taken, and without effect: the same sound gives the same words",
    )  # fmt: skip
    chunking_strategy: str = Field(
        "auto", max_length=200, description="auto: what is always done, cut by who speaks when"
    )
    include: list[str] = Field([], max_length=5, description="logprobs cannot be had")
    known_speaker_names: list[str] = Field([], max_length=10, description="Cannot be had")
    known_speaker_references: list[str] = Field([], max_length=10, description="Cannot be had")

    @field_validator("chunking_strategy")
    @classmethod
    def _as_ever(cls, value: str) -> str:
        if value not in ("", "auto", "server_vad", '{"type": "server_vad"}'):
            raise ValueError("speech is found as always here; leave it out, or send auto")
        return value

    @property
    def ignored(self) -> list[str]:
        return ["temperature"] if self.temperature else []

    @property
    def words(self) -> bool:
        return "word" in self.timestamp_granularities

    def request(self) -> ListeningRequest:
        """Raises FieldError."""
        check_model(self.model, TRANSCRIBING)
        _refuse("include", self.include, "Log probabilities cannot be had here; leave it out.")
        for name in ("known_speaker_names", "known_speaker_references"):
            _refuse(
                name, getattr(self, name), "Voices are told apart here, but known only to people "
                "who agreed to that on the host page; leave it out.",
            )  # fmt: skip
        if self.timestamp_granularities and self.response_format != "verbose_json":
            raise FieldError(
                "timestamp_granularities", "bad_input",
                "timestamp_granularities: send it with response_format verbose_json.",
            )  # fmt: skip
        if self.stream and self.response_format in ("srt", "vtt", "verbose_json"):
            raise FieldError(
                "stream", "bad_input",
                f"stream: {self.response_format} comes as a whole. Leave stream out, or use json.",
            )  # fmt: skip
        among = tuple(dict.fromkeys(_code(code, "languages") or "" for code in self.languages))
        language = _code(self.language) or (among[0] if len(among) == 1 else None)
        return ListeningRequest(
            language, words=self.words, prompt=self.prompt[-_PROMPT:],
            glossary=tuple(self.keywords), among=() if language else among,
        )  # fmt: skip


Form = TypeVar("Form", TranslationForm, TranscriptionForm)


def parsed(kind: type[Form], fields: Mapping[str, Sequence[str]]) -> Form:
    """The fields of a form, lists as ``name[]`` or ``name`` repeated. Raises FieldError."""
    values: dict[str, Any] = {}
    for told, sent in fields.items():
        name, _, inner = told.partition("[")
        if name == "chunking_strategy" and inner == "type]":
            name, inner = "chunking_strategy", "]"
        field = kind.model_fields.get(name)
        if field is None or inner not in ("", "]"):
            raise FieldError(
                name[:60], "unknown_parameter", f"There is no field {told[:60]} here. Leave it out."
            )
        if get_origin(field.annotation) is list:
            values[name] = [*values.get(name, ()), *sent]
        elif len(sent) > 1 or name in values:
            raise FieldError(name, "bad_input", f"{name}: this field was sent more than once.")
        else:
            values[name] = sent[0]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise field_error(error.errors()[0], ()) from error


def _code(code: str, param: str = "language") -> str | None:
    if code in ("", "auto"):
        return None
    try:
        return languages.normalise(code)
    except BabbleFishError as error:
        raise FieldError(param, error.code, error.message) from error


def _refuse(name: str, sent: list[str], message: str) -> None:
    if sent:
        raise FieldError(name, "unsupported_parameter", f"{name}: {message}")
