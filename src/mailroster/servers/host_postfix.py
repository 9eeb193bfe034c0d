"""What a host's own Postfix says about itself."""

from typing import NamedTuple

from mailroster.base.findings import ServerError
from mailroster.base.layout import Layout
from mailroster.system.programs import run


class HostPostfix(NamedTuple):
    """Parameters of main.cf (postconf(5)); "" if not known or not set."""

    myhostname: str = ""
    smtpd_tls_cert_file: str = ""
    smtpd_tls_eccert_file: str = ""
    smtpd_tls_chain_files: str = ""

    def certificates(self) -> list[str]:
        """The files that contain certificates, or may do so."""
        chains = self.smtpd_tls_chain_files.replace(",", " ").split()
        return chains or list(filter(None, (self.smtpd_tls_cert_file, self.smtpd_tls_eccert_file)))


def host_postfix(layout: Layout) -> HostPostfix:
    """The parameters of the Postfix of a layout."""
    names = HostPostfix._fields
    try:
        code, out, _ = run(["postconf", "-c", layout.postfix, "-xh", *names])
    except ServerError:
        return HostPostfix()
    values = [value.strip() for value in out.split("\n")]
    return HostPostfix(*values[: len(names)]) if not code and len(values) > 1 else HostPostfix()
