"""Names of sound inputs that stay when devices are renumbered. An index is none, and neither is a default."""

import re
from collections.abc import Callable, Collection
from pathlib import Path

ALSA = "ALSA"
JACK = "JACK Audio Connection Kit"
_CARD = re.compile(r"(?P<words>.*) \(hw:(?P<card>\d+),(?P<device>\d+)\)")
_USB = re.compile(r"/(?P<controller>[^/]+)/usb\d+/(?:.*/)?\d+-(?P<port>[\d.]+):[\d.]+")
_SERIAL = re.compile(r"[\w.-]{1,40}", re.ASCII)
_NAMED = re.compile(r"(?P<words>.*) \((?P<place>[^()]*?)(?P<serial>, serial [\w.-]+), device (?P<device>\d+)\)")
_ALIASES = re.compile(
    r"default|sysdefault|pulse|pipewire|jack|oss|null|dmix|dsnoop|front|rear|center_lfe|side|iec958|spdif|hdmi|modem"
    r"|phoneline|surround\d+|usbstream|upmix|vdownmix|a52|speex|lavrate.*|samplerate.*|speexrate.*"
)
"""What ALSA itself brings: plugins and other ways to the same cards, and whatever counts as the default just now."""


def stable_name(host_api: str, device: str, place_of: Callable[[int], str]) -> str | None:
    """The name of a PortAudio device; None for one that is another way to an input, or that has no lasting name.

    A card is named by itself and by where it is plugged in, a device of `.asoundrc` by its name there.
    """
    if host_api == JACK:
        return f"JACK: {device}"
    if host_api != ALSA:
        return None
    if card := _CARD.fullmatch(device):
        return f"{card['words']} ({place_of(int(card['card']))}, device {card['device']})"
    return None if _ALIASES.fullmatch(device) else device


def is_card(device: str) -> bool:
    """Whether this PortAudio device is a card, with no sound server between."""
    return _CARD.fullmatch(device) is not None


def label(name: str) -> str:
    """A name without where it is plugged in, for people."""
    return re.sub(r" \([^()]*, device \d+\)$", "", name)


def found_as(name: str, present: Collection[str]) -> str | None:
    """Under which of these names an input is there: its own, else that of the only unit which is the same by its serial
    number and is plugged in elsewhere."""
    moved = [other for other in present if _is_same_unit(name, other)]
    return name if name in present else moved[0] if len(moved) == 1 else None


def card_place(card: int, root: Path = Path("/")) -> str:
    """Where a card is plugged in, and its serial number if it has one: the same after a restart and whatever else is
    plugged in."""
    device = root / f"sys/class/sound/card{card}/device"
    if not device.exists():
        return (root / f"proc/asound/card{card}/id").read_text().strip()
    path = device.resolve()
    if usb := _USB.search(str(path)):
        return f"{usb['controller']} usb {usb['port']}{_serial(path.parent)}"
    return path.name


def _is_same_unit(name: str, other: str) -> bool:
    one, another = _NAMED.fullmatch(name), _NAMED.fullmatch(other)
    if one is None or another is None:
        return False
    return one.group("words", "serial", "device") == another.group("words", "serial", "device")


def _serial(unit: Path) -> str:
    try:
        serial = (unit / "serial").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return f", serial {serial}" if _SERIAL.fullmatch(serial) else ""
