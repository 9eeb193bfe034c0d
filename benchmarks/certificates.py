"""Certificates that are renewed under load: `python -m benchmarks.certificates [RENEWALS]`.

Prints how long a new pair takes until every port shows it, what becomes of open sessions and of new
logins meanwhile, and what following the files costs while nothing happens.
"""

import imaplib
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.integration.test_certificate_renewal import HOST, A, Certbot, is_in_force
from tests.support.instance import HASH, PASSWORD, Instance, trusting

from benchmarks.idle import cpu_s


class Logins(threading.Thread):
    """Logs in by IMAP again and again."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(daemon=True)
        self.instance, self.times_s, self.failures = instance, list[float](), 0
        self.ended = threading.Event()

    def run(self) -> None:
        port = self.instance.ports["imaps"]
        while not self.ended.is_set():
            began = time.monotonic()
            try:
                with imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=trusting()) as session:
                    session.login(A, PASSWORD)
                self.times_s.append(time.monotonic() - began)
            except (OSError, imaplib.IMAP4.error):
                self.failures += 1
            time.sleep(0.05)


def idle(instance: Instance, seconds: int) -> str:
    assert instance.up is not None
    pid = instance.up.pid
    before = cpu_s(pid)
    time.sleep(seconds)
    used = cpu_s(pid) - before
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line.split()[1] for line in status.splitlines() if "VmRSS" in line)
    return f"{100 * used / seconds:.2f} % of a core, {int(resident) / 1024:.0f} MB resident"


def main(renewals: int) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        plain = Instance()
        try:
            plain.start()
            time.sleep(3)
            print(f"without the setting: {idle(plain, 30)}")
        finally:
            plain.close()
        certbot = Certbot(Path(folder))
        certbot.renew(certbot.authority.issue(HOST))
        pair = [str(certbot.live / name) for name in ("fullchain.pem", "privkey.pem")]
        instance = Instance(tls_certificate=pair[0], tls_key=pair[1])
        instance.file("postfix-accounts.cf").write_text(f"{A}|{HASH}\n")
        try:
            instance.start()
            time.sleep(3)
            print(f"with it: {idle(instance, 30)}")
            renew(instance, certbot, renewals)
        finally:
            instance.close()


def renew(instance: Instance, certbot: Certbot, renewals: int) -> None:
    logins, times_s = Logins(instance), list[float]()
    with instance.imap(A) as imap, instance.smtp("submission") as smtp:
        imap.select("INBOX")
        smtp.login(A, PASSWORD)
        logins.start()
        for _ in range(renewals):
            issued = certbot.authority.issue(HOST)
            certbot.renew(issued)
            began = time.monotonic()
            while not is_in_force(instance, issued):
                time.sleep(0.02)
            times_s.append(time.monotonic() - began)
        logins.ended.set()
        logins.join()
        assert imap.noop()[0] == "OK"
        assert smtp.noop()[0] == 250
    print(
        f"{renewals} renewals: in force on all ports after {statistics.median(times_s):.1f} s, at "
        f"most {max(times_s):.1f} s; both open sessions continue; {len(logins.times_s)} logins, "
        f"{logins.failures} failed, {1000 * statistics.median(logins.times_s):.0f} ms, at most "
        f"{1000 * max(logins.times_s):.0f} ms"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
