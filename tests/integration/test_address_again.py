"""An address that is given again: what the former owner has left is gone once it is cleared as the
warning says."""

from tests.support.instance import PASSWORD, Instance, save, until

SETTINGS = {"enable_quotas": False, "settle_seconds": 30}
SCRIPT = 'require ["fileinto", "mailbox"];\nfileinto :create "Former";\n'


def test_a_former_owners_scripts_and_mail(server: Instance) -> None:
    address = "jan@x.com"
    server.setup("email", "add", address, PASSWORD)
    save(server.file(f"{address}.dovecot.sieve"), SCRIPT)
    until(lambda: f"* {address}, live" in server.setup("sieve", "list"))
    server.send(address, subject="to the former owner")
    until(lambda: "Former" in server.doveadm("mailbox", "list", "-u", address))
    server.setup("email", "del", "-n", address)
    added = server.run("email", "add", address, PASSWORD)
    assert f"mail in {server.mail}/x.com/jan" in added.stderr
    assert f"a Sieve script, {server.config}/{address}.dovecot.sieve" in added.stderr
    command = added.stderr.strip().rpartition("To delete it: ")[2]
    for words in command.split(" && "):
        server.setup(*words.split()[1:], *([PASSWORD] if " add " in words else []))
    assert server.run("email", "show", address).returncode == 0
    server.send(address, subject="to the new owner")
    server.arrives(address, "to the new owner")
    assert "Former" not in server.doveadm("mailbox", "list", "-u", address), "at once"
    assert server.subjects(address) == ["to the new owner"]
    server.setup("email", "del", "-y", address)
    undone = server.run("undo")
    assert undone.returncode == 0
    assert "is restored" not in undone.stderr, "that was the script of the first owner"


def test_undo_brings_the_script_back_into_force(server: Instance) -> None:
    address = "ute@x.com"
    server.setup("email", "add", address, PASSWORD)
    save(server.file(f"{address}.dovecot.sieve"), SCRIPT)
    until(lambda: f"* {address}, live" in server.setup("sieve", "list"))
    server.setup("email", "del", "-y", address)
    assert "ute@x.com" not in server.setup("sieve", "list")
    assert "is restored" in server.run("undo").stderr
    assert server.file(f"{address}.dovecot.sieve").read_text() == SCRIPT
    until(lambda: f"* {address}, live" in server.setup("sieve", "list"))
