"""The TLS certificates in use, and what is wrong with them, for `status` and `check`."""

import os
from collections.abc import Callable
from typing import NamedTuple

from mailroster.base.findings import Finding, Refused, ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings


class Certificate(NamedTuple):
    """A certificate that the settings name. `ends`: the day, as 2026-11-30 (UTC). `faults`: of the
    one in use. `refusal`: why its files are not used; then the previous one is, if there is one."""

    path: str
    ends: str | None
    faults: tuple[Finding, ...]
    refusal: Finding | None


def certificates_in_use(
    settings: Settings, layout: Layout, warn: Callable[[str], None]
) -> list[Certificate]:
    """The certificates of the settings; none if the settings name none. `warn` gets a line if they
    can't be checked: only root can read the keys."""
    if not settings.names_certificate():
        return []
    if os.geteuid() != 0:
        warn("the TLS certificate is not checked: only root can read its key")
        return []
    if not os.path.isdir(layout.tls):  # for example the config folder on another machine
        warn("the TLS certificate is not checked: no server was ever started here")
        return []
    try:
        return _certificates(settings, layout)
    except ServerError as error:
        warn(f"the TLS certificate is not checked: {error}")
        return []


def _certificates(settings: Settings, layout: Layout) -> list[Certificate]:
    from mailroster.servers import certificates  # only if the settings name a certificate
    from mailroster.servers.certificate_faults import date

    names = certificates.server_names(settings, layout)
    result, assessments = list[Certificate](), list[certificates.Assessment]()
    for source in certificates.sources(settings, layout):
        try:
            each = certificates.assess(source, names)
        except Refused as error:
            refusal = certificates.unusable(source, error)
            result.append(Certificate(source.certificate, None, (), refusal))
            continue
        assessments.append(each)
        ends = date(each.verdict.ends_s)
        result.append(Certificate(source.certificate, ends, each.verdict.faults, each.refusal))
    if others := certificates.same_type(assessments):
        result[-1] = result[-1]._replace(faults=(*result[-1].faults, *others))
    return result


def findings(settings: Settings, layout: Layout, warn: Callable[[str], None]) -> list[Finding]:
    """The findings about these certificates."""
    result = list[Finding]()
    for each in certificates_in_use(settings, layout, warn):
        result += [each.refusal] if each.refusal else []
        result += each.faults
    return result
