"""The image with the spam filter, with a read-only root and the capabilities of the manifests."""

import os
import smtplib
import subprocess
from collections.abc import Iterator

import pytest

from tests.support import container as containers
from tests.support import kubernetes
from tests.support.container import Container
from tests.support.instance import HASH, until
from tests.support.spam import REFUSED, incoming

JOHN = "john@example.com"


@pytest.fixture(scope="module")
def made() -> Iterator[Container]:
    environment = {**os.environ, "RSPAMD": "1"}
    argv = ["sh", str(containers.SCRIPT)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    limits = kubernetes.limits(kubernetes.render(kubernetes.KUBERNETES / "base"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(containers, "image", lambda: done.stdout.strip())
        found = containers.container({"ENABLE_RSPAMD": "1"}, (), [*limits, "--tmpfs=/tmp"])
        try:
            (found.config / "postfix-accounts.cf").write_text(f"{JOHN}|{HASH}\n")
            (found.config / "mailroster.toml").write_text(found.settings())
            found.start()
            yield found
        finally:
            found.close()


def test_spam_is_refused_and_other_mail_arrives(made: Container) -> None:
    until(lambda: _is_refused(made), 120, made.logs)
    incoming(made, JOHN, "plain")
    made.arrives(JOHN, "plain")


def _is_refused(made: Container) -> bool:
    try:
        incoming(made, JOHN, "refused", REFUSED)
    except smtplib.SMTPDataError:
        return True
    return False


def test_the_log_of_the_filter_is_that_of_the_container(made: Container) -> None:
    until(lambda: "rspamd_task_write_log" in made.logs(), 20)
    assert made.run("mailroster", "health").returncode == 0
