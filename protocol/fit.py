"""What fits into which codec. Both sides ask before anything is captured; nothing is resampled or mixed silently."""

from protocol.messages import Encoding, FlacEncoding, Mp3Encoding, WavEncoding

MP3_CHANNELS = 2
FLAC_CHANNELS = 8
_MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_MP3_BITRATES_KBPS = {
    32_000: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    16_000: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    8_000: (8, 16, 24, 32, 40, 48, 56, 64),
}
"""By the lowest sample rate that has them: MPEG-1, 2 and 2.5."""


def misfit(encoding: Encoding, channels: int, sample_rate_hz: int) -> str | None:
    """Why this many output channels at this rate cannot be encoded so, and what can; None when they can."""
    match encoding:
        case Mp3Encoding():
            return _mp3_misfit(encoding, channels, sample_rate_hz)
        case FlacEncoding() if channels > FLAC_CHANNELS:
            return f"FLAC takes 1 to {FLAC_CHANNELS} channels, not {channels}: choose fewer channels, or WAV."
        case FlacEncoding() | WavEncoding():
            return None


def _mp3_misfit(encoding: Mp3Encoding, channels: int, sample_rate_hz: int) -> str | None:
    if channels > MP3_CHANNELS:
        return f"MP3 takes 1 or 2 channels, not {channels}: choose two, mix them to mono, or take FLAC or WAV."
    if sample_rate_hz not in _MP3_RATES_HZ:
        rates = ", ".join(str(rate) for rate in _MP3_RATES_HZ)
        return f"MP3 takes {rates} Hz, not {sample_rate_hz} Hz: set the interface to one of these, or take FLAC or WAV."
    allowed = next(rates for lowest, rates in _MP3_BITRATES_KBPS.items() if sample_rate_hz >= lowest)
    if encoding.bitrate_kbps is not None and encoding.bitrate_kbps not in allowed:
        rates = ", ".join(str(rate) for rate in allowed)
        return f"MP3 at {sample_rate_hz} Hz takes {rates} kbit/s, not {encoding.bitrate_kbps}."
    return None
