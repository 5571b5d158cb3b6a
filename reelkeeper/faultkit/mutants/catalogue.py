"""Every mutant. A rule that is rewritten takes its mutant along; one that goes takes its mutant away."""

from reelkeeper.faultkit.mutants.mutant import Edit, Mutant

_TEST = ("pytest", "-q", "-x")
_NTH_CALL = "tests.faults.nth_call"
_CAMPAIGN = "tests.faults.kill_campaign"


def _test(node: str, *more: str) -> tuple[str, ...]:
    return (*_TEST, node, *more)


_OF_FILES = (
    Mutant(
        name="skip-sync-of-a-spool-file",
        rule="A file of the spool is synced before it gets its name.",
        edits=(
            Edit(
                "agent/files.py",
                "            os.fsync(file.fileno())\n        _keep_last(path)\n",
                "        _keep_last(path)\n",
            ),
        ),
        caught_by=(_NTH_CALL, "spool", "--most", "1"),
        seconds=5,
    ),
    Mutant(
        name="rename-before-sync",
        rule="A file of the spool is synced first, renamed then.",
        edits=(
            Edit(
                "agent/files.py",
                "            os.fsync(file.fileno())\n        _keep_last(path)\n        aside.replace(path)\n",
                "        _keep_last(path)\n        aside.replace(path)\n"
                '        with path.open("rb") as renamed:\n            os.fsync(renamed.fileno())\n',
            ),
        ),
        caught_by=(_NTH_CALL, "spool", "--most", "1"),
        seconds=5,
    ),
    Mutant(
        name="skip-sync-of-a-folder",
        rule="The name of a file is durable before anybody relies on it.",
        edits=(Edit("agent/files.py", "    sync_folder(path.parent)\n\n\ndef read_model", "\n\ndef read_model"),),
        caught_by=(_CAMPAIGN, "spool", "15", "1", "--power"),
        seconds=25,
        needs="root",
    ),
    Mutant(
        name="skip-sync-of-a-segment",
        rule="A record of a flush is written only after its samples were synced.",
        edits=(
            Edit(
                "core_rs/src/segment.rs",
                '        self.file.sync_data().map_err(Error::io("sync", &self.path))?;\n        let block_crc',
                "        let block_crc",
            ),
        ),
        caught_by=(_CAMPAIGN, "takes", "12", "1", "--power"),
        seconds=25,
        needs="root",
    ),
    Mutant(
        name="retry-sync-of-a-segment",
        rule="A segment whose sync failed is given up, and never synced again.",
        edits=(
            Edit(
                "core_rs/src/segment.rs",
                '        self.file.sync_data().map_err(Error::io("sync", &self.path))?;\n        let block_crc',
                "        self.file.sync_data().or_else(|_| self.file.sync_data())"
                '.map_err(Error::io("sync", &self.path))?;\n        let block_crc',
            ),
        ),
        caught_by=(_NTH_CALL, "take", "--kind", "sync"),
        seconds=20,
    ),
    Mutant(
        name="write-without-news",
        rule="A flush with nothing new writes nothing.",
        edits=(
            Edit(
                "core_rs/src/take/writer.rs",
                "        if steps.is_empty() {\n",
                "        if steps.is_empty() && self.read_bytes == 0 {\n",
            ),
            Edit(
                "core_rs/src/segment.rs",
                "        if self.flushed_bytes == self.written_bytes {\n",
                "        if false {\n",
            ),
        ),
        caught_by=_test("tests/unit/test_mistakes.py::test_flush_with_nothing_new_writes_nothing"),
        seconds=5,
    ),
)

_OF_TAKES = (
    Mutant(
        name="drop-a-gap-entry",
        rule="Every jump of the timeline has its entry in the ledger.",
        edits=(
            Edit(
                "core_rs/src/take/scribe.rs",
                "        book.ledger.append(&gaps)?;\n",
                "        book.ledger.append(&gaps[1..])?;\n",
            ),
        ),
        caught_by=_test("tests/unit/test_take.py"),
        seconds=10,
    ),
    Mutant(
        name="guard-keeps-the-largest",
        rule="The growth guard starts anew with a smaller file.",
        edits=(
            Edit("core_rs/src/growth.rs", "Some(last) if last.bytes == bytes", "Some(last) if last.bytes >= bytes"),
        ),
        caught_by=_test("tests/unit/test_growth.py"),
        seconds=5,
    ),
    Mutant(
        name="wait-for-a-full-ring",
        rule="Who captures never waits for a disk: what a full ring refuses is a gap.",
        edits=(
            Edit(
                "core_rs/src/take/inlet.rs",
                "        let taken = self.take(pcm);\n",
                "        let mut taken = self.take(pcm);\n"
                "        while taken < frames {\n"
                "            taken += self.take(&pcm[taken as usize * self.format.frame_bytes()..]);\n"
                "        }\n",
            ),
        ),
        caught_by=_test("tests/unit/test_mistakes.py::test_full_ring_is_a_gap_and_never_a_wait"),
        seconds=5,
    ),
)

