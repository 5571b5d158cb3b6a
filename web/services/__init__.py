"""What a person or an agent can do, one async function per act.

Every function takes `db: Database` first (web.store.database; it carries the Timeouts as `db.timeouts`), then what is
asked for, then who asks as a keyword: `by: Actor` for people and programs, `node: NodeActor` for agents. Permission
and scope are checked before any effect. All raise errors of web.domain.errors; DatabaseUnavailableError is one of them.
Reads that need no rule are in web.store, one module a noun, and take `scope=`.

recordings  start_recording stop_recording cancel_recording
joining     create_enrolment_code create_rejoin_code open_codes code_standing revoke_code enrol authenticate_node
            rotate_token tokens_of ask_for_rotation revoke_tokens
nodes       begin_run update_inventory set_capacity set_capture_format prefer_interface arm_interface
            set_minimum_bytes describe name_interface enable_interface
node_life   drain end_drain remove acknowledge
node_groups all_groups create change remove
jobs        claim_next heartbeat finish_job record_events change_no_of
cache_files open_cache_file require_append seal set_checksum keep_preview mark_damaged cached_without_checksum abandoned
            forget_abandoned
profiles    all_profiles profile uses make change protect make_default delete
roles       all_roles role uses make change delete
grants      all_grants grants_of grant resolved give take
groups      all_groups group make rename delete add_member remove_member
rights      changing require_holds require_holds_all_of
setup       link_code require_good_code begin progress choose_recorder choose_input start_try finish put_away leftovers
system      facts
tokens      create_token make own all_tokens current revoke authenticate

Bytes have one object each for a whole controller, and know nothing of actors: cache_content.CacheContent takes them in,
stored_content.StoredContent reads them back, listening.Listening follows them, waveforms.Waveforms draws them.
"""
