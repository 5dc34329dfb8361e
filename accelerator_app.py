"""BabbleFish on a laptop: people's own voices for a room server. Wiring only; see --help."""

from __future__ import annotations

from babblefish.accelerator.environment import enter


def main() -> None:
    enter()
    from babblefish.accelerator.cli import main as go_on

    go_on()


if __name__ == "__main__":
    main()
