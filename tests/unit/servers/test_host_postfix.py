"""The name and the certificate of a host's Postfix, as postconf reads them."""

from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.servers.host_postfix import HostPostfix, host_postfix


@pytest.mark.parametrize(
    ("text", "postfix"),
    [
        ("myhostname = a.example\n", HostPostfix("a.example", "")),
        ("mydomain = b.example\nmyhostname = m.$mydomain\nsmtpd_tls_cert_file = /x.pem\n",
         HostPostfix("m.b.example", "/x.pem")),
        ("myhostname = a.example\nsmtpd_tls_chain_files = /1.pem, /2.pem\n",
         HostPostfix("a.example", "", "", "/1.pem, /2.pem")),
        ("a b c\n", HostPostfix()),
    ],
)  # fmt: skip
def test_the_parameters_of_main_cf(tmp_path: Path, text: str, postfix: HostPostfix) -> None:
    (tmp_path / "main.cf").write_text(text)
    (tmp_path / "master.cf").write_text("")
    layout = Layout(str(tmp_path), "host")
    layout.postfix = str(tmp_path)
    assert host_postfix(layout) == postfix


def test_without_a_configuration_nothing_is_known(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path), "host")
    layout.postfix = str(tmp_path / "missing")
    assert host_postfix(layout) == HostPostfix()


@pytest.mark.parametrize(
    ("postfix", "files"),
    [
        (HostPostfix(), []), (HostPostfix("", "/x.pem"), ["/x.pem"]),
        (HostPostfix("", "/x.pem", "/ec.pem"), ["/x.pem", "/ec.pem"]),
        (HostPostfix("", "/x.pem", "", "/1.pem, /2.pem"), ["/1.pem", "/2.pem"]),
    ],
)  # fmt: skip
def test_chain_files_replace_the_certificates(postfix: HostPostfix, files: list[str]) -> None:
    assert postfix.certificates() == files
