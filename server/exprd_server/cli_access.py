"""What the commands that ask a server show it: a token, certificates."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from exprd_compiler.errors import ExprdError
from exprd_proto.arrays import WireError
from exprd_proto.channels import Access

_KEYS = ("token", "token_file", "ca", "cert", "key", "insecure")
_OPTIONS = (
    # Hidden, because others can read command lines; the environment is the place for it.
    click.option("--token", default="", envvar="EXPRD_TOKEN", hidden=True),
    click.option("--token-file", default="", envvar="EXPRD_TOKEN_FILE", help="file of a token"),
    click.option(
        "--ca", default="", envvar="EXPRD_TLS_CA", help="certificates to trust, or system"
    ),
    click.option("--cert", default="", envvar="EXPRD_TLS_CERT", help="certificate of one's own"),
    click.option("--key", default="", envvar="EXPRD_TLS_KEY", help="its private key"),
    click.option("--insecure", is_flag=True, help="send the token in the clear"),
)


def asks_a_server(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of access, which it gets as `access`; errors become its end."""

    @functools.wraps(command)
    def run(*args: Any, **given: Any) -> None:
        access = Access(**{key: given.pop(key) for key in _KEYS})
        try:
            command(*args, access=access, **given)
        except ExprdError as error:
            raise click.ClickException(str(error)) from None
        except WireError as error:
            raise click.ClickException(f"the answer of the server is damaged: {error}") from None
        except UnicodeEncodeError as error:  # of bytes that the command line passed on as they are
            raise click.ClickException(f"{error.object!r} is not UTF-8") from None

    for option in reversed(_OPTIONS):
        run = option(run)
    return run
