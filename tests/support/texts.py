"""Files as people, editors and accidents make them, for the laws."""

from typing import Any

from hypothesis import strategies as st

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format
from mailroster.roster.formats.access import RECEIVE_ACCESS, SEND_ACCESS
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.app_passwords import APP_PASSWORDS
from mailroster.roster.formats.local_aliases import LOCAL_ALIASES
from mailroster.roster.formats.masters import MASTERS
from mailroster.roster.formats.quotas import QUOTAS
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.formats.relaymap import RELAYMAP
from mailroster.roster.formats.sasl_password import SASL_PASSWORDS
from mailroster.roster.formats.sender_logins import SENDER_LOGINS
from mailroster.roster.formats.virtual import VIRTUAL

FORMATS: tuple[Format[Any], ...] = (
    ACCOUNTS, QUOTAS, VIRTUAL, REGEXP, MASTERS, SEND_ACCESS, RECEIVE_ACCESS,
    SENDER_LOGINS,
    LOCAL_ALIASES, RELAYMAP, SASL_PASSWORDS, APP_PASSWORDS,
)  # fmt: skip
HASH = "{SHA512-CRYPT}$6$abc$def"
DIGEST = "0123456789abcdef" * 4

#: Pieces that mean something to one format or the other, and bytes that mean nothing to any.
PIECES = (
    b"a@x.com", b"A@X.com", b"b@x.com", b"a+t@x.com", b"@x.com", b"info", b"a@b\xc3\xbccher.de",
    b"|", b":", b",", b", ", b" ", b"  ", b"\t", b"\n", b"\n", b"\n", b"\r\n", b"\r", b"#", b"# a",
    b"{PLAIN}x", HASH.encode(), b"5G", b"0", b"REJECT", b"/^a/", b"if /x/", b"endif", b"!", b"\\",
    b"\xef\xbb\xbf", b"\xff", b"\xed\xb2\x80", b"\0", b"\x0b", b"\xc2\x85", b"\xc2\xa0",
    b"\xe2\x80\xa8", b"\xc4\xb0", b"home=/x", b"info: ", b"[r.test]:587", b"u:p",
    b"a@x.com|phone|{SHA256.HEX}" + DIGEST.encode(), b"|services=imap", b"|x|",
)  # fmt: skip

raw = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=30).map(b"".join)
_word = st.text("ab9_.-=&'+@{$A ", max_size=5)
_long = st.sampled_from(["a" * 63, "a" * 64, "a" * 65, "a.b", "9", "_x", "x-y"])
_address = st.builds(
    "{}@{}".format, _word | _long, st.lists(_word | _long, max_size=5).map(".".join)
)
#: Lines of the plainest form, and those that are nearly so.
plain = st.one_of(
    st.builds("{}|{}".format, _address, st.sampled_from([HASH, "{A}x", "{-}x", "{A}a:b", "{A}~"])),
    st.builds(
        "{}:{}".format, _address, st.sampled_from(["5G", "05G", "999999T", "9999999T", "5g"])
    ),
    st.builds(
        f"{{}}|{{}}|{{{{SHA256.HEX}}}}{DIGEST[:-1]}{{}}{{}}".format,
        _address,
        st.sampled_from(["phone", "Phone", "a", "x" * 40, "x" * 41, "a.b-c_d", "-a", ""]),
        st.sampled_from(["0", "f", "F", "", "00"]),
        st.sampled_from(
            [
                "",
                "|",
                "|services=imap",
                "|services=smtp,imap",
                "|services=imap,smtp,pop3,sieve",
                "|services=none",
                "|services=imap,imap",
                "|services=imap until=2026-12-31",
                "|until=",
            ]
        ),
    ),
    st.builds("{}{}{}".format, _address, st.sampled_from([" ", "\t ", ","]), _address),
    st.builds(
        lambda key, words, blank: f"{key} {blank.join(words)}",
        _address,
        st.lists(_address, max_size=4),
        st.sampled_from([" ", ",", ", ", ",,\t", "\n "]),
    ),
).map(str.encode)
formats = st.sampled_from(FORMATS)


def document(format: Format[Any], content: bytes) -> Document[Any]:
    return Document.from_bytes(format, content)
