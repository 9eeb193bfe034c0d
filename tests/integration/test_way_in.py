"""What a new user meets at a running server: what changed, in words; what is wrong with an edit, at
once; the commands of docker-mailserver that look into a server; the map."""

import re

from tests.support.instance import HASH, Instance, until


def test_up_and_apply_name_what_changed(server: Instance) -> None:
    accounts, virtual = server.file("postfix-accounts.cf"), server.file("postfix-virtual.cf")
    accounts.write_text(f"a@x.com|{HASH}\nb@x.com|{HASH}\n")
    until(lambda: "added: accounts a@x.com, b@x.com\n" in server.log.read_text())
    virtual.write_text("info@x.com a@x.com\n")
    until(lambda: "added: alias info@x.com\n" in server.log.read_text())
    virtual.write_text("info@x.com b@x.com\n")
    until(lambda: "changed: alias info@x.com\n" in server.log.read_text())
    script = server.file("a@x.com.dovecot.sieve")
    script.write_text("keep;\n")
    until(lambda: "changed: Sieve script a@x.com\n" in server.log.read_text())
    accounts.write_text(f"a@x.com|{HASH}\n")
    until(lambda: "removed: account b@x.com\n" in server.log.read_text())
    assert "rows changed" not in server.log.read_text()
    assert server.setup("apply") == "nothing changed\n"
    assert server.setup("apply", "--verify") == "0 rows changed\n"


def test_a_shell_and_the_log_as_in_docker_mailserver(server: Instance) -> None:
    assert (
        server.setup("debug", "login", "postconf -h queue_directory") == f"{server.state}/spool\n"
    )
    assert "Mail queue is empty" in server.setup("debug", "login", "postqueue", "-p")
    assert "a@x.com" in server.setup("debug", "login", "doveadm", "user", "*@x.com")
    assert server.run("debug", "login", "false").returncode == 1
    server.send("a@x.com", subject="logged")
    server.arrives("a@x.com", "logged")
    until(lambda: "to=<a@x.com>" in server.setup("debug", "show-mail-logs"))
    assert re.search(r"^==> .*/dovecot.log <==$", server.setup("debug", "show-mail-logs"), re.M)


def test_a_large_folder_that_is_served_is_judged_by_what_an_edit_concerns(
    server: Instance,
) -> None:
    many = "".join(f"u{n}@big.example|{HASH}\n" for n in range(4200))
    with server.file("postfix-accounts.cf").open("a") as file:
        file.write(many)
    until(lambda: "4,200 accounts (u0@big.example" in server.log.read_text(), 60)
    for words, code in (
        (("alias", "add", "info@big.example", "ghost@big.example"), "dangling-alias"),
        (("email", "add", "new@bigg.example", "--hash", HASH), "misspelt-domain"),
        (("alias", "add", "z@x.com", "u7@bigg.example"), "dangling-alias"),
        (("email", "forward", "u8@big.example", "u9@else.example"), "alias-shadows-mailbox"),
    ):
        done = server.run(*words)
        assert done.returncode == 0
        assert f"[{code}]" in done.stderr, (words, done.stderr)
    for words in (
        ("alias", "add", "more@big.example", "u4199@big.example"),
        ("email", "add", "good@big.example", "--hash", HASH),
        ("quota", "set", "u5@big.example", "1G"),
    ):
        done = server.run(*words)
        assert (done.returncode, done.stderr) == (0, "")
    done = server.run("regexp", "add", "/./", "u1@big.example")
    assert "[regexp-captures-mailbox]" in done.stderr
    assert server.run("quota", "set", "u6@big.example", "1G").stderr == "", "it is known by now"


def test_the_map_of_a_served_folder_is_drawn(server: Instance) -> None:
    text = server.setup("map", "x.com", "--dot")
    assert '"info@x.com"' in text
    assert "cluster_legend" in text
