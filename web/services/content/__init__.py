"""Audio as the controller holds it.

cache_files open_cache_file require_append seal set_checksum keep_preview mark_damaged cached_without_checksum abandoned
            forget_abandoned

Bytes have one object each for a whole controller, and know nothing of actors: cache_content.CacheContent takes them in,
stored_content.StoredContent reads them back, listening.Listening follows them, waveforms.Waveforms draws them.
"""
