"""The layers of ARCHITECTURE.md, kept true."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALLOWED_ENVIRONMENT = {
    "babblefish.settings", "babblefish.engine.worker_process", "babblefish.engine.pipeline",
}  # fmt: skip
BASE = {
    "protocol", "envelope", "accelerator_protocol", "settings", "errors", "audio", "languages",
    "network", "logs", "metrics", "whole_files", "progress_bar",
}  # fmt: skip


def layer(module: str) -> int | None:
    """0 for what everybody may import, up to 4 for the entry points; None for other packages."""
    parts = module.split(".")
    match parts:
        case ["app" | "accelerator_app", *_] | ["babblefish", "models_cli", *_]:
            return 4
        case ["babblefish", "ui", *_]:
            return 3
        case ["rooms", *_] | ["babblefish", "accelerator" | "client", *_]:
            return 2
        case ["babblefish", "engine" | "storage", *_]:
            return 1
        case ["babblefish"]:
            return 0
        case ["babblefish", name, *_] if name in BASE:
            return 0
        case ["babblefish", *_]:
            raise AssertionError(f"{module} belongs to no layer: add it to ARCHITECTURE.md")
    return None


def modules() -> dict[str, Path]:
    files = [
        *ROOT.glob("*.py"), *ROOT.glob("babblefish/**/*.py"), *ROOT.glob("rooms/**/*.py"),
    ]  # fmt: skip
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_point_one_way():
    wrong = []
    for module, path in modules().items():
        for imported in imports(path):
            try:
                target = layer(imported)
            except AssertionError:
                target = layer(imported.rsplit(".", 1)[0])
            if target is not None and target > layer(module):
                wrong.append(f"{module} imports {imported}")
    assert not wrong


def test_each_heavy_library_has_its_place():
    allowed = {
        "fastrtc": {"babblefish.ui.rtc"},
        "gradio": {"babblefish.ui.admin", "babblefish.ui.host", "babblefish.accelerator.page"},
        "f5_tts": {"babblefish.accelerator"},
    }
    for module, path in modules().items():
        for imported in imports(path):
            for library, places in allowed.items():
                if imported.split(".")[0] == library:
                    assert any(module.startswith(place) for place in places), (module, imported)


def test_the_server_and_the_laptop_share_nothing_but_their_messages_and_the_engine_s_tools():
    for module, path in modules().items():
        for imported in imports(path):
            if module.startswith("babblefish.accelerator."):
                assert not imported.startswith(("rooms", "babblefish.ui", "babblefish.storage"))
            elif module != "accelerator_app":
                assert not imported.startswith("babblefish.accelerator."), (module, imported)


def test_the_client_knows_nothing_of_the_server_but_the_wire():
    for module, path in modules().items():
        for imported in imports(path) if module.startswith("babblefish.client.") else ():
            parts = imported.split(".")
            if parts[0] in ("babblefish", "rooms", "app"):
                assert parts[0] == "babblefish", (module, imported)
                assert parts[1] in BASE | {"client"}, (module, imported)


def test_the_engine_and_the_storage_do_not_know_each_other():
    for module, path in modules().items():
        for imported in imports(path):
            for one, other in (("engine", "storage"), ("storage", "engine")):
                if module.startswith(f"babblefish.{one}"):
                    assert not imported.startswith(f"babblefish.{other}"), (module, imported)


def test_tests_and_bench_are_not_imported_by_the_product():
    for module, path in modules().items():
        for imported in imports(path):
            assert imported.split(".")[0] != "tests", module
            assert imported.split(".")[0] != "bench" or module == "app", module


def test_every_file_is_in_architecture_md():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    real = {
        str(path.relative_to(ROOT)) for path in modules().values() if path.name != "__init__.py"
    }
    real |= {str(p.relative_to(ROOT)) for p in (ROOT / "babblefish/ui/web").iterdir()
             if p.suffix in (".js", ".html", ".css")}  # fmt: skip
    assert real - listed == set(), "add a line to ARCHITECTURE.md"
    assert {name for name in listed if not (ROOT / name).exists()} == set(), "remove the line"


def test_the_base_the_rooms_and_the_engine_load_neither_gradio_nor_torch():
    names = [f"babblefish.{name}" for name in sorted(BASE)]
    names += ["rooms.hub", "babblefish.engine.engine", "babblefish.engine.models"]
    names += ["babblefish.storage.storage"]
    script = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "heavy = {'gradio', 'torch', 'fastrtc', 'librosa', 'onnxruntime', 'ctranslate2'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_the_readme_names_commands_and_files_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets
    commands = set(re.findall(r"app\.py ([a-z]+)", text))
    shown = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {name for name in commands if name not in shown} == set()
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [name for name in linked if not (ROOT / name).exists()] == []


def test_the_readme_names_options_of_the_laptop_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Add a laptop")[2].partition("\n## ")[0]
    shown = subprocess.run(
        [sys.executable, "accelerator_app.py", "--help"], cwd=ROOT, capture_output=True, text=True,
        check=True, env={**os.environ, "COLUMNS": "120"},
    ).stdout  # fmt: skip
    options = set(re.findall(r"--[a-z]+", section))
    assert len(options) >= 7
    assert {option for option in options if option not in shown} == set()


def test_files_stay_small():
    for module, path in modules().items():
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 420, f"{module} wants to be two files"


def test_the_entry_point_only_wires():
    """What it can be told and what it does is written elsewhere, under a name of its own."""
    assert len((ROOT / "app.py").read_text(encoding="utf-8").splitlines()) < 80


def test_nothing_happens_at_import():
    """The environment is read in settings.py and by what starts processes, nowhere else."""
    for module, path in modules().items():
        if module in ALLOWED_ENVIRONMENT:
            continue
        assert "os.environ" not in path.read_text(encoding="utf-8"), module
