-- Profiles of every codec, and what they make of the channels.

ALTER TABLE profile ADD COLUMN channel_mode text NOT NULL DEFAULT 'separate'
    CHECK (channel_mode IN ('separate', 'mono', 'stereo'));
ALTER TABLE profile ALTER COLUMN channel_mode DROP DEFAULT;

UPDATE profile SET is_default = false WHERE is_default;
INSERT INTO profile (id, name, encoding, channel_mode, minimum_bytes, is_default)
VALUES
    ('00000000-0000-7000-8000-000000000002', 'Voice', '{"codec": "mp3", "vbr_quality": 5}', 'separate', 128, true),
    ('00000000-0000-7000-8000-000000000003', 'Music', '{"codec": "mp3", "vbr_quality": 2}', 'separate', 128, false),
    ('00000000-0000-7000-8000-000000000004', 'MP3 192 kbit/s', '{"codec": "mp3", "bitrate_kbps": 192}', 'separate', 128,
     false),
    ('00000000-0000-7000-8000-000000000005', 'Archive (FLAC 24 bit)', '{"codec": "flac", "bits": 24}', 'separate', 128,
     false),
    ('00000000-0000-7000-8000-000000000006', 'FLAC 16 bit', '{"codec": "flac", "bits": 16}', 'separate', 128, false);
