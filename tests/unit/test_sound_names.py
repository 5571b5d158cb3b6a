"""What sound inputs are called, so that nobody is taken for another after a restart."""

from pathlib import Path

import pytest

from agent.owner.sound_names import card_place, found_as, label, stable_name


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


MIC = "USB Mic: USB Audio (hw:{card},0)"


class Machine:
    """The part of `/sys` that tells of sound cards, as it is after one start of the machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def plug(self, card: int, device: str, serial: str | None = None) -> None:
        interface = self.root / "sys/devices" / device
        interface.mkdir(parents=True)
        if serial is not None:
            (interface.parent / "serial").write_text(f"{serial}\n")
        entry = self.root / f"sys/class/sound/card{card}"
        entry.mkdir(parents=True)
        (entry / "device").symlink_to(interface)

    def name(self, card: int, words: str = MIC) -> str | None:
        return stable_name("ALSA", words.format(card=card), lambda number: card_place(number, self.root))


FIRST_PORT = "pci0000:00/0000:00:14.0/usb{bus}/{bus}-1/{bus}-1:1.0"
SECOND_PORT = "pci0000:00/0000:00:14.0/usb{bus}/{bus}-2/{bus}-2:1.0"


def test_equal_cards_keep_their_names_when_cards_and_buses_are_renumbered(tmp_path: Path) -> None:
    before, after = Machine(tmp_path / "before"), Machine(tmp_path / "after")
    before.plug(0, FIRST_PORT.format(bus=1), "A1")
    before.plug(1, SECOND_PORT.format(bus=1), "B2")
    before.plug(2, "pci0000:00/0000:00:1f.3")
    after.plug(2, FIRST_PORT.format(bus=3), "A1")
    after.plug(0, SECOND_PORT.format(bus=3), "B2")
    after.plug(1, "pci0000:00/0000:00:1f.3")
    pci = "HDA Intel: Analog (hw:{card},0)"
    assert before.name(0) == after.name(2) == "USB Mic: USB Audio (0000:00:14.0 usb 1, serial A1, device 0)"
    assert before.name(1) == after.name(0) == "USB Mic: USB Audio (0000:00:14.0 usb 2, serial B2, device 0)"
    assert before.name(2, pci) == after.name(1, pci) == "HDA Intel: Analog (0000:00:1f.3, device 0)"


def test_equal_cards_without_a_serial_number_are_told_apart_by_their_ports(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.plug(0, FIRST_PORT.format(bus=1))
    machine.plug(1, SECOND_PORT.format(bus=1), "not one (really), device 7")
    assert machine.name(0) == "USB Mic: USB Audio (0000:00:14.0 usb 1, device 0)"
    assert machine.name(1) == "USB Mic: USB Audio (0000:00:14.0 usb 2, device 0)"


def test_another_unit_in_the_same_port_has_another_name(tmp_path: Path) -> None:
    before, after = Machine(tmp_path / "before"), Machine(tmp_path / "after")
    before.plug(0, FIRST_PORT.format(bus=1), "A1")
    after.plug(0, FIRST_PORT.format(bus=1), "C3")
    assert before.name(0) != after.name(0)


HERE = "USB Mic: USB Audio (0000:00:14.0 usb 1, serial A1, device 0)"
ELSEWHERE = "USB Mic: USB Audio (0000:00:14.0 usb 4.2, serial A1, device 0)"


def test_unit_is_found_under_its_name_and_in_another_port_by_its_serial_number() -> None:
    assert found_as(HERE, [ELSEWHERE, HERE]) == HERE
    assert found_as(HERE, [ELSEWHERE, "lectern"]) == ELSEWHERE


@pytest.mark.parametrize(
    "present",
    [
        [],
        [HERE.replace("device 0", "device 1")],
        [HERE.replace("A1", "B2")],
        [HERE.replace("Mic", "Camera")],
        [HERE.replace(", serial A1", "")],
        [ELSEWHERE, ELSEWHERE.replace("4.2", "4.3")],
    ],
    ids=["nothing", "its other device", "another unit", "another model", "without serial number", "two alike"],
)
def test_unit_is_never_taken_for_another(present: list[str]) -> None:
    assert found_as(HERE, present) is None


def test_card_without_a_serial_number_is_found_in_its_port_alone() -> None:
    name = "USB Mic: USB Audio (0000:00:14.0 usb 1, device 0)"
    assert found_as(name, [name.replace("usb 1", "usb 2")]) is None


def test_people_read_a_name_without_place_and_serial_number() -> None:
    assert label("USB Mic: USB Audio (0000:00:14.0 usb 1, serial A1, device 0)") == "USB Mic: USB Audio"
