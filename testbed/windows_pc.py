"""A Windows PC as Ansible sees it over PSRP: the protocol is spoken (WSMan, PSRP by psrpcore), Windows is played.

It shows which modules a role calls, with which arguments, as which account and in which order, and keeps what they ask
for, so that a second run finds it. Of PowerShell it runs nothing: the modules' own scripts are not exercised.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import sys
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PureWindowsPath
from typing import Any

import psrpcore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from lxml import etree

ADMINISTRATOR = "administrateur"
TEMPORARY = PureWindowsPath(rf"C:\Users\{ADMINISTRATOR}\AppData\Local\Temp")
# Between the parts of what the exec wrapper is given (ansible.executor.powershell).
_SEPARATOR = "\n\0\0\0\0\n"
_MASKED = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
_KEYS = {"C": NameOID.COUNTRY_NAME, "O": NameOID.ORGANIZATION_NAME, "CN": NameOID.COMMON_NAME}
_KEYS["OU"] = NameOID.ORGANIZATIONAL_UNIT_NAME


class ModuleError(Exception):
    """What a module would answer instead of its result."""


@dataclass(frozen=True)
class Call:
    """One module that ran: its short name, its arguments but Ansible's own, the account, whether in check mode."""

    module: str
    args: dict[str, Any]
    account: str
    check: bool


@dataclass
class Entry:
    """A certificate of a store, and how its key is kept there, if it has one."""

    certificate: x509.Certificate
    key: bool = False
    exportable: bool = True
    storage: str = "default"


