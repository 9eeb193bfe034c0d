"""A name server of the test's own, on 127.0.0.1 by UDP and TCP: a resolver and an authority at
once."""

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

#: Faults of names: an error code, no reply, a reply that is no DNS message, or wrong signatures.
SERVFAIL, REFUSED, SILENT, GARBAGE, BOGUS = "SERVFAIL", "REFUSED", "silent", "garbage", "bogus"
_TTL_S = 60
_CNAME = dns.rdatatype.CNAME
_SOA = dns.rdatatype.SOA

Key = tuple[dns.name.Name, dns.rdatatype.RdataType]


def parsed(text: str) -> dict[Key, dns.rrset.RRset]:
    """The records of lines such as `example.com. MX 10 mail.example.com.`; a TTL and a class
    before the type are left out, comments too."""
    records: dict[Key, dns.rrset.RRset] = {}
    for line in text.splitlines():
        words = line.split(None, 1)
        if not words or words[0][0] == ";":
            continue
        name, rest = words
        rest = rest.removeprefix("3600 ").removeprefix("IN ")
        kind, value = rest.split(None, 1)
        rrset = dns.rrset.from_text(name, _TTL_S, "IN", kind, value)
        known = records.setdefault((rrset.name, rrset.rdtype), rrset)
        for rdata in rrset:
            known.add(rdata)
    return records


class NameServer:
    """Answers from `records`, which tests may change while it runs. `faults`: name -> fault, for
    all of its types. `is_secure`: it says that DNSSEC authenticates its answers."""

    def __init__(
        self,
        text: str = "",
        faults: Mapping[str, str] | None = None,
        is_secure: bool = False,
        port: int = 0,
    ) -> None:
        self.records = parsed(text)
        self.faults = dict(faults or {})
        self.is_secure, self.is_authority = is_secure, True
        self.asked: list[str] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._bind(port)
        self._tcp.listen(16)
        self.address, self.port = self._udp.getsockname()
        self.by_tcp = 0

    def _bind(self, port: int) -> None:
        for _ in range(20):  # a port that is free for both
            self._udp.bind(("127.0.0.1", port))
            try:
                self._tcp.bind(self._udp.getsockname())
                return
            except OSError:
                self._udp.close()
                self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raise AssertionError("no port is free")

    def add(self, text: str) -> None:
        self.records.update(parsed(text))

    def remove(self, name: str, kind: str) -> None:
        key = dns.name.from_text(name), dns.rdatatype.from_text(kind)
        self.records.pop(key, None)

    @property
    def place(self) -> str:
        """The address and the port as `--server` takes them."""
        return f"{self.address}:{self.port}"

    @contextmanager
    def running(self) -> Iterator[Self]:
        threads = [threading.Thread(target=run, daemon=True) for run in (self._serve, self._listen)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            for connection in (self._udp, self._tcp):
                # Wakes the thread that waits in it; a UDP socket is not connected, but it wakes.
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                connection.close()
            for thread in threads:
                thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                wire, client = self._udp.recvfrom(4096)
            except OSError:
                return
            if not wire:
                return
            reply = self._reply(wire, 1232)
            if reply:
                self._udp.sendto(reply, client)

    def _listen(self) -> None:
        while True:
            try:
                session, _ = self._tcp.accept()
            except OSError:
                return
            with session, session.makefile("rb") as file:
                head = file.read(2)
                if not head:  # a client that only connects
                    continue
                reply = self._reply(file.read(struct.unpack("!H", head)[0]), 65535)
                self.by_tcp += 1
                if reply:
                    session.sendall(struct.pack("!H", len(reply)) + reply)

    def _reply(self, wire: bytes, size: int) -> bytes:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        self.asked.append(f"{question.name} {dns.rdatatype.to_text(question.rdtype)}")
        fault = self.faults.get(question.name.to_text(omit_final_dot=True), "")
        if fault == SILENT:
            return b""
        if fault == GARBAGE:
            return wire[:2] + b"\xff" * 30
        reply = dns.message.make_response(query)
        if fault in (SERVFAIL, REFUSED) or (fault == BOGUS and not query.flags & dns.flags.CD):
            reply.set_rcode(dns.rcode.REFUSED if fault == REFUSED else dns.rcode.SERVFAIL)
            return reply.to_wire()
        if self.is_authority:
            reply.flags |= dns.flags.AA
        if self.is_secure and query.flags & dns.flags.AD:
            reply.flags |= dns.flags.AD
        self._fill(reply, question.name, question.rdtype)
        try:
            return reply.to_wire(max_size=size)
        except dns.exception.TooBig:
            short = dns.message.make_response(query)
            short.flags |= reply.flags | dns.flags.TC
            return short.to_wire()

    def _fill(
        self, reply: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> None:
        """Puts the records of a name into a reply, behind the CNAME records that lead to it."""
        for _ in range(12):
            rrset = self.records.get((name, kind))
            alias = self.records.get((name, _CNAME))
            if rrset is not None or alias is None:
                break
            reply.answer.append(alias)
            name = alias[0].target
        if rrset is not None:
            reply.answer.append(rrset)
            return
        if not any(other.is_subdomain(name) for other, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        soa = (rrset for (zone, k), rrset in self.records.items() if k == _SOA)
        reply.authority += [rrset for rrset in soa if name.is_subdomain(rrset.name)]
