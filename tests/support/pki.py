"""Certificates for tests: a root, an intermediate, and what these sign, made by openssl(1)."""

import subprocess
from pathlib import Path


def openssl(*words: str, stdin: str = "") -> str:
    """The output of openssl, which must succeed."""
    done = subprocess.run(["openssl", *words], input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def new_key(kind: str = "ec") -> str:
    """A private key in PEM: `ec` or `rsa`."""
    options = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    if kind == "ec":
        options = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    return openssl("genpkey", *options)


#: Clients that verify strictly need them (RFC 5280).
_IDENTIFIERS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid"


class Authority:
    """A certificate authority: a root and an intermediate, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.root = self._authority("root", "")
        self.intermediate = self._authority("intermediate", "root")

    def _authority(self, name: str, issuer: str) -> str:
        (self.folder / f"{name}.key").write_text(new_key())
        extension = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        extension += _IDENTIFIERS
        return self._sign(name, self.folder / f"{name}.key", issuer, extension, 3650)

    def _sign(self, name: str, key: Path, issuer: str, extension: str, days: int) -> str:
        """A certificate in PEM, also in `NAME.crt`. `days` below 0: it has ended."""
        request = ["req", "-new", "-key", str(key), "-subj", f"/CN={name}"]
        csr = openssl(*request)
        config = self.folder / "ca.cnf"
        certificate = self.folder / f"{name}.crt"
        (self.folder / "index").write_text("")
        config.write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.folder}/index\n"
            f"new_certs_dir={self.folder}\ndefault_md=sha256\npolicy=p\nrand_serial=yes\n"
            f"[p]\ncommonName=supplied\n[x]\n{extension}\n"
        )
        signer = ["-cert", str(self.folder / f"{issuer}.crt")] if issuer else ["-selfsign"]
        signer += ["-keyfile", str(self.folder / f"{issuer}.key") if issuer else str(key)]
        import time

        def at(seconds: float) -> str:
            return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))

        (self.folder / "csr").write_text(csr)
        openssl(
            "ca", "-batch", "-notext", "-config", str(config), *signer,
            "-in", str(self.folder / "csr"), "-out", str(certificate), "-extensions", "x",
            "-startdate", at(-40 * 86400), "-enddate", at(days * 86400 + 60),
        )  # fmt: skip
        return certificate.read_text()

    def issue(
        self, name: str, *, key: str = "", kind: str = "ec", days: int = 60, address: bool = False
    ) -> "Issued":
        """A certificate for a name, or an IP address, with a new key unless one is given."""
        path = self.folder / "leaf.key"
        path.write_text(key or new_key(kind))
        extension = f"subjectAltName={'IP' if address else 'DNS'}:{name}\n{_IDENTIFIERS}"
        file = name.replace("*", "wildcard")
        certificate = self._sign(file, path, "intermediate", extension, days)
        return Issued(certificate, self.intermediate, path.read_text())


class Issued:
    """A certificate, the intermediate one that has signed it, and its key, in PEM."""

    def __init__(self, certificate: str, intermediate: str, key: str) -> None:
        self.certificate, self.intermediate, self.key = certificate, intermediate, key

    @property
    def chain(self) -> str:
        return self.certificate + self.intermediate

    def der(self) -> bytes:
        """What a client sees (ssl.SSLSocket.getpeercert)."""
        import ssl

        return ssl.PEM_cert_to_DER_cert(self.certificate)