@dataclass
class WindowsPc:
    """The state of the PC, in memory.

    Attributes:
        accounts: passwords, by account; others than the administrator's serve « runas ».
        firefox: whether it is installed.
        fails: what a module answers instead of working; nothing when it works.
    """

    accounts: dict[str, str]
    firefox: bool = True
    calls: list[Call] = field(default_factory=list)
    fails: Callable[[Call], str] = lambda _call: ""
    files: dict[PureWindowsPath, bytes] = field(default_factory=dict)
    folders: set[PureWindowsPath] = field(default_factory=set)
    rights: set[tuple[PureWindowsPath, str]] = field(default_factory=set)  # folders where an account may write
    registry: dict[tuple[str, str], tuple[str, Any]] = field(default_factory=dict)
    stores: defaultdict[tuple[str, str], dict[str, Entry]] = field(default_factory=lambda: defaultdict(dict))
    _requested: dict[bytes, str] = field(default_factory=dict)  # account that made it, by public key

    def __post_init__(self) -> None:
        if self.firefox:
            self.files[PureWindowsPath(r"C:\Program Files\Mozilla Firefox\firefox.exe")] = b"MZ"

    @property
    def digest(self) -> list[str]:
        """All that the PC holds but temporary files, to compare before and after."""
        kept = {path: content for path, content in self.files.items() if TEMPORARY not in path.parents}
        stores = {where: sorted(held) for where, held in self.stores.items() if held}
        held = (self.folders, self.rights, kept.items(), self.registry.items(), stores.items())
        return [repr(sorted(one)) for one in held]

    # -- what PowerShell is asked for ---------------------------------------------------------------------

    def answer(self, lines: list[str]) -> str:
        """Answer what Ansible's wrapper gave to its bootstrap, as the lines of its input."""
        _, manifest, *given = "\n".join(lines).split(_SEPARATOR)
        account = ADMINISTRATOR
        for action in json.loads(manifest)["actions"]:
            name, params, secure = action["name"], action["params"], action.get("secure_params") or {}
            if name == "become_wrapper.ps1":
                account = params["BecomeUser"]
                if self.accounts.get(account) != secure.get("BecomePassword"):
                    return json.dumps({"failed": True, "msg": _LOGON.format(account)})
            elif name == "powershell_mkdtemp.ps1":
                return str(TEMPORARY / params["Name"])
            elif name == "psrp_put_file.ps1":
                content = b"".join(base64.b64decode(line) for line in given[0].splitlines())
                self.files[PureWindowsPath(params["Path"])] = content
                return json.dumps({"sha1": hashlib.sha1(content, usedforsecurity=False).hexdigest()})
            elif name == "module_wrapper.ps1":
                args = next(one["Value"] for one in params["Variables"] if one["Name"] == "complex_args")
                return self._module(params["Script"].removesuffix(".ps1").rpartition(".")[2], args, account)
            else:
                raise LookupError(f"no script of this PC: {name}")
        raise LookupError(f"no script of this PC: {manifest[:200]}")

    def _module(self, name: str, given: dict[str, Any], account: str) -> str:
        args = {key: value for key, value in given.items() if not key.startswith("_ansible_")}
        check = bool(given.get("_ansible_check_mode"))
        self.calls.append(Call(name, args, account, check))
        # As Ansible.Basic does with what is no_log.
        shown = {key: _MASKED if key == "password" else value for key, value in args.items()}
        result: dict[str, Any] = {"changed": False, "invocation": {"module_args": shown}}
        try:
            if said := self.fails(self.calls[-1]):
                raise ModuleError(said)
            work: Callable[[dict[str, Any], str, bool], dict[str, Any]] = getattr(self, f"_{name}")
            result |= work(args, account, check)
        except ModuleError as error:
            result |= {"failed": True, "msg": str(error)}
        return json.dumps(result)

    # -- ansible.windows ----------------------------------------------------------------------------------

    def _win_file(self, args: dict[str, Any], account: str, check: bool) -> dict[str, Any]:
        path = PureWindowsPath(args["path"])
        there = path in self.files or path in self.folders
        if args.get("_diff_peek"):  # --diff asks whether there is something to show
            return {"state": "file" if path in self.files else "absent", "size": len(self.files.get(path, b""))}
        wanted = args["state"] == "directory"
        if not check and wanted:
            self.folders.add(path)
        elif not check:
            self.files.pop(path, None)
            self.folders.discard(path)
        return {"changed": there is not wanted}

    def _win_acl(self, args: dict[str, Any], account: str, check: bool) -> dict[str, Any]:
        right = PureWindowsPath(args["path"]), args["user"]
        if right[0] not in self.folders:
            raise ModuleError(f"{right[0]} file or directory does not exist on the host")
        assert (args["rights"], args["type"]) == ("Modify", "allow"), args
        changed = right not in self.rights
        if not check:
            self.rights.add(right)
        return {"changed": changed}

    def _win_copy(self, args: dict[str, Any], account: str, check: bool) -> dict[str, Any]:
        dest = PureWindowsPath(args["dest"])
        if args["_copy_mode"] == "query":
            wanted = [one for one in args["files"] if self._checksum(dest / one["dest"]) != one["checksum"]]
            return {"files": wanted, "directories": [], "symlinks": []}
        if dest.parent not in self.folders:
            raise ModuleError(f"Destination directory '{dest.parent}' does not exist")
        self.files[dest] = self.files[PureWindowsPath(args["src"])]
        return {"changed": True, "dest": str(dest), "checksum": self._checksum(dest)}

    def _checksum(self, path: PureWindowsPath) -> str:
        held = self.files.get(path)
        return "" if held is None else hashlib.sha1(held, usedforsecurity=False).hexdigest()

    def _win_stat(self, args: dict[str, Any], account: str, check: bool) -> dict[str, Any]:
        return {"stat": {"exists": PureWindowsPath(args["path"]) in self.files}}

    def _slurp(self, args: dict[str, Any], account: str, check: bool) -> dict[str, Any]:
        return {"content": base64.b64encode(self._read(args["src"])).decode(), "encoding": "base64"}

    def _read(self, path: str) -> bytes:
        held = self.files.get(PureWindowsPath(path))
        if held is None:
            raise ModuleError(f"Path {path} is not found")
        return held

    def _win_regedit(self, args: dict[str, Any], account: str, check: bool) -> dict[str, Any]:
        where, value = (args["path"], args["name"]), (args["type"], args["data"])
        changed = self.registry.get(where) != value
        if not check:
            self.registry[where] = value
        return {"changed": changed}

    def _win_certificate_store(self, args: dict[str, Any], account: str, check: bool) -> dict[str, Any]:
        content = self._read(args["path"])
        entry = Entry(x509.load_pem_x509_certificate(content)) if content.startswith(b"-----") else None
        if entry is None:
            try:
                _, certificate, _ = pkcs12.load_key_and_certificates(content, args["password"].encode())
            except ValueError:
                told = (
                    'Exception calling "Import" with "3" argument(s): "The specified network password is not correct."'
                )
                raise ModuleError(f"Failed to load cert from file: {told}") from None
            assert certificate is not None, "un .p12 sans certificat"
            entry = Entry(certificate, True, args.get("key_exportable", True), args.get("key_storage", "default"))
        location = args["store_location"]
        held = self.stores[location if location == "LocalMachine" else account, args["store_name"]]
        thumbprint = _thumbprint(entry.certificate)
        changed = thumbprint not in held
        if not check:
            held.setdefault(thumbprint, entry)
        return {"changed": changed, "thumbprints": [thumbprint]}

    def _win_command(self, args: dict[str, Any], account: str, check: bool) -> dict[str, Any]:
        if check:
            return {"skipped": True, "msg": "remote module (ansible.windows.win_command) does not support check mode"}
        if args.get("creates") and PureWindowsPath(args["creates"]) in self.files:
            return {"skipped": True, "msg": f"skipped, since {args['creates']} exists"}
        program, verb, *rest = args["argv"]
        assert (program, rest[:2]) == ("certreq.exe", ["-user", "-q"]), args
        works: dict[str, Callable[..., tuple[int, str]]] = {"-new": self._certreq_new, "-accept": self._certreq_accept}
        code, said = works[verb](account, *rest[2:])
        if code:
            raise ModuleError(f"non-zero return code {said}")
        return {"changed": True, "rc": 0, "stdout": said, "stderr": ""}

    def _certreq_new(self, account: str, description: str, csr: str) -> tuple[int, str]:
        """Make a key of this account; SetupAPI reads the description as ANSI, or as UTF-16 when its mark says so."""
        if (PureWindowsPath(csr).parent, account) not in self.rights:
            return 5, "Access is denied. 0x80070005 (WIN32: 5 ERROR_ACCESS_DENIED)"
        content = self._read(description)
        text = content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "cp1252", "replace")
        found = re.search(r'^Subject = "(.*)"\r?$', text, re.MULTILINE)
        length = re.search(r"^KeyLength = (\d+)\r?$", text, re.MULTILINE)
        assert found and length and "Exportable = FALSE" in text and "MachineKeySet = FALSE" in text, text
        pairs = [one.split("=", 1) for one in found[1].split(",")]
        name = x509.Name([x509.NameAttribute(_KEYS[key], value) for key, value in reversed(pairs)])
        key = rsa.generate_private_key(65537, int(length[1]))
        made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        self._requested[_public(made)] = account
        self.files[PureWindowsPath(csr)] = made.public_bytes(serialization.Encoding.PEM)
        return 0, "CertReq: Request Created"

    def _certreq_accept(self, account: str, certificate: str) -> tuple[int, str]:
        taken = x509.load_pem_x509_certificate(self._read(certificate))
        if self._requested.get(_public(taken)) != account:
            return 1, "Cannot find object or property. 0x80092004 (-2146885628 CRYPT_E_NOT_FOUND)"
        self.stores[account, "My"][_thumbprint(taken)] = Entry(taken, True, False, "user")
        return 0, "Installed Certificate"

    def _win_shell(self, args: dict[str, Any], account: str, check: bool) -> dict[str, Any]:
        """The one command that a journey asks for: key identifiers of the authorities that are believed."""
        assert "Cert:\\LocalMachine\\Root, Cert:\\LocalMachine\\CA" in args["_raw_params"], args
        held = [
            *self.stores["LocalMachine", "Root"].values(),
            *self.stores["LocalMachine", "CertificateAuthority"].values(),
        ]
        known = [one.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier) for one in held]
        lines = [one.value.digest.hex() for one in known]
        return {"changed": True, "rc": 0, "stdout": "\r\n".join(lines), "stdout_lines": lines, "stderr": ""}


