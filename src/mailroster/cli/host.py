"""`setup tables` and `setup watch`: for a Postfix and a Dovecot that somebody else starts."""

from mailroster.base.settings import Settings
from mailroster.cli.call import Call


def of_host(settings: Settings) -> Settings:
    """The settings as these commands take them: their layout is `host` unless it is `system`."""
    layout = "host" if settings.layout == "private" else settings.layout
    return settings._replace(layout=layout)


def tables(call: Call) -> int:
    """Makes the tables, and brings them in step once."""
    from mailroster.daemons.watch import Watch

    settings = of_host(call.settings)
    Watch(settings, once=True).once()
    print(f"the tables in {settings.state} are in step with {settings.config}")
    return 0


def watch(call: Call) -> int:
    """Runs until it is told to stop."""
    from mailroster.daemons.watch import serve

    serve(of_host(call.settings))
    return 0
