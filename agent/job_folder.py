"""The files of one job: its state, its render task, and what is rendered."""

from pathlib import Path

from agent.files import read_kept, remove
from agent.states import RenderTask, Rendition, SizeEnd
from protocol.messages import PartName


class JobFolder:
    """`jobs/<id>/`. The renderer writes audio, waveform, seek, ledger and rendition; the agent writes the rest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job = path / "job.json"
        self.told = path / "told.json"
        self.render = path / "render.json"
        self.audio = path / "audio"
        self.waveform = path / "waveform.dat"
        self.seek = path / "seek"
        self.ledger = path / "ledger.json"
        self.rendition = path / "rendition.json"
        self.size_end = path / "size_end.json"
        self.lock = path / "lock"
        self.log = path / "renderer.log"

    def part(self, name: PartName) -> Path:
        """The file of one part of the content."""
        return {"audio": self.audio, "waveform": self.waveform, "seek": self.seek, "ledger": self.ledger}[name]

    def read_rendition(self) -> Rendition | None:
        """The finished rendition, None while there is none. A broken one is moved aside, and so made again."""
        return read_kept(self.rendition, Rendition, lost="rendition is made again")

    def read_size_end(self) -> int | None:
        """The frame of the take that the size limit ends the rendition at, None while it is not there."""
        found = read_kept(self.size_end, SizeEnd, lost="the renderer finds its end again")
        return None if found is None else found.end_frame

    def read_render(self) -> RenderTask | None:
        """What is to be rendered, None before that is known. A broken one is moved aside, and so written again."""
        return read_kept(self.render, RenderTask, lost="render task is written again")

    def audio_bytes(self) -> int:
        """How long the rendition is by now."""
        try:
            return self.audio.stat().st_size
        except FileNotFoundError:
            return 0

    def drop_rendition(self) -> None:
        """Removes what was rendered; the take still has it."""
        for path in (self.rendition, self.size_end, self.audio, self.waveform, self.seek, self.ledger):
            remove(path)