_LOGON = (
    'Failed to become user \'{0}\': Exception calling "CreateProcessAsUser" with "9" argument(s): "Failed to logon '
    'user (The user name or password is incorrect, Win32ErrorCode 1326 - 0x0000052E)"'
)


def _thumbprint(certificate: x509.Certificate) -> str:
    """Windows' own name of a certificate, which its store is keyed by."""
    return hashlib.sha1(certificate.public_bytes(serialization.Encoding.DER), usedforsecurity=False).hexdigest()


def _public(one: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    return one.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


# -- WSMan ------------------------------------------------------------------------------------------------

_NS = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "rsp": "http://schemas.microsoft.com/wbem/wsman/1/windows/shell",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/transfer",
    "p": "http://schemas.microsoft.com/powershell",
}
_ENVELOPE = (
    f"<s:Envelope {' '.join(f'xmlns:{prefix}="{uri}"' for prefix, uri in _NS.items())}>"
    "<s:Header><a:RelatesTo>%s</a:RelatesTo></s:Header><s:Body>%s</s:Body></s:Envelope>"
)
# What WinRM takes for « the certificate of this TLS session ».
_MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"


class _Shell:
    """A runspace pool of one client; what waits to be received, by pipeline."""

    def __init__(self, pc: WindowsPc) -> None:
        self._pc = pc
        self._pool = psrpcore.ServerRunspacePool()
        self._lines: dict[uuid.UUID, list[str]] = {}
        self._waiting: defaultdict[uuid.UUID | None, bytes] = defaultdict(bytes)

    def take(self, text: str, pipeline: uuid.UUID | None = None) -> None:
        """Take fragments, and do what they ask for."""
        if pipeline is not None and pipeline not in self._pool.pipeline_table:
            psrpcore.ServerPipeline(self._pool, pipeline)
        payload = psrpcore.PSRPPayload(base64.b64decode(text), psrpcore.StreamType.default, pipeline)
        self._pool.receive_data(payload)
        while event := self._pool.next_event():
            if isinstance(event, psrpcore.CreatePipelineEvent):
                self._lines[event.pipeline_id] = []
                self._pool.pipeline_table[event.pipeline_id].start()
                if event.pipeline.no_input:
                    self._run(event.pipeline_id)
            elif isinstance(event, psrpcore.PipelineInputEvent):
                self._lines[event.pipeline_id] += [event.data] if isinstance(event.data, str) else event.data
            elif isinstance(event, psrpcore.EndOfPipelineInputEvent):
                self._run(event.pipeline_id)
        while sent := self._pool.data_to_send():
            self._waiting[sent.pipeline_id] += sent.data

    def _run(self, identifier: uuid.UUID) -> None:
        pipeline = self._pool.pipeline_table[identifier]
        assert isinstance(pipeline, psrpcore.ServerPipeline)
        if lines := self._lines.pop(identifier):  # else what a bare script does of a temporary folder
            pipeline.write_output(self._pc.answer(lines))
        pipeline.complete()

    def received(self, pipeline: uuid.UUID | None) -> bytes:
        """What waits for the client."""
        return self._waiting.pop(pipeline, b"")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Listener

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._known():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="WSMAN"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        request = etree.fromstring(body)
        answer = (_ENVELOPE % (request.findtext(".//a:MessageID", "", _NS), self._answer(request))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/soap+xml;charset=UTF-8")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _known(self) -> bool:
        given = self.headers.get("Authorization", "")
        if given == _MUTUAL:
            assert isinstance(self.connection, ssl.SSLSocket)
            return bool(self.connection.getpeercert())
        pair = f"{ADMINISTRATOR}:{self.server.pc.accounts[ADMINISTRATOR]}"
        return given == f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _answer(self, request: Any) -> str:
        def text(path: str) -> str:
            return request.findtext(f".//{path}", "", _NS)

        def identifier(path: str) -> uuid.UUID | None:
            found = request.find(f".//{path}", _NS)
            return uuid.UUID(found.get("CommandId")) if found is not None and found.get("CommandId") else None

        action = text("a:Action").rpartition("/")[2]
        shells = self.server.shells
        if action == "Create":
            name = request.find(".//rsp:Shell", _NS).get("ShellId")
            shells[name] = _Shell(self.server.pc)
            shells[name].take(text("p:creationXml"))
            chosen = f'<w:SelectorSet><w:Selector Name="ShellId">{name}</w:Selector></w:SelectorSet>'
            return (
                f"<x:ResourceCreated><a:ReferenceParameters>{chosen}</a:ReferenceParameters></x:ResourceCreated>"
                f"<rsp:Shell><rsp:ShellId>{name}</rsp:ShellId></rsp:Shell>"
            )
        name = text("w:Selector")
        if action == "Command":
            pipeline = identifier("rsp:CommandLine")
            shells[name].take(text("rsp:Arguments"), pipeline)
            return f"<rsp:CommandResponse><rsp:CommandId>{pipeline}</rsp:CommandId></rsp:CommandResponse>"
        if action == "Send":
            shells[name].take(text("rsp:Stream"), identifier("rsp:Stream"))
            return "<rsp:SendResponse/>"
        if action == "Receive":
            pipeline = identifier("rsp:DesiredStream")
            sent = base64.b64encode(shells[name].received(pipeline)).decode()
            return f'<rsp:ReceiveResponse><rsp:Stream Name="stdout">{sent}</rsp:Stream></rsp:ReceiveResponse>'
        if action == "Signal":
            return "<rsp:SignalResponse/>"
        assert action == "Delete", action
        shells.pop(name)
        return ""


class Listener(ThreadingHTTPServer):
    """The PC's WinRM over HTTPS, on loopback."""

    daemon_threads = True

    def __init__(self, pc: WindowsPc, certificate: Path, key: Path, administrators: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pc = pc
        self.shells: dict[str, _Shell] = {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(administrators)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust it leaves: that alone is no fault of what is played."""
        if not isinstance(sys.exception(), ssl.SSLError | ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def listening(pc: WindowsPc, certificate: Path, key: Path, administrators: Path) -> Iterator[int]:
    """Speak PSRP for this PC; gives the port.

    Args:
        certificate: of the PC's HTTPS, PEM, with its key.
        administrators: authorities whose certificates enter as administrator, PEM.
    """
    with Listener(pc, certificate, key, administrators) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
