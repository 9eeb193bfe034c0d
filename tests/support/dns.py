"""A DNS server of a test's own on a free port of 127.0.0.1, by UDP and TCP, for TXT records."""

import socketserver
import struct
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset

_UDP_MAX = 512


class Dns:
    """`records`: the strings of each TXT record by its name, without the final dot; None for a
    name that the server fails to answer (SERVFAIL)."""

    def __init__(self) -> None:
        self.records: dict[str, list[str] | None] = {}
        server = self

        class Datagram(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                answer = server._answer(self.request[0])
                raw = answer.to_wire()
                if len(raw) > _UDP_MAX:  # the client asks again by TCP
                    answer.answer = []
                    answer.flags |= dns.flags.TC
                    raw = answer.to_wire()
                self.request[1].sendto(raw, self.client_address)

        class Stream(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                size = struct.unpack(">H", self.rfile.read(2))[0]
                raw = server._answer(self.rfile.read(size)).to_wire()
                self.wfile.write(struct.pack(">H", len(raw)) + raw)

        self._tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stream)
        self.port: int = self._tcp.server_address[1]
        self._udp = socketserver.ThreadingUDPServer(("127.0.0.1", self.port), Datagram)
        for each in (self._udp, self._tcp):
            each.daemon_threads = True
            threading.Thread(target=each.serve_forever, daemon=True).start()

    def close(self) -> None:
        for each in (self._udp, self._tcp):
            each.shutdown()
            each.server_close()

    def _answer(self, raw: bytes) -> dns.message.Message:
        query = dns.message.from_wire(raw)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        strings = self.records.get(name, [])
        if strings is None:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name not in self.records:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.TXT and strings:
            text = " ".join(f'"{part}"' for part in strings)
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", text))
        return answer

    def publish(self, zone_line: str) -> None:
        """Adds a TXT record as `setup config dkim` prints it: `NAME. IN TXT ( "…" "…" )`."""
        name, _, rest = zone_line.partition(". IN TXT ( ")
        self.records[name.lower()] = rest.removesuffix(" )").strip('"').split('" "')

    def txt(self, name: bytes, timeout: int = 5) -> bytes:
        """The TXT record of a name, as dkimpy asks for it; by a real query."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], self.port
        try:
            answer = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.NoNameservers):
            return b""
        return b"".join(next(iter(answer)).strings)
