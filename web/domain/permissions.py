"""What each permission lets somebody do, in a sentence."""

from web.domain.access import Permission

P = Permission

SENTENCES: dict[Permission, str] = {
    P.RECORDING_READ: "See recordings and their jobs, events and waveforms",
    P.RECORDING_CREATE: "Start a recording",
    P.RECORDING_CONTROL: "Stop, cancel and retry a recording",
    P.RECORDING_PLAYBACK: "Hear a recording, also while it grows",
    P.RECORDING_DOWNLOAD: "Download a recording",
    P.RECORDING_EDIT: "Rename, describe, move and protect a recording",
    P.RECORDING_DELETE: "Delete a recording",
    P.NODE_READ: "See nodes, their inputs and their levels",
    P.NODE_CREATE: "Let a new node join",
    P.NODE_CONTROL: "Drain a node, and revoke its access",
    P.NODE_EDIT: "Set the capacity, the inputs and the groups of a node",
    P.NODE_DELETE: "Remove a node",
    P.SCHEDULE_READ: "See schedules",
    P.SCHEDULE_CREATE: "Make a schedule",
    P.SCHEDULE_CONTROL: "Pause, skip and resume a schedule",
    P.SCHEDULE_EDIT: "Change a schedule",
    P.SCHEDULE_DELETE: "Delete a schedule",
    P.UPLOAD_READ: "See where recordings are sent",
    P.UPLOAD_CREATE: "Send a recording somewhere",
    P.UPLOAD_CONTROL: "Retry or stop the sending of a recording",
    P.HEALTH_READ: "See health events and alarms",
    P.HEALTH_CONTROL: "Acknowledge, mute and resolve alarms",
    P.SETTINGS_READ: "See the settings",
    P.SETTINGS_EDIT: "Change profiles, webhooks and other settings",
    P.AUDIT_READ: "Read the audit",
    P.AUDIT_DOWNLOAD: "Download the audit",
    P.USER_READ: "See people, groups, roles and what they may do",
    P.USER_CREATE: "Invite people",
    P.USER_EDIT: "Give and take rights, tokens and sessions",
    P.USER_DELETE: "Remove people",
}
