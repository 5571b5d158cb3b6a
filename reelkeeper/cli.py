"""The command line: one verb a function. A verb imports what it runs, so that an agent does not carry a controller."""

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import structlog
import typer
from pydantic import ValidationError

from agent.errors import AgentError
from reelkeeper.errors import CommandError
from web.domain.errors import ControllerError

app = typer.Typer(
    help="Reelkeeper records sound on many machines and never loses it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
token_app = typer.Typer(help="Tokens for the JSON API.", no_args_is_help=True)
node_app = typer.Typer(help="Recorder nodes.", no_args_is_help=True)
app.add_typer(token_app, name="token")
app.add_typer(node_app, name="node")
keys_app = typer.Typer(help="The keys that seal secrets in the database.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
audit_app = typer.Typer(help="What everybody did.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")

Name = Annotated[str, typer.Argument(help="A name that people recognise.")]


@app.command()
def demo() -> None:
    """Everything on this machine: its sound devices, and synthetic inputs. Ctrl-C stops it in order."""
    from agent.settings import AgentSettings
    from reelkeeper.demo import run_demo
    from web.settings import ControllerSettings

    controller, agent = ControllerSettings(), AgentSettings()
    asyncio.run(run_demo(controller, agent))


@app.command()
def controller() -> None:
    """The controller, with its embedded PostgreSQL unless DATABASE_URL names another."""
    import uvloop

    from web.serve import serve
    from web.settings import ControllerSettings

    uvloop.run(serve(ControllerSettings(), on_first_run=lambda link: print(f"First run  {link}", flush=True)))


@app.command()
def agent(
    controller: Annotated[str | None, typer.Option(help="Where the controller is.")] = None,
    code: Annotated[str | None, typer.Option(help="Join, or join again, by this one-time code first.")] = None,
    join_only: Annotated[bool, typer.Option(help="Join and leave.")] = False,
    allow_plain_http: Annotated[bool, typer.Option(help="Speak http without TLS beyond this machine.")] = False,
    drain: Annotated[bool, typer.Option(help="Claim nothing new, finish what is here, then end.")] = False,
) -> None:
    """The agent of this node."""
    from agent import daemon, joining
    from agent.errors import SpoolBusyError
    from agent.settings import AgentSettings

    settings = AgentSettings()
    if controller:
        settings = settings.model_copy(update={"controller_url": controller})
    if allow_plain_http:
        settings = settings.model_copy(update={"allow_plain_http": True})
    if code:
        print(f"Joined as “{asyncio.run(joining.enrol(settings, code)).name}”.", flush=True)
    if join_only:
        return
    try:
        raise typer.Exit(asyncio.run(daemon.run(settings, drain=drain)))
    except SpoolBusyError:
        if not code:
            raise
        print("The agent that runs here goes on under the new token.")


@app.command()
def setup() -> None:
    """Prints the link of the first run, as long as nobody has an account: once, within an hour."""
    from web import local
    from web.settings import ControllerSettings

    print(asyncio.run(local.setup_link(ControllerSettings())))


@app.command()
def sign_in() -> None:
    """Prints a link that signs its reader in as the administrator: once, within 15 minutes."""
    from web import local
    from web.settings import ControllerSettings

    print(asyncio.run(local.sign_in_link(ControllerSettings())))


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A downloaded file, the folder of a take, or a folder of either.")],
    ledger: Annotated[Path | None, typer.Option(help="Its ledger, unless that lies beside it as .json.")] = None,
    sha256: Annotated[str | None, typer.Option(help="The checksum that the recording's page shows.")] = None,
) -> None:
    """Proves files against their ledgers, without a controller. Exit code 1 when one is not what was recorded."""
    from reelkeeper import verify as verifying

    verdicts = verifying.verify(path, ledger, sha256)
    for verdict in verdicts:
        print(*verifying.words(verdict), sep="\n")
    if not all(verdict.is_good for verdict in verdicts):
        raise typer.Exit(1)


@app.command()
def selftest(
    interface: Annotated[str | None, typer.Option(help="Rehearse this real input first, BACKEND:NAME.")] = None,
    quick: Annotated[bool, typer.Option(help="Two faults instead of five minutes.")] = False,
) -> None:
    """Breaks a Reelkeeper of its own on this machine, and reports in words. Exit code 1 when anything was lost."""
    from reelkeeper.faultkit.selftest import selftest as run_selftest
    from reelkeeper.faultkit.system import UnexpectedError

    try:
        report = run_selftest(quick=quick, interface=interface, say=partial(print, flush=True))
    except UnexpectedError as fault:
        raise CommandError(str(fault)) from fault
    print("\n".join(["", *report.lines]))
    raise typer.Exit(0 if report.held else 1)


@token_app.command("create")
def create_token(name: Name) -> None:
    """Prints a new token that may do everything and belongs to nobody; it is shown only this once."""
    from web import local
    from web.settings import ControllerSettings

    print(asyncio.run(local.create_token(ControllerSettings(), name)))


@keys_app.command("rotate")
def rotate_keys() -> None:
    """Adds a key, seals every secret anew with it, drops the older ones. The controller may run on."""
    from web import local
    from web.settings import ControllerSettings

    settings = ControllerSettings()
    newest = asyncio.run(local.rotate_keys(settings))
    print(f"Every secret is sealed by key {newest} now. Back up {settings.keys_file}, apart from the database.")


@audit_app.command("verify")
def verify_audit(
    head: Annotated[
        str | None, typer.Option(help="A seal that was kept elsewhere, ID:HASH: the chain must hold it.")
    ] = None,
) -> None:
    """Proves the whole chain of the audit. Exit code 1 when an entry was changed, removed or put in afterwards."""
    from web import local
    from web.domain.seals import Head
    from web.settings import ControllerSettings

    proof = asyncio.run(local.prove_audit(ControllerSettings(), None if head is None else Head.parse(head)))
    if proof.fault is not None:
        print(f"BROKEN at entry {proof.fault.entry_id} ({proof.fault.kind}): {proof.fault.words}")
        print(f"The {proof.sealed} sealed entries before it hold.")
        raise typer.Exit(1)
    print(f"{proof.sealed} sealed entries hold; {proof.unsealed} newer ones are not sealed yet.")
    print(f"Head: {proof.head or 'nothing is sealed yet'}")


@audit_app.command("export")
def export_audit(
    path: Annotated[Path, typer.Argument(help="The CSV file to make; it must not exist yet.")],
) -> None:
    """Writes the whole audit as CSV, with the head of its chain in the heading."""
    from web import local
    from web.settings import ControllerSettings

    try:
        with path.open("x", encoding="utf-8-sig", newline="") as file:
            head = asyncio.run(local.export_audit(ControllerSettings(), file.write))
    except OSError as fault:
        raise CommandError(f"{path} cannot be written ({fault.strerror}); choose another file.") from fault
    print(f"Head: {head or 'nothing is sealed yet'}")


@node_app.command("add")
def add_node(name: Name) -> None:
    """Prints a one-time code with which an agent joins as this node."""
    from web import local
    from web.settings import ControllerSettings

    print(asyncio.run(local.create_enrolment_code(ControllerSettings(), name)))


def main() -> None:
    """Runs the command. What a person can mend is one line and exit code 1."""
    _log_to_stderr()
    try:
        app()
    except (CommandError, AgentError, ControllerError) as error:
        sys.exit(f"reelkeeper: {error}")
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        sys.exit(f"reelkeeper: a setting is not valid: {faults}")


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
