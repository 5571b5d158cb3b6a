"""What the controller is told from outside. Read once at start, checked, frozen; nothing else reads the environment."""

import os
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from socket import gethostname
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from protocol.home import default_home, default_run_folder
from protocol.timeouts import Timeouts
from web.domain.single_sign_on import Issuer, Target

MEBIBYTE = 1024 * 1024
GIBIBYTE = 1024 * MEBIBYTE


def _separated(value: Any) -> Any:
    """The parts of a text with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_separated)]


class ControllerSettings(BaseSettings):
    """Every field is the variable `REELKEEPER_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="REELKEEPER_", frozen=True, extra="ignore", populate_by_name=True)

    home: Path = Field(default_factory=default_home)
    run_folder: Path | None = None
    """Where sockets lie; short and for this user only."""
    database_url: Annotated[
        str | None, Field(validation_alias=AliasChoices("REELKEEPER_DATABASE_URL", "DATABASE_URL"), repr=False)
    ] = None
    """Your own PostgreSQL; without it the embedded one is used."""
    key_file: Path | None = None
    """The keys that seal secrets in the database; `keys` in the home folder unless said otherwise."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8640
    """0 takes a free one."""
    plain_http: bool = False
    """Speak HTTP without TLS beyond this machine, since a proxy in front does it."""
    tls_certificate: Path | None = None
    """PEM, with the chain up to the authority. With it the controller speaks HTTPS only."""
    tls_key: Path | None = None
    """PEM; without it the key stands in the file of the certificate."""
    tls_client_ca: Path | None = None
    """PEM: who signs the certificates that nodes may show."""
    hosts: Names = ()
    """Names, separated by commas, that the console is reached by, as a proxy in front passes them on. Those of this
    machine need not be told."""
    trusted_proxies: Networks = ()
    """Addresses or networks, separated by commas, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    local_sign_in: bool = True
    """Whether names, passwords, invitations and links for a new password of this installation let people in; links that
    `reelkeeper sign-in` prints always do."""
    oidc_issuer: str | None = None
    """The address of an OpenID provider, as it calls itself. With it people may come in by single sign-on."""
    oidc_client_id: str = "reelkeeper"
    oidc_client_secret_file: Path | None = None
    """Without it we are a public client."""
    oidc_label: str = "Single sign-on"
    """What stands on the button."""
    oidc_groups_claim: str = "groups"
    oidc_mapping: dict[str, Target] = Field(default_factory=dict)
    """JSON: what groups there mean here, `{"radio": {"role": "operator"}, "night": {"group": "Night shift"}}`."""
    oidc_hosts: Names = ()
    """Other hosts than the issuer's, separated by commas, that it may send us to for keys and tokens."""
    oidc_allow_http: bool = False
    """For trying: the issuer is spoken to without TLS, on loopback only."""
    node_token_hours: Annotated[float, Field(ge=1, le=24 * 365)] = 24.0
    """The token of a node is good so long; its agent exchanges it at half of that."""
    time_scale: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Stretches or shrinks every timeout."""
    upload_request_limit_bytes: Annotated[int, Field(gt=0)] = 16 * GIBIBYTE
    """The most that one request may append to a part."""
    cache_file_limit_bytes: Annotated[int, Field(gt=0)] = 1024 * GIBIBYTE
    """The most that the audio of one recording may take."""
    disk_reserve_bytes: Annotated[int, Field(ge=0)] = 512 * MEBIBYTE
    """Uploads are refused once they would leave less than this free."""
    store_workers: Annotated[int, Field(ge=1, le=64)] = 4
    """How many reads and writes of the cache store run at once."""
    listeners_limit: Annotated[int, Field(ge=1)] = 200
    """How many may listen at once to what is recorded, or from a moment on."""
    webhook_networks: Networks = ()
    """Addresses or networks, separated by commas, that webhooks may be sent to although they are not public."""
    webhook_ca_file: Path | None = None
    """PEM: authorities whose certificates webhooks trust, besides those that this machine trusts."""
    api_calls_per_minute: Annotated[int, Field(ge=1)] = 1_200
    """Of one token; five times as many from one address."""
    api_failures_per_minute: Annotated[int, Field(ge=1)] = 60
    """Calls without a good token, from one address."""

    @model_validator(mode="after")
    def _keep_plain_http_at_home(self) -> "ControllerSettings":
        if not (self.plain_http or self.tls_certificate or _is_loopback(self.host)):
            raise ValueError(
                f"host {self.host} is reached from other machines, and this is plain HTTP; set "
                "REELKEEPER_TLS_CERTIFICATE, or put a proxy with TLS in front and set REELKEEPER_PLAIN_HTTP=true, or "
                "keep 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _keep_tls_whole(self) -> "ControllerSettings":
        if self.tls_certificate is None and (self.tls_key or self.tls_client_ca):
            raise ValueError("tls_key and tls_client_ca need REELKEEPER_TLS_CERTIFICATE")
        return self

    @model_validator(mode="after")
    def _leave_a_way_in(self) -> "ControllerSettings":
        if self.oidc_issuer is None and not self.local_sign_in:
            raise ValueError("local_sign_in can be switched off only where REELKEEPER_OIDC_ISSUER lets people in")
        return self

    @model_validator(mode="after")
    def _find_the_client_secret(self) -> "ControllerSettings":
        if self.oidc_client_secret_file is not None and not os.access(self.oidc_client_secret_file, os.R_OK):
            raise ValueError(f"oidc_client_secret_file {self.oidc_client_secret_file} cannot be read")
        return self

    @property
    def told(self) -> dict[str, str]:
        """What was set from outside, by the names of the variables; of the database only that it was."""
        return {
            f"REELKEEPER_{name.upper()}": "set" if name == "database_url" else str(getattr(self, name))
            for name in sorted(self.model_fields_set)
        }

    @property
    def issuer(self) -> Issuer | None:
        """Who vouches for people."""
        if self.oidc_issuer is None:
            return None
        secret = self.oidc_client_secret_file
        return Issuer(
            address=self.oidc_issuer,
            client_id=self.oidc_client_id,
            client_secret=None if secret is None else secret.read_text().strip(),
            label=self.oidc_label,
            groups_claim=self.oidc_groups_claim,
            mapping=self.oidc_mapping,
            hosts=frozenset(self.oidc_hosts),
            may_be_plain=self.oidc_allow_http,
        )

    @property
    def timeouts(self) -> Timeouts:
        return Timeouts(node_token=self.node_token_hours * 3600).scaled(self.time_scale)

    @property
    def local_url(self) -> str:
        """Where the console is for a browser on this machine."""
        host = self.host if _is_loopback(self.host) else "127.0.0.1"
        name = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{name}:{self.port}"

    @property
    def scheme(self) -> Literal["http", "https"]:
        """What is spoken here, whatever a proxy in front speaks."""
        return "http" if self.tls_certificate is None else "https"

    @property
    def known_hosts(self) -> frozenset[str]:
        """The names that are answered to, besides those of loopback and the address that was connected to."""
        return frozenset({*self.hosts, self.host, gethostname()})

    @property
    def sockets_folder(self) -> Path:
        """The run folder, chosen."""
        return (self.run_folder or default_run_folder(self.home)).absolute()

    @property
    def keys_file(self) -> Path:
        """The key file, chosen."""
        return self.key_file or self.home / "keys"

    @property
    def cache_folder(self) -> Path:
        return self.home / "cache"

    @property
    def database_folder(self) -> Path:
        return self.home / "database"

    @property
    def database_sockets_folder(self) -> Path:
        """Apart from the agent's sockets, since the server may run as another user."""
        return self.sockets_folder / "database"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
