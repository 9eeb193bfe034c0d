"""A user with a login makes the folders that commands take by default: root's commands read nothing
and write nothing there.

Each test has a machine of its own: the files of this one below another root, with an empty /tmp,
and without the marks of a container."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.system.folder_trust import CONTAINER_MARKS
from tests.support.host import propagation
from tests.support.project import ROOT

GHOST = "ghost@evil.test|{PLAIN}x"
COMMANDS = {
    "list": "setup email list",
    "add": "setup email add boss@example.com s3cret",
    "check": "setup check",
    "import": "echo 'type,address' | setup import --format csv -",
    "status": "setup status",
    "log": "setup log",
    "up": "mailroster up",
}
#: The marks that say "container" on this machine are not there.
_MAKE = """
set -eu
root=$1
mount -t tmpfs tmpfs "$root"
for entry in /*; do
	case $entry in
	/tmp | /run | /srv | /proc | /nonexistent) continue ;;
	esac
	if [ -L "$entry" ]; then
		cp -P "$entry" "$root$entry"
	elif [ -d "$entry" ]; then
		mkdir "$root$entry"
		mount --rbind "$entry" "$root$entry"
	fi
done
mkdir "$root/tmp" "$root/run" "$root/srv" "$root/repo" "$root/proc"
mount -t proc proc "$root/proc"
chmod 1777 "$root/tmp"
mount --bind "$2" "$root/repo"
for name in setup mailroster; do
	printf '#!/bin/sh\\nexec /repo/.venv/bin/python -m mailroster "$@"\\n' >"$root/srv/$name"
	chmod 755 "$root/srv/$name"
done
cat >"$root/srv/script"
exec chroot "$root" env -i HOME=/root PATH=/srv:/usr/sbin:/usr/bin:/sbin:/bin \
	PYTHONPATH=/repo/src PYTHONDONTWRITEBYTECODE=1 bash /srv/script
"""
_AS_NOBODY = 'nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups -- sh -euc "$1"; }\n'


class Machine:
    """A place to run scripts in, as root; `nobody 'script'` runs one as another user."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        # With process ids of its own, so that nothing that a script starts outlives it.
        argv = ["unshare", "--mount", *propagation(), "--pid", "--fork", "--kill-child"]
        argv += ["sh", "-c", _MAKE, "sh", str(self._folder), str(ROOT)]
        return subprocess.run(
            argv, input=f"cd /\n{_AS_NOBODY}{script}", capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    assert not any(os.path.exists(mark) for mark in CONTAINER_MARKS if mark.startswith("/var"))
    folder = tmp_path / "root"
    folder.mkdir()
    yield Machine(folder)
    shutil.rmtree(folder)


#: What a user of the machine prepares, by what it is, with the folder that root works in then.
TRAPS = {
    "docker-data in a folder of their own": (
        "mkdir -p /tmp/theirs/docker-data/dms/config && cd /tmp/theirs", "/tmp/theirs",
    ),
    "docker-data in /tmp": ("mkdir -p /tmp/docker-data/dms/config && cd /tmp", "/tmp"),
    "a link in /tmp to a folder of root's": (
        "ln -s /root-data /tmp/docker-data && cd /tmp", "/tmp",
    ),
    "dms in root's folder that all can write": (
        "mkdir -p /open/docker-data/dms/config && cd /open", "/open",
    ),
    "the config folder of root's home": (
        "mkdir /half/docker-data/dms/config && cd /half", "/half",
    ),
    "a link as config": (
        "mkdir /tmp/x; ln -s /tmp/x /half/docker-data/dms/config; cd /half", "/half",
    ),
}  # fmt: skip
#: What root has: a folder that others can write, and a home that is half made.
_ROOTS = """
mkdir -p /root-data/dms/config /open /half/docker-data/dms
chmod 777 /open /half/docker-data/dms
"""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("trap", TRAPS)
def test_a_folder_that_another_user_made_is_neither_read_nor_written(
    machine: Machine, trap: str, command: str
) -> None:
    prepare, folder = TRAPS[trap]
    done = machine.run(f"""{_ROOTS}
nobody '{prepare}
cd docker-data/dms/config && echo "{GHOST}" >postfix-accounts.cf || true'
cd {folder}
find -L /tmp /open /half /root-data -type f | xargs -r sha1sum | sort >/srv/before
find / -xdev \\( -path /proc -o -path /repo \\) -prune -o -print | sort >/srv/names
touch /srv/after; sort -o /srv/names /srv/names - <<<'/srv/after'
{COMMANDS[command]}; echo "exit $?"
find -L /tmp /open /half /root-data -type f | xargs -r sha1sum | sort >/srv/after
find / -xdev \\( -path /proc -o -path /repo \\) -prune -o -print | sort >/srv/later
cmp /srv/before /srv/after &&
diff /srv/names /srv/later | grep -v '^[0-9]\\|/srv/' || echo unchanged
""")
    assert "exit 1" in done.stdout, done
    assert "unchanged" in done.stdout, done
    assert "ghost" not in done.stdout
    assert "is not used: " in done.stderr
    for word in ("--home PATH", "--config PATH", "chown" if "own" in trap else "ch"):
        assert word in done.stderr, done


def test_the_folder_of_containers_in_tmp_is_nothing_on_a_host(machine: Machine) -> None:
    done = machine.run(f"""
nobody 'mkdir /tmp/docker-mailserver; cd /tmp/docker-mailserver
echo "{GHOST}" >postfix-accounts.cf'
mkdir -p /srv/work; cd /srv/work
sha1sum /tmp/docker-mailserver/* >/srv/before
setup email list; echo "exit $?"
setup email add boss@example.com s3cret; echo "exit $?"
setup check; echo "exit $?"
setup email list
sha1sum -c --quiet /srv/before && ls -A /tmp/docker-mailserver
ls /srv/work/docker-data/dms/config
""")
    assert "ghost" not in done.stdout + done.stderr, done
    assert "* boss@example.com" in done.stdout
    assert done.stdout.endswith("postfix-accounts.cf\npostfix-accounts.cf\n")


def test_in_a_container_it_is_the_default_if_it_is_mounted_or_safe(machine: Machine) -> None:
    write = f'echo "{GHOST}" >/tmp/docker-mailserver/postfix-accounts.cf'
    theirs = f"mkdir /tmp/docker-mailserver; {write}"
    refused = machine.run(f"touch /.dockerenv\nnobody '{theirs}'\nsetup email list; echo exit $?")
    assert "exit 1" in refused.stdout, refused
    assert "/tmp/docker-mailserver belongs to nobody" in refused.stderr
    mounted = machine.run(f"""touch /.dockerenv
mkdir /tmp/docker-mailserver
mount -t tmpfs -o uid=65534,mode=777 tmpfs /tmp/docker-mailserver
nobody '{write}'
setup email list; echo exit $?
""")
    assert "ghost@evil.test" in mounted.stdout, mounted
    safe = machine.run(f"touch /.dockerenv\n{theirs}\nsetup email list; echo exit $?")
    assert "ghost@evil.test" in safe.stdout, safe


def test_completion_reads_nothing_there_and_is_silent(machine: Machine) -> None:
    done = machine.run(f"""
nobody 'mkdir -p /tmp/docker-data/dms/config; cd /tmp/docker-data/dms/config
echo "{GHOST}" >postfix-accounts.cf'
nobody 'ln -s /tmp/docker-data/dms/config /tmp/docker-mailserver'
cd /tmp
export MAILROSTER_COMPLETE
for MAILROSTER_COMPLETE in "setup email del " "setup explain " "setup email up"; do
	setup completion bash; echo "exit $?"
done
setup --version >/dev/null; echo "exit $?"
setup adopt /root-data 2>&1 | grep -c "not used"
""")
    assert done.stdout == "exit 0\nexit 0\nupdate\nexit 0\nexit 0\n0\n"
    assert done.stderr == ""


def test_a_named_config_folder_has_no_state_that_another_user_could_make(machine: Machine) -> None:
    """Nobody may slip a state folder in between the look and the work."""
    done = machine.run("""
mkdir -p /srv/config; cd /tmp
setup --config /srv/config email add boss@example.com s3cret; echo "exit $?"
setup --config /srv/config email list
mailroster --config /srv/config up; echo "exit $?"
nobody 'mkdir -p /tmp/docker-data/dms/mail-state/tables'
setup --config /srv/config email list; echo "exit $?"
""")
    assert done.stdout == "exit 0\n* boss@example.com\nexit 1\nexit 1\n", done
    assert "the folder for mail can't be in /tmp, where other users could create it" in done.stderr
    assert (
        "docker-data/dms/mail-state is not used: /tmp/docker-data belongs to nobody" in done.stderr
    )


def test_what_is_roots_or_named_is_used_as_before(machine: Machine) -> None:
    done = machine.run(f"""
mkdir -p /srv/own; cd /srv/own
setup email add boss@example.com s3cret && setup email list
nobody 'mkdir -p /tmp/t/config; echo "{GHOST}" >/tmp/t/config/postfix-accounts.cf'
setup --home /tmp/t email list
MAILROSTER_CONFIG=/tmp/t/config setup email list
""")
    assert done.stdout == "* boss@example.com\n* ghost@evil.test\n* ghost@evil.test\n", done


def test_a_race_of_making_and_removing_the_folder_is_not_won(machine: Machine) -> None:
    """The look and the use are two moments: a folder that comes and goes must not slip between."""
    done = machine.run(f"""
nobody 'mkdir -p /tmp/theirs/dms/config /tmp/theirs/dms/mail-state/tables
echo "{GHOST}" >/tmp/theirs/dms/config/postfix-accounts.cf'
find /tmp/theirs | sort | xargs ls -ld --time-style=full-iso >/srv/before
nobody 'while :; do ln -s /tmp/theirs /tmp/docker-data; rm /tmp/docker-data; done' >/dev/null 2>&1 &
mkdir /srv/config; cd /tmp
for number in $(seq 25); do
	setup email list
	setup --config /srv/config email add "boss$number@example.com" s3cret
done >/srv/out 2>/srv/err
kill %1
grep -c "is not used" /srv/err
grep -c ghost /srv/out /srv/err
find /tmp/theirs | sort | xargs ls -ld --time-style=full-iso | cmp - /srv/before && echo unchanged
""")
    refused, *ghosts, end = done.stdout.split("\n")[:-1]
    assert int(refused) >= 25, done
    assert ghosts == ["/srv/out:0", "/srv/err:0"]
    assert end == "unchanged", done
