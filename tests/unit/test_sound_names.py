"""What sound inputs are called, so that nobody is taken for another after a restart."""

from pathlib import Path

import pytest

from agent.owner.sound_names import card_place, label, stable_name


def place_of(card: int) -> str:
    return {0: "0000:00:1f.3", 1: "0000:00:14.0 usb 2"}[card]


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("HDA Intel PCH: ALC257 Analog (hw:0,0)", "HDA Intel PCH: ALC257 Analog (0000:00:1f.3, device 0)"),
        ("Scarlett 2i2 USB: USB Audio (hw:1,0)", "Scarlett 2i2 USB: USB Audio (0000:00:14.0 usb 2, device 0)"),
        ("lectern", "lectern"),
    ],
)
def test_card_is_named_by_its_place_and_a_device_of_asoundrc_by_its_name(device: str, name: str) -> None:
    assert stable_name("ALSA", device, place_of) == name


def test_renumbered_card_keeps_its_name() -> None:
    before = stable_name("ALSA", "USB Mic: USB Audio (hw:1,0)", {1: "usb 2", 2: "usb 3"}.__getitem__)
    after = stable_name("ALSA", "USB Mic: USB Audio (hw:2,0)", {2: "usb 2", 1: "usb 3"}.__getitem__)
    twin = stable_name("ALSA", "USB Mic: USB Audio (hw:1,0)", {2: "usb 2", 1: "usb 3"}.__getitem__)
    assert before == after != twin


ALIASES = ["default", "sysdefault", "pulse", "pipewire", "jack", "null", "dmix", "surround51", "hdmi", "speexrate_best"]


@pytest.mark.parametrize("device", ALIASES)
def test_defaults_and_other_ways_to_a_card_have_no_name(device: str) -> None:
    assert stable_name("ALSA", device, place_of) is None


def test_host_api_stands_in_the_name_where_alsa_is_not_it() -> None:
    assert stable_name("JACK Audio Connection Kit", "system", place_of) == "JACK: system"
    assert stable_name("OSS", "/dev/dsp0", place_of) is None


def test_people_read_a_name_without_its_place() -> None:
    assert label("Scarlett 2i2 USB: USB Audio (0000:00:14.0 usb 2, device 0)") == "Scarlett 2i2 USB: USB Audio"
    assert label("lectern") == "lectern"


@pytest.mark.parametrize(
    ("device", "place"),
    [
        ("pci0000:00/0000:00:1f.3", "0000:00:1f.3"),
        ("pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0", "0000:00:14.0 usb 2"),
        ("pci0000:00/0000:00:14.0/usb3/3-1/3-1.4/3-1.4:1.2", "0000:00:14.0 usb 1.4"),
        ("platform/soc/3f00b840.mailbox/bcm2835_audio", "bcm2835_audio"),
    ],
)
def test_place_of_a_card_is_where_it_is_plugged_in_without_the_number_of_its_bus(
    tmp_path: Path, device: str, place: str
) -> None:
    (tmp_path / "sys/devices" / device).mkdir(parents=True)
    (tmp_path / "sys/class/sound/card1").mkdir(parents=True)
    (tmp_path / "sys/class/sound/card1/device").symlink_to(tmp_path / "sys/devices" / device)
    assert card_place(1, tmp_path) == place


def test_card_without_a_place_is_named_by_its_id(tmp_path: Path) -> None:
    (tmp_path / "proc/asound/card0").mkdir(parents=True)
    (tmp_path / "proc/asound/card0/id").write_text("Loopback\n")
    assert card_place(0, tmp_path) == "Loopback"