_OF_THE_CACHE = (
    Mutant(
        name="accept-a-wrong-digest",
        rule="Only what has the digest of its seal becomes a cache file.",
        edits=(
            Edit(
                "web/services/content/cache_content.py",
                "        if found_sha256 != wanted_sha256:\n",
                "        if False:\n",
            ),
        ),
        caught_by=_test(
            "tests/integration/test_uploads.py::test_damaged_part_is_refused_at_the_seal_and_can_be_sent_again"
        ),
        seconds=20,
    ),
    Mutant(
        name="retry-sync-of-a-part",
        rule="A part whose sync failed is emptied and sent again.",
        edits=(
            Edit(
                "web/cache/folder.py",
                "    except OSError as fault:\n        path.unlink(missing_ok=True)\n",
                "    except OSError as fault:\n        os.fdatasync(file)\n        return\n"
                "        path.unlink(missing_ok=True)\n",
            ),
        ),
        caught_by=(_NTH_CALL, "cache", "--kind", "sync"),
        seconds=20,
    ),
    Mutant(
        name="head-after-the-rename",
        rule="A part has its final head, durably, before it has its final place.",
        edits=(
            Edit(
                "web/cache/folder.py",
                "                _write_head(source, head)\n                source.rename(home / part)\n",
                "                source.rename(home / part)\n                _write_head(home / part, head)\n",
            ),
        ),
        caught_by=(_NTH_CALL, "cache", "--kind", "write"),
        seconds=30,
    ),
    Mutant(
        name="acknowledge-unsynced-bytes",
        rule="An offset is told only for bytes that are on the disk.",
        edits=(
            Edit(
                "web/cache/folder.py",
                "        with self._lock:\n            _sync_or_lose(self._file, self._path)\n",
                "        return\n",
            ),
        ),
        caught_by=(_CAMPAIGN, "cache", "20", "1", "--power"),
        seconds=30,
        needs="root",
    ),
    Mutant(
        name="serve-before-finalise",
        rule="Nothing is given out that was not proved to be whole.",
        edits=(
            Edit(
                "web/media/recordings.py",
                "cache_file is None or cache_file.state is not CacheState.CACHED:\n        raise _not_cached",
                "cache_file is None:\n        raise _not_cached",
            ),
        ),
        caught_by=_test(
            "tests/integration/test_playback.py::test_nothing_of_a_growing_recording_is_given_out_and_it_says_why"
        ),
        seconds=20,
    ),
    Mutant(
        name="transaction-across-an-upload",
        rule="No transaction is held while bytes are read or proved.",
        edits=(
            Edit(
                "web/api/agent/cache_files.py",
                "        verified = await content.prove(cache_file_id, body)\n",
                "        async with db.transaction():\n"
                "            verified = await content.prove(cache_file_id, body)\n",
            ),
        ),
        caught_by=_test(
            "tests/integration/test_uploads.py::test_sealed_content_is_cached_and_given_out_as_it_was_sealed"
        ),
        seconds=20,
    ),
)

_OF_THE_DATABASE = (
    Mutant(
        name="no-epoch-in-the-where",
        rule="A write under an old epoch changes nothing.",
        edits=(
            Edit(
                "web/store/sql/leases.sql",
                "    JOIN reported r ON r.job_id = l.job_id AND r.epoch = l.epoch\n",
                "    JOIN reported r ON r.job_id = l.job_id\n",
            ),
        ),
        caught_by=_test("tests/integration/test_heartbeat.py::test_of_an_older_epoch_renews_nothing"),
        seconds=30,
    ),
    Mutant(
        name="trust-a-late-heartbeat",
        rule="A heartbeat never takes a state back.",
        edits=(
            Edit(
                "web/store/sql/leases.sql",
                "WHERE id = {recording_id} AND state IN ('queued', 'recording') AND state <> {state}\n",
                "WHERE id = {recording_id} AND state <> {state}\n",
            ),
            Edit(
                "web/store/sql/leases.sql",
                "array_position(p.phases, r.phase) > array_position(p.phases, l.phase)",
                "true",
            ),
        ),
        caught_by=_test(
            "tests/integration/test_heartbeat.py::test_recording_follows_the_phase_and_a_late_duplicate_takes_nothing_back"
        ),
        seconds=30,
    ),
    Mutant(
        name="claim-without-a-lock",
        rule="Claims of one node wait for one another, so that its capacity holds.",
        edits=(
            Edit(
                "web/store/migrations/0021_joining.sql",
                "    SELECT * INTO this_node FROM node WHERE id = of_node FOR NO KEY UPDATE;\n",
                "    SELECT * INTO this_node FROM node WHERE id = of_node;\n",
            ),
        ),
        caught_by=_test(
            "tests/integration/test_claim.py::test_fifty_concurrent_claims_lease_as_many_jobs_as_the_node_may_capture"
        ),
        seconds=30,
    ),
    Mutant(
        name="salvage-takes-the-place-of-good-content",
        rule="What stands for a recording is not replaced by salvage.",
        edits=(
            Edit(
                "web/store/sql/cache_files.sql",
                "WHERE o.recording_id = c.recording_id AND o.is_current AND o.id <> c.id)",
                "WHERE false)",
            ),
        ),
        caught_by=_test(
            "tests/integration/test_retry.py::test_salvage_never_takes_the_place_of_what_a_later_attempt_delivered"
        ),
        seconds=30,
    ),
)

