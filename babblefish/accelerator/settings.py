"""What the laptop's owner can decide: one frozen object, read once by the entry point.

Every field can be set as an environment variable ``BABBLEFISH_LAPTOP_<FIELD>``; an option of the
command line wins. Nothing else in ``babblefish.accelerator`` reads the environment.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from babblefish.settings import load

PAGE_PORT = 9011


class LaptopSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="BABBLEFISH_LAPTOP_", frozen=True, extra="ignore")

    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("babblefish")) / "laptop"
    )
    """the pairing and the endpoint's certificate; voices are never written to it"""
    weights_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("babblefish")) / "weights"
    )
    name: str = Field(
        default_factory=lambda: (socket.gethostname() or "laptop")[:80], min_length=1, max_length=80
    )
    """how the host page lists this laptop"""
    host: str = "0.0.0.0"
    """address at which the room server may call"""
    port: int = Field(9010, ge=0, le=65535)
    """0: any that is free"""
    page_port: int = Field(PAGE_PORT, ge=0, le=65535)
    """of the owner's page, on this machine only; 0: any that is free"""
    page: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"

    most_requests: int = Field(16, ge=1)
    """waiting and at work; more are told that the laptop is busy"""
    silence_s: float = Field(10.0, gt=0)
    """without a call of the server, after which the laptop calls the server"""
    voices_s: float = Field(600.0, gt=0)
    """without any contact, after which all voices are forgotten"""


def load_settings(**overrides: Any) -> LaptopSettings:
    """As ``babblefish.settings.load_settings``."""
    return load(LaptopSettings, overrides)
