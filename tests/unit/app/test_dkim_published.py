"""Whether DNS has the record of a new key: what the resolver and the name servers must say."""

import pytest

from mailroster.analysis.dns import dkim_record
from mailroster.app.dkim import is_published
from mailroster.servers import dkim_keys
from mailroster.servers.config import dkim
from mailroster.servers.config.dkim import Key
from mailroster.system.name_servers import NameServers
from tests.support.name_server import SERVFAIL, NameServer

DOMAIN, NAME = "example.com", "next._domainkey.example.com"
ZONE = """\
example.com. SOA ns1.example.com. a.example.com. 1 2 3 4 5
example.com. NS ns1.example.com.
ns1.example.com. A 127.0.0.1
"""


@pytest.mark.parametrize("own", ["has it", "lacks it", "has another", "has two", "fails"])
def test_a_server_of_the_domain_that_lacks_the_record_delays_the_rotation(own: str) -> None:
    pem = dkim_keys.generate(dkim.ED25519, 0)
    key = Key(DOMAIN, "next", "", dkim.ED25519, pem, "")
    right, wrong = dkim_keys.public_part(key).text(), dkim_record.record(dkim.ED25519, "AAAA")
    texts = {"has it": [right], "has another": [wrong], "has two": [right, wrong]}.get(own, [])
    zone = ZONE + "".join(f'{NAME}. TXT "{text}"\n' for text in texts)
    faults = {NAME: SERVFAIL} if own == "fails" else {}
    with (
        NameServer(f'{ZONE}{NAME}. TXT "{right}"').running() as resolver,
        NameServer(zone, faults).running() as authority,
    ):
        place = resolver.address, resolver.port
        servers = NameServers(DOMAIN, [place], port=authority.port, answer_s=1)
        assert is_published(key, servers) is (own in ("has it", "fails"))
        assert is_published(key, NameServers(DOMAIN, only=place)), "dns_server answers for all"
