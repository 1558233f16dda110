"""What all commands share: they end in words where a user can mend the problem, or stopped, and say it in their own options.

Covers the group of commands, and what they print alike. Does not cover any single command (`cli`).
"""

import contextlib
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from isheep_lib.errors import IsheepError, StageFailed
from isheep_lib.iterate.stopping import Stopped, signals


class Commands(click.Group):
    """Commands that end with the message alone where a problem is one that the user can mend, and where they are stopped."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember what was typed."""
        ctx.obj = shlex.join(["isheep", *args])
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was called."""
        try:
            with signals():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            kept = " ".join(getattr(stop, "__notes__", ["what was finished is kept"]))
            click.echo(f"\nStopped: {kept}; to go on: {ctx.obj}", err=True)
            sys.exit(128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT))
        except StageFailed as error:  # the message of a stage that failed in a kernel already names its class
            said = str(error)
        except IsheepError as error:
            said = f"{type(error).__name__}: {error}"
        command = self.commands.get(ctx.invoked_subcommand or "")
        click.echo(f"\n{in_its_words(command, said) if command else said}", err=True)
        sys.exit(1)


def quoted(path: Path) -> str:
    """Write a path so that it can be copied into a shell."""
    from isheep_lib.record import manifests

    return shlex.quote(manifests.short(path))


def in_its_words(command: click.Command, said: str) -> str:
    """Write a message that names a notebook's parameters as papermill takes them, `-p run NAME`, with the command's options.

    What a notebook calls `run` is the place of the results, which other commands name otherwise.
    """
    own = {option.name: option.opts[0] for option in command.params if isinstance(option, click.Option)}
    places = {"run": next((own[name] for name in ("run", "name", "into") if name in own), "-p run")}
    return re.sub(r"(?<!\w)-p (\w+)", lambda found: (places | own).get(found[1], found[0]), said)


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Say, if the work of the block is stopped, what of it is kept."""
    try:
        yield
    except KeyboardInterrupt as stop:
        done = sum(1 for _ in folder.rglob("iter-*/*/manifest.json"))
        stop.add_note(f"{done} finished stage(s) are kept, and what the one at work had done so far")
        raise
