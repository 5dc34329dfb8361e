"""Prepare this machine for BabbleFish: virtual environment, packages, system packages, weights.

Standard library only, since it runs before anything is installed. Each step looks first whether
there is something to do, so that a second run takes a moment.

    python3.11 tools/prepare.py [--dev | --accelerator | --no-weights]

``--no-weights``: for an image of a container, which gets them in a layer of their own.
"""

from __future__ import annotations

import collections
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def use(environment: Path) -> None:
    """Prepare this one from now on."""
    global VENV, PYTHON
    VENV, PYTHON = environment, environment / "bin" / "python"


def say(text: str) -> None:
    print(f"· {text}", flush=True)


def stop(text: str) -> None:
    print(f"\n{text}", file=sys.stderr)
    sys.exit(1)


def run_visibly(command: list[str], steps: str) -> bool:
    """Run ``command`` and show its progress: what the first group of ``steps`` finds in its
    output, as one changing line on a terminal, every few seconds elsewhere. Says why it failed."""
    terminal, shown, count = sys.stdout.isatty(), time.monotonic(), 0
    tail: collections.deque[str] = collections.deque(maxlen=20)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            tail.append(line)
            match = re.match(steps, line)
            if match is None:
                continue
            count += 1
            if terminal:
                print(f"\r  {count:>4}  {match[1][:60]:<60}", end="", flush=True)
            elif time.monotonic() - shown > 5:
                shown = time.monotonic()
                print(f"  {count:>4}  {match[1][:60]}", flush=True)
    if terminal and count:
        print("\r" + " " * 70 + "\r", end="", flush=True)
    if process.returncode:
        print("".join(tail), file=sys.stderr)
    return process.returncode == 0


def check_python() -> None:
    if sys.version_info[:2] != (3, 11):
        found = ".".join(map(str, sys.version_info[:3]))
        stop(
            f"BabbleFish needs Python 3.11; this is {found}. Install it (Debian 12: apt-get "
            "install python3.11 python3.11-venv) or name it: make run PYTHON=/path/to/python3.11"
        )


def make_venv() -> None:
    if (VENV / "bin" / "pip").exists():
        return
    if importlib.util.find_spec("ensurepip") is None:
        package = "python3.11-venv"
        say(f"Installing system package {package}")
        if not apt_install([package]):
            stop(f"Python cannot make virtual environments. On Debian: apt-get install {package}")
    say(f"Creating {VENV.name}")
    if subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)]).returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        stop("The virtual environment could not be created, see above.")


def install(name: str, *options: str) -> None:
    """``pip install -r name``, unless exactly this file was installed before."""
    requirements = ROOT / name
    stamp = VENV / f".installed-{name}"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    count = len(re.findall(r"^[\w.-]+==", requirements.read_text(), re.MULTILINE))
    say(f"Installing {name}, {count} packages")
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check",
               "--progress-bar", "off", *options, "-r", str(requirements)]  # fmt: skip
    if not run_visibly(command, r"\s*((?:Collecting|Downloading|Installing collected) .*)"):
        stop(f"pip could not install {name}. Is there a network? Run the same command again.")
    stamp.write_text(digest)


def wanted_packages(dev: bool) -> dict[str, str]:
    """Debian package → what is lost without it."""
    wanted, section = {}, ""
    for line in (ROOT / "requirements-apt.txt").read_text().splitlines():
        if match := re.match(r"# \[(\w+)\]", line):
            section = match[1]
        elif (match := re.match(r"([\w.+-]+)\s+# (.*)", line)) and (section == "run" or dev):
            wanted[match[1]] = match[2]
    return wanted


def missing_packages(wanted: dict[str, str]) -> list[str]:
    if shutil.which("dpkg-query") is None:
        return list(wanted)
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True, text=True,
    )  # fmt: skip
    there = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in there]


def apt_install(packages: list[str]) -> bool:
    """Whether all of them are there afterwards. Where one cannot be had, the others still are."""
    apt = shutil.which("apt-get")
    root = [] if os.geteuid() == 0 else ["sudo"] if sys.stdin.isatty() else ["sudo", "-n"]
    if apt is None or (root and shutil.which("sudo") is None):
        return False
    command = [*root, "env", "DEBIAN_FRONTEND=noninteractive", apt]
    install = [*command, "install", "-y", "--no-install-recommends"]
    steps = r"((?:Get:\d+|Unpacking|Setting up) .*)"
    run_visibly([*command, "update"], steps)
    if run_visibly([*install, *packages], steps):
        return True
    return not [name for name in packages if not run_visibly([*install, name], steps)]


def install_system_packages(dev: bool, weights: bool = True) -> None:
    wanted = wanted_packages(dev)
    # npm is not in the list: other sources' nodejs brings it along
    if shutil.which("npm") is None and (weights or dev):
        if not (VENV / ".weights").exists():
            wanted["npm"] = "Kokoro's voices, which are needed once"
        elif dev:
            wanted["npm"] = "the type checker of `make check`"
    missing = missing_packages(wanted)
    if not missing:
        return
    say(f"Installing system packages: {' '.join(missing)}")
    apt_install(missing)
    still = missing_packages({name: wanted[name] for name in missing})
    if still:
        print("\nThese system packages could not be installed. BabbleFish starts without them, but")
        for name in still:
            print(f"  {name:<18} is needed for {wanted[name]}")
        print(f"Install them yourself: sudo apt-get install {' '.join(still)}\n", flush=True)


def fetch_weights() -> None:
    """Weights of the compact profile; checked at every run, hashed only when they changed."""
    command = [str(PYTHON), "app.py", "models", "fetch", "compact"]
    if subprocess.run(command, cwd=ROOT).returncode:
        stop("The model weights are incomplete, see above. Run the same command again.")
    (VENV / ".weights").touch()


def prepare_accelerator() -> None:
    """The laptop's environment, beside the host's. Voices' weights are fetched by the laptop."""
    use(ROOT / ".venv-accelerator")
    make_venv()
    install("requirements-accelerator.txt")
    install("requirements-f5.txt", "--no-deps")


def main() -> None:
    begun = time.monotonic()
    dev = "--dev" in sys.argv[1:]
    check_python()
    if "--accelerator" in sys.argv[1:]:
        prepare_accelerator()
        say(f"Prepared in {time.monotonic() - begun:.0f} s")
        return
    make_venv()
    install("requirements.txt")
    if dev:
        install("requirements-dev.txt")
        install("requirements-f5.txt", "--no-deps")
    weights = "--no-weights" not in sys.argv[1:]
    install_system_packages(dev, weights)
    if weights:
        fetch_weights()
    say(f"Prepared in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
