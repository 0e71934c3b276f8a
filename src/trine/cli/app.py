"""The `trine` command: options of its own, rooms mounted lazily, errors to exit codes."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import trine
from trine.cli.output import Settings, configure
from trine.core.errors import ExitCode, UsageError, UserError

if TYPE_CHECKING:
    from typer.core import TyperCommand

__all__ = ["ROOMS", "app", "main"]

# Command -> module with a Typer `app`. A new room is one line here and its module; the module
# must be light, because the help of `trine` reads the first line of each.
ROOMS: Mapping[str, str] = MappingProxyType(
    {
        "demo": "trine.cli.demo",
        "games": "trine.cli.games",
        "bridge": "trine.cli.bridge",
        "embeddings": "trine.cli.embeddings",
        "dynamics": "trine.cli.dynamics",
        "runs": "trine.cli.runs",
    }
)

# These may stand anywhere on the line, because nobody remembers where they belong.
_ANYWHERE = frozenset({"--quiet", "--verbose", "--no-color"})


class Rooms(TyperGroup):
    """The commands of `ROOMS`, imported when asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of `ROOMS`."""
        return list(ROOMS)

    def get_command(self, ctx: Any, cmd_name: str) -> "TyperCommand | TyperGroup":
        """Imports one room.

        Raises:
          UsageError: if there is none of that name.
        """
        if cmd_name not in ROOMS:
            raise UsageError.unknown("command", cmd_name, list(ROOMS), hint="try: trine --help")
        room = importlib.import_module(ROOMS[cmd_name])
        command: Any = typer.main.get_command(room.app)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; Ctrl-C outside a run directory ends it without traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.stderr.write("trine: interrupted; nothing was left half-written\n")
            raise typer.Exit(ExitCode.INTERRUPTED) from None


app = typer.Typer(
    cls=Rooms,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # our own mistakes keep Python's plain traceback
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"trine {trine.__version__}\n")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 a check did not hold, 2 wrong usage or configuration, "
    "3 missing data or extra, 130 interrupted."
)
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only results and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also what is logged.")] = False,
    no_color: Annotated[
        bool, typer.Option("--no-color", help="No colours (also: NO_COLOR=1).")
    ] = False,
) -> None:
    """Games, training dynamics and text embeddings: solve, train, check the papers.

    Example: trine games solve simple-bidding --size 4 --method cfr+jps
    """
    configure(Settings(quiet=quiet, verbose=verbose, colour=False if no_color else None))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with its code; user errors are one line on stderr."""
    sys.exit(_run(_global_first(sys.argv[1:] if arguments is None else arguments)))


def _global_first(arguments: Sequence[str]) -> list[str]:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    early, rest = list(arguments[:end]), list(arguments[end:])
    ours = [argument for argument in early if argument in _ANYWHERE]
    return [*dict.fromkeys(ours), *(a for a in early if a not in _ANYWHERE), *rest]


def _run(arguments: Sequence[str]) -> int:
    try:
        code = app(list(arguments), prog_name="trine", standalone_mode=False)
    except UserError as error:
        sys.stderr.write(f"trine: {error}\n")
        return error.exit_code
    except typer.TyperException as error:  # wrong options: found before any of our code runs
        return _wrong_options(error)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    return code if isinstance(code, int) else ExitCode.DONE


def _wrong_options(error: typer.TyperException) -> int:
    context: Any = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "trine"
    message = " ".join(error.format_message().split())
    if type(error).__name__ == "NoArgsIsHelpError":  # the whole help text, wanted as it is
        sys.stderr.write(error.format_message() + "\n")
    else:
        sys.stderr.write(f"trine: {message.rstrip('.')}; try: {path} --help\n")
    return ExitCode.USAGE


if __name__ == "__main__":
    main()
