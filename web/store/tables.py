"""The tables as Piccolo knows them: for building queries, never for running them. Migrations make them."""

from typing import Any, NoReturn

from piccolo.columns import (
    JSONB,
    UUID,
    Array,
    BigInt,
    Boolean,
    Bytea,
    ForeignKey,
    Integer,
    Text,
    Timestamptz,
)
from piccolo.columns.base import OnDelete
from piccolo.columns.column_types import BigSerial
from piccolo.engine.postgres import PostgresEngine
from piccolo.table import Table


class _Dialect(PostgresEngine):
    """Tells Piccolo to write PostgreSQL's SQL. It has no connection; `Database.run` runs what was built."""

    def __init__(self) -> None:
        self.engine_type = "postgres"

    async def run_querystring(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("queries are run by Database.run")

    async def run_ddl(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("the schema is changed by migrations")


_DIALECT = _Dialect()


def _to(table: type[Table], *, null: bool = False) -> ForeignKey[Any]:
    return ForeignKey(table, null=null, default=None, on_delete=OnDelete.no_action)


class Node(Table, tablename="node", db=_DIALECT):
    id = UUID(primary_key=True)
    name = Text()
    capacity = Integer()
    node_run = Integer()
    change_no = BigInt()
    version = Text()
    spool_free_bytes = BigInt(null=True)
    spool_total_bytes = BigInt(null=True)
    clock_offset_ms = BigInt(null=True)
    minimum_bytes = BigInt(null=True)
    spools = JSONB()
    disk_seconds_left = BigInt(null=True)
    created_at = Timestamptz()
    location = Text()
    tags = Array(base_column=Text())
    site_zone = Text()
    is_draining = Boolean()
    removed_at = Timestamptz(null=True)


class NodeCertificate(Table, tablename="node_certificate", db=_DIALECT):
    node_id = UUID(primary_key=True)
    certificate = Text()
    next_certificate = Text(null=True)


class NodeToken(Table, tablename="node_token", db=_DIALECT):
    id = UUID(primary_key=True)
    node_id = _to(Node)
    digest = Text(unique=True)
    created_at = Timestamptz()
    renew_at = Timestamptz()
    expires_at = Timestamptz()
    used_at = Timestamptz(null=True)
    ended_at = Timestamptz(null=True)
    ended_by = Text(null=True)


class NodeSeen(Table, tablename="node_seen", db=_DIALECT):
    node_id = UUID(primary_key=True)
    last_seen_at = Timestamptz()
    claim_run = Integer()
    claim_number = BigInt()


class RunOfRequest(Table, tablename="run_request", db=_DIALECT):
    id = BigSerial(primary_key=True)
    node_id = _to(Node)
    request_id = UUID()
    node_run = Integer()


class Interface(Table, tablename="interface", db=_DIALECT):
    id = UUID(primary_key=True)
    node_id = _to(Node)
    backend = Text()
    name = Text()
    label = Text()
    max_channels = Integer()
    sample_rates_hz = Array(base_column=Integer())
    sample_types = Array(base_column=Text())
    default_capture = JSONB()
    chosen_capture = JSONB(null=True)
    is_preferred = Boolean()
    is_present = Boolean()
    preroll_seconds = Integer()
    given_label = Text(null=True)
    channel_labels = Array(base_column=Text())
    is_enabled = Boolean()


class Profile(Table, tablename="profile", db=_DIALECT):
    id = UUID(primary_key=True)
    name = Text(unique=True)
    encoding = JSONB()
    channel_mode = Text()
    minimum_bytes = BigInt(null=True)
    length_limit_ms = BigInt(null=True)
    size_limit_bytes = BigInt(null=True)
    idle_limit_ms = BigInt(null=True)
    is_default = Boolean()
    version = Integer()
    changed_by = Text(null=True)
    changed_at = Timestamptz(null=True)


class UploadPolicy(Table, tablename="upload_policy", db=_DIALECT):
    id = UUID(primary_key=True)
    name = Text(unique=True)
    trigger = Text()


class Recording(Table, tablename="recording", db=_DIALECT):
    id = UUID(primary_key=True)
    request_digest = Text()
    name = Text()
    node_id = _to(Node)
    profile_id = _to(Profile)
    upload_policy_ids = Array(base_column=UUID())
    state = Text()
    mark = Text(null=True)
    health = Text(null=True)
    created_by = Text()
    created_at = Timestamptz()
    started_at = Timestamptz(null=True)
    ended_at = Timestamptz(null=True)
    duration_ms = BigInt(null=True)
    folder = Text()
    preview = Bytea(null=True)


class RecordingTag(Table, tablename="recording_tag", db=_DIALECT):
    id = BigSerial(primary_key=True)
    recording_id = _to(Recording)
    tag = Text()


class Job(Table, tablename="job", db=_DIALECT):
    id = UUID(primary_key=True)
    recording_id = _to(Recording)
    attempt = Integer()
    node_id = _to(Node)
    backend = Text()
    interface = Text()
    settings = JSONB()
    state = Text()
    wish = Text()
    wish_at = Timestamptz()
    epoch = Integer()
    claim_id = UUID(null=True, unique=True)
    run_at = Timestamptz()
    ends_at = Timestamptz(null=True)
    window_ends_at = Timestamptz(null=True)
    created_at = Timestamptz()
    ended_at = Timestamptz(null=True)
    reason = Text(null=True)
    message = Text(null=True)
    lost_at = Timestamptz(null=True)
    folder = Text()


class Lease(Table, tablename="lease", db=_DIALECT):
    job_id = UUID(primary_key=True)
    node_id = _to(Node)
    node_run = Integer()
    epoch = Integer()
    expires_at = Timestamptz()
    phase = Text()
    frames = BigInt()
    uploaded_bytes = BigInt()
    progress_at = Timestamptz()
    start_frame = BigInt(null=True)


class JobEvent(Table, tablename="job_event", db=_DIALECT):
    id = BigSerial(primary_key=True)
    job_id = _to(Job)
    epoch = Integer()
    kind = Text()
    actor = Text()
    at = Timestamptz()


class CacheFile(Table, tablename="cache_file", db=_DIALECT):
    id = UUID(primary_key=True)
    recording_id = _to(Recording)
    job_id = _to(Job)
    epoch = Integer()
    origin = Text()
    codec = Text()
    state = Text()
    is_current = Boolean()
    sha256 = Text(null=True)
    parts = JSONB(null=True)
    facts = JSONB(null=True)
    created_at = Timestamptz()
    cached_at = Timestamptz(null=True)


class UploadItem(Table, tablename="upload_item", db=_DIALECT):
    id = UUID(primary_key=True)
    recording_id = _to(Recording)
    cache_file_id = _to(CacheFile)
    upload_policy_id = _to(UploadPolicy)
    state = Text()
    created_at = Timestamptz()


class HealthEvent(Table, tablename="health_event", db=_DIALECT):
    id = UUID(primary_key=True)
    node_id = _to(Node, null=True)
    recording_id = _to(Recording, null=True)
    job_id = _to(Job, null=True)
    backend = Text(null=True)
    interface = Text(null=True)
    kind = Text()
    severity = Text()
    message = Text()
    state = Text()
    happened_at = Timestamptz()
    is_condition = Boolean()
    ended_at = Timestamptz(null=True)


class EnrolmentCode(Table, tablename="enrolment_code", db=_DIALECT):
    id = UUID(primary_key=True)
    node_name = Text()
    digest = Text()
    created_by = Text()
    created_at = Timestamptz()
    expires_at = Timestamptz()
    used_at = Timestamptz(null=True)
    rejoins = _to(Node, null=True)
    address_range = Text(null=True)
    revoked_at = Timestamptz(null=True)


class WatchedInterface(Table, tablename="watched_interface", db=_DIALECT):
    id = BigSerial(primary_key=True)
    interface_id = _to(Interface)
    controller_id = UUID()
    until = Timestamptz()


class UserAccount(Table, tablename="user_account", db=_DIALECT):
    id = UUID(primary_key=True)
    name = Text(unique=True)
    password_hash = Text(null=True)
    created_at = Timestamptz()
    disabled_at = Timestamptz(null=True)
    issuer = Text(null=True)
    subject = Text(null=True)


class LoginSession(Table, tablename="login_session", db=_DIALECT):
    id = UUID(primary_key=True)
    user_id = _to(UserAccount)
    digest = Text()
    is_by_link = Boolean()
    is_by_issuer = Boolean()
    created_at = Timestamptz()
    last_seen_at = Timestamptz()
    expires_at = Timestamptz()
    address = Text(null=True)
    browser = Text()


class SignInCode(Table, tablename="sign_in_code", db=_DIALECT):
    id = UUID(primary_key=True)
    digest = Text()
    created_at = Timestamptz()
    expires_at = Timestamptz()


class AccessToken(Table, tablename="access_token", db=_DIALECT):
    id = UUID(primary_key=True)
    name = Text()
    digest = Text()
    created_by = Text()
    created_at = Timestamptz()
    user_id = _to(UserAccount, null=True)
    permissions = Array(base_column=Text(), null=True)
    node_ids = Array(base_column=UUID(), null=True)
    folders = Array(base_column=Text(), null=True)
    expires_at = Timestamptz(null=True)
    last_used_at = Timestamptz(null=True)
    last_used_from = Text(null=True)


class SealingKey(Table, tablename="sealing_key", db=_DIALECT):
    id = UUID(primary_key=True)
    proof = Bytea()
    created_at = Timestamptz()


class Invitation(Table, tablename="invitation", db=_DIALECT):
    id = UUID(primary_key=True)
    user_id = _to(UserAccount)
    digest = Text()
    created_by = Text()
    created_at = Timestamptz()
    expires_at = Timestamptz()


class HalfSignIn(Table, tablename="half_sign_in", db=_DIALECT):
    id = UUID(primary_key=True)
    user_id = _to(UserAccount)
    digest = Text()
    created_at = Timestamptz()
    expires_at = Timestamptz()


class SecondFactor(Table, tablename="second_factor", db=_DIALECT):
    id = UUID(primary_key=True)
    user_id = _to(UserAccount)
    secret = Bytea()
    begun_by = UUID(null=True)
    key_id = _to(SealingKey)
    is_confirmed = Boolean()
    last_step = BigInt()
    created_at = Timestamptz()


class RecoveryCode(Table, tablename="recovery_code", db=_DIALECT):
    id = UUID(primary_key=True)
    user_id = _to(UserAccount)
    digest = Text()
    created_at = Timestamptz()


class SignInTry(Table, tablename="sign_in_try", db=_DIALECT):
    key = Text(primary_key=True)
    failures = Integer()
    last_at = Timestamptz()
    free_at = Timestamptz()


class KnownAddress(Table, tablename="known_address", db=_DIALECT):
    id = BigSerial(primary_key=True)
    user_id = _to(UserAccount)
    address = Text()
    last_at = Timestamptz()


class KeptAnswer(Table, tablename="kept_answer", db=_DIALECT):
    id = UUID(primary_key=True)
    token_id = _to(AccessToken)
    key = Text()
    request_digest = Text()
    status = Integer(null=True)
    answer = Bytea(null=True)
    key_id = _to(SealingKey, null=True)
    created_at = Timestamptz()


class Webhook(Table, tablename="webhook", db=_DIALECT):
    id = UUID(primary_key=True)
    name = Text(unique=True)
    url = Text()
    kinds = Array(base_column=Text())
    secret = Bytea()
    key_id = _to(SealingKey)
    user_id = _to(UserAccount, null=True)
    created_by = Text()
    created_at = Timestamptz()
    is_enabled = Boolean()
    trouble = Text(null=True)
    failing_since = Timestamptz(null=True)


class WebhookDelivery(Table, tablename="webhook_delivery", db=_DIALECT):
    id = BigSerial(primary_key=True)
    webhook_id = _to(Webhook)
    message_id = UUID()
    kind = Text()
    object_id = UUID()
    node_id = UUID(null=True)
    folder = Text(null=True)
    data = JSONB()
    happened_at = Timestamptz()
    state = Text()
    attempts = Integer()
    due_at = Timestamptz()
    first_due_at = Timestamptz()
    claimed_until = Timestamptz(null=True)
    last_attempt_at = Timestamptz(null=True)
    last_status = Integer(null=True)
    last_error = Text(null=True)


class Role(Table, tablename="role", db=_DIALECT):
    id = UUID(primary_key=True)
    name = Text(unique=True)
    description = Text()
    permissions = Array(base_column=Text())
    is_built_in = Boolean()
    version = Integer()
    changed_by = Text(null=True)
    changed_at = Timestamptz(null=True)


class UserGroup(Table, tablename="user_group", db=_DIALECT):
    id = UUID(primary_key=True)
    name = Text(unique=True)


class UserGroupMember(Table, tablename="user_group_member", db=_DIALECT):
    id = BigSerial(primary_key=True)
    user_group_id = _to(UserGroup)
    user_id = _to(UserAccount)


class NodeGroup(Table, tablename="node_group", db=_DIALECT):
    id = UUID(primary_key=True)
    name = Text(unique=True)


class NodeGroupMember(Table, tablename="node_group_member", db=_DIALECT):
    id = BigSerial(primary_key=True)
    node_group_id = _to(NodeGroup)
    node_id = _to(Node)


class AccessGrant(Table, tablename="access_grant", db=_DIALECT):
    id = UUID(primary_key=True)
    user_id = _to(UserAccount, null=True)
    user_group_id = _to(UserGroup, null=True)
    role_id = _to(Role)
    effect = Text()
    scope_kind = Text()
    node_group_id = _to(NodeGroup, null=True)
    node_id = _to(Node, null=True)
    folder = Text(null=True)
    created_by = Text()
    created_at = Timestamptz()


class SignInRule(Table, tablename="sign_in_rule", db=_DIALECT):
    is_only = Boolean(primary_key=True)
    second_factor = Text()
    changed_by = Text(null=True)
    changed_at = Timestamptz(null=True)


class SetupCode(Table, tablename="setup_code", db=_DIALECT):
    id = UUID(primary_key=True)
    digest = Text()
    created_at = Timestamptz()
    expires_at = Timestamptz()


class Setup(Table, tablename="setup", db=_DIALECT):
    is_only = Boolean(primary_key=True)
    user_id = _to(UserAccount)
    step = Text()
    node_id = _to(Node, null=True)
    interface_id = _to(Interface, null=True)
    recording_id = _to(Recording, null=True)
    begun_at = Timestamptz()
    finished_at = Timestamptz(null=True)
    put_away_at = Timestamptz(null=True)


class AuditEntry(Table, tablename="audit_entry", db=_DIALECT):
    id = BigInt(primary_key=True)
    at = Timestamptz()
    actor_kind = Text()
    actor_id = UUID(null=True)
    actor_name = Text()
    action = Text()
    object_kind = Text(null=True)
    object_id = UUID(null=True)
    object_name = Text(null=True)
    before = JSONB(null=True)
    after = JSONB(null=True)
    outcome = Text()
    reason = Text(null=True)
    address = Text(null=True)
    request_id = UUID(null=True)


class AuditSeal(Table, tablename="audit_seal", db=_DIALECT):
    entry_id = BigInt(primary_key=True)
    number = BigInt(unique=True)
    hash = Text()


ALL_TABLES: tuple[type[Table], ...] = (
    Node,
    NodeCertificate,
    NodeToken,
    NodeSeen,
    RunOfRequest,
    Interface,
    Profile,
    UploadPolicy,
    Recording,
    RecordingTag,
    Job,
    Lease,
    JobEvent,
    CacheFile,
    UploadItem,
    HealthEvent,
    EnrolmentCode,
    WatchedInterface,
    UserAccount,
    LoginSession,
    SignInCode,
    SealingKey,
    Invitation,
    HalfSignIn,
    SecondFactor,
    RecoveryCode,
    SignInTry,
    KnownAddress,
    AccessToken,
    KeptAnswer,
    Webhook,
    WebhookDelivery,
    Role,
    UserGroup,
    UserGroupMember,
    NodeGroup,
    NodeGroupMember,
    AccessGrant,
    SignInRule,
    SetupCode,
    Setup,
    AuditEntry,
    AuditSeal,
)
"""In an order in which they can be made."""
