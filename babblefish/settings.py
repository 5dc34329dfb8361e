"""One frozen Settings object, read once by an entry point and passed in.

Every field can be set as an environment variable ``BABBLEFISH_<FIELD>``; a command-line option
of the same name wins. Nothing else in the program reads the environment.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import platformdirs
from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from babblefish.errors import SettingsError

OFFLINE_ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYANNOTE_METRICS_ENABLED": "false",
    "WANDB_MODE": "disabled",
    "DO_NOT_TRACK": "1",
}
"""Set by entry points before heavy imports: a meeting makes no request outside the machine."""


T = TypeVar("T", bound=BaseSettings)
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d{1,5})?")


def _port_range(text: Any) -> Any:
    """ "40000-40999" → range(40000, 41000); "" → None."""
    if not isinstance(text, str):
        return text
    if not text.strip():
        return None
    first, dash, last = text.partition("-")
    try:
        ports = range(int(first), int(last if dash else first) + 1)
    except ValueError as error:
        raise ValueError("two numbers and a dash between them, such as 40000-40999") from error
    if not (1024 <= ports.start < ports.stop <= 65536):
        raise ValueError("from 1024 to 65535, the smaller number first, such as 40000-40999")
    return ports


def _addresses(text: Any) -> Any:
    """ "203.0.113.7, 2001:db8::7" → its addresses."""
    if not isinstance(text, str):
        return text
    try:
        return tuple(
            str(ipaddress.ip_address(part.strip())) for part in text.split(",") if part.strip()
        )
    except ValueError as error:
        raise ValueError("IP addresses with commas between them, such as 203.0.113.7") from error


UdpPorts = Annotated[range | None, BeforeValidator(_port_range), NoDecode]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_addresses), NoDecode]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="BABBLEFISH_", frozen=True, extra="ignore", arbitrary_types_allowed=True
    )

    data_dir: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("babblefish")))
    """certificates, keys, rooms, transcripts and people's data; never inside the source tree"""
    weights_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("babblefish")) / "weights"
    )
    """assembled and verified model weights, shared by all profiles"""
    profile: str = "auto"

    host: str = "0.0.0.0"
    """address to listen on"""
    port: int = Field(9000, ge=1, le=65535)
    http: bool = False
    """plain http: for localhost, or behind a reverse proxy that speaks https"""
    public_url: str = ""
    """address people use when a reverse proxy stands in front, such as https://fish.example.org"""
    udp_ports: UdpPorts = None
    """UDP ports for sound, such as 40000-40999, for a firewall to open; empty: any free one"""
    announce: Addresses = ()
    """further addresses at which phones reach this machine, such as 203.0.113.7: those that it
    does not have itself, since a router or a container network translates them"""

    threads: int = Field(0, ge=0)
    """CPU threads for models; 0 plans from the machine's cores"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the large networks run; auto takes a GPU that is there"""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """what SeamlessM4T computes with; auto chooses by what the machine can and has"""

    max_rooms: int = Field(20, ge=1)
    max_members: int = Field(40, ge=1)
    """per room"""
    grace_seconds: float = Field(120.0, ge=0)
    """how long a participant without a connection stays in the room"""
    room_idle_hours: float = Field(12.0, gt=0)
    """an empty room is closed after this"""
    token_hours: float = Field(24.0, gt=0)
    """a room's link works for this long; the host can renew it"""
    connection_timeout: float = Field(6.0, gt=0)
    """seconds without a media packet after which a connection counts as lost"""
    offers_per_minute: int = Field(20, ge=1)
    """WebRTC offers accepted per address and room"""

    log_format: Literal["auto", "json", "text"] = "auto"
    """of the log on stderr; auto: text at a terminal, one JSON object a line elsewhere"""
    max_connections: int = Field(30, ge=1)
    """connections and long jobs that programs have open at once, all together"""
    requests_per_address: int = Field(3000, ge=1)
    """of programs, a minute, whatever their keys allow"""
    max_upload_mb: int = Field(2048, ge=1)
    """of a file that a program sends, in millions of bytes"""
    max_audio_hours: float = Field(4.0, gt=0)
    """of a recording that a program sends"""
    cors_origins: str = ""
    """pages that may call the routes for programs, such as
    https://app.example.org,https://other.example.org; empty: none but this server's own"""
    trusted_proxies: str = "127.0.0.1,::1"
    """addresses and networks of reverse proxies, whose word on who asks is believed; with http"""

    lag_budget: float = Field(12.0, gt=0)
    """seconds of unheard translation after which the oldest is shown as caption only"""
    original_level: float = Field(0.2, ge=0, le=1)
    """default loudness of an original voice under its translation"""

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        origins = [origin.strip().rstrip("/").lower() for origin in value.split(",")]
        for origin in filter(None, origins):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError("list origins such as https://app.example.org, with commas")
        return ",".join(filter(None, origins))

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, value: str) -> str:
        proxies = [proxy.strip() for proxy in value.split(",") if proxy.strip()]
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise ValueError("list addresses or networks such as 172.16.0.0/12") from None
        return ",".join(proxies)

    @property
    def allowed_origins(self) -> frozenset[str]:
        """``cors_origins``, as browsers spell them."""
        return frozenset(filter(None, self.cors_origins.split(",")))


def load_settings(**overrides: Any) -> Settings:
    """Settings from environment and ``overrides`` (None values are ignored).

    Raises SettingsError("settings") that names the field and what it accepts.
    """
    return load(Settings, overrides)


def load(kind: type[T], overrides: Mapping[str, Any]) -> T:
    """As ``load_settings``, of any settings."""
    try:
        return kind(**{k: v for k, v in overrides.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = f"{kind.model_config.get('env_prefix', '')}{name.upper()}"
        if overrides.get(name) is not None:
            where = f"--{name.replace('_', '-')} or {where}"
        problem = first["msg"].removeprefix("Value error, ")
        raise SettingsError("settings", f"{name}: {problem}. Set it with {where}.") from error


def go_offline() -> None:
    """Tell libraries to stay off the network. Call before importing gradio or transformers."""
    for key, value in OFFLINE_ENVIRONMENT.items():
        os.environ.setdefault(key, value)


def go_online() -> None:
    """Take back ``go_offline`` for downloads from the hub. Call before importing huggingface_hub;
    nothing but ``models fetch`` does."""
    os.environ["HF_HUB_OFFLINE"] = "0"


def keep_temporary_files_in(folder: Path) -> None:
    """Whatever a library writes to a temporary file, here and in processes started from here.
    Call before importing gradio. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    tempfile.tempdir = str(folder)
    os.environ["TMPDIR"] = os.environ["GRADIO_TEMP_DIR"] = str(folder)