_OF_THE_AGENT = (
    Mutant(
        name="a-signal-counts-as-success",
        rule="A process that was killed has failed.",
        edits=(
            Edit("agent/inputs.py", "    if process.returncode != 0:\n", "    if (process.returncode or 0) > 0:\n"),
        ),
        caught_by=_test("tests/unit/test_mistakes.py::test_listing_that_was_killed_is_no_empty_list"),
        seconds=5,
    ),
    Mutant(
        name="delete-before-sealed",
        rule="What was captured stays until the controller has sealed it and read it back.",
        edits=(
            Edit(
                "agent/states.py",
                "        return self.stage is Stage.SEALED and self.is_verified\n",
                "        return self.stage is Stage.SEALED\n",
            ),
        ),
        caught_by=_test(
            "tests/unit/test_mistakes.py::test_take_is_needed_until_its_content_is_sealed_and_was_read_back"
        ),
        seconds=5,
    ),
    Mutant(
        name="stop-delivers-nothing",
        rule="Everything up to a stop is delivered.",
        edits=(
            Edit(
                "agent/recording/capturing.py",
                "            await self._end_at_stop()\n",
                "            await self._ending.cancelled()\n",
            ),
        ),
        caught_by=_test("tests/integration/test_agent_path.py::test_stopped_recording_is_sealed_soon_and_complete"),
        seconds=20,
    ),
    Mutant(
        name="another-input-instead",
        rule="An input that is not there is never replaced by another.",
        edits=(
            Edit(
                "agent/owner/portaudio.py",
                '        one = inputs.get(found_as(self._name, inputs) or "")\n',
                '        one = inputs.get(found_as(self._name, inputs) or next(iter(inputs), ""))\n',
            ),
        ),
        caught_by=_test(
            "tests/acceptance/test_sound_devices.py::test_input_that_is_not_there_is_never_replaced_by_another"
        ),
        seconds=30,
    ),
    Mutant(
        name="lease-only-while-capturing",
        rule="A lease is renewed as long as anything of its job is left to do.",
        edits=(
            Edit(
                "agent/states.py",
                "        return self.stage not in {Stage.SEALED, Stage.KEPT}\n",
                "        return self.stage in {Stage.STARTING, Stage.CAPTURING}\n",
            ),
        ),
        caught_by=_test("tests/unit/test_mistakes.py::test_job_is_reported_through_render_and_upload"),
        seconds=5,
    ),
    Mutant(
        name="event-told-once",
        rule="An event is kept until the controller has heard of it.",
        edits=(
            Edit(
                "agent/health.py",
                "            try:\n                await self._tell_all(client, events)\n",
                "            await self._spool.drop_events(events)\n"
                "            try:\n                await self._tell_all(client, events)\n",
            ),
        ),
        caught_by=_test("tests/unit/test_agent_health.py"),
        seconds=10,
    ),
    Mutant(
        name="state-after-the-device",
        rule="An owner's state is on disk before its device is opened.",
        edits=(
            Edit("agent/owner/__main__.py", "        write_state(state)\n        device", "        device"),
            Edit(
                "agent/owner/__main__.py",
                "        device.start(must_open=not takes.needs)\n",
                "        device.start(must_open=not takes.needs)\n        write_state(state)\n",
            ),
        ),
        caught_by=_test("tests/integration/test_owner_life.py::test_state_that_cannot_be_written_fails_the_start"),
        seconds=15,
    ),
    Mutant(
        name="silence-as-full-scale",
        rule="Digital silence has no level; it is never shown as 0 dBFS.",
        edits=(
            Edit(
                "agent/renderer/encoders.py",
                "    return round(value, 3) if math.isfinite(value) else None\n",
                "    return round(value, 3) if math.isfinite(value) else 0.0\n",
            ),
        ),
        caught_by=_test("tests/unit/test_agent_renderer.py"),
        seconds=20,
    ),
)

MUTANTS = (*_OF_FILES, *_OF_TAKES, *_OF_THE_CACHE, *_OF_THE_DATABASE, *_OF_THE_AGENT)
