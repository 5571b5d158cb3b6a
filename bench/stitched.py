"""X4: a range over 60 segments to one file with digest and waveform, against cat, openssl and ffmpeg."""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from bench import measure, sources
from core_rs import ChannelMap, PcmFormat, Rendition, Take, TakeWriter, Waveform, scan_wav

SEGMENTS = 60
FORMAT = PcmFormat(2, sources.SAMPLE_RATE_HZ, "s16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="1 h in segments of 60 s instead of 10 min")
    segment_seconds = 60 if parser.parse_args().full else 10
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), record(Path(folder) / "take", segment_seconds))


def record(folder: Path, segment_seconds: int) -> Take:
    """Faster than real time: the ring is never more than half full."""
    ring_seconds = 60
    writer = TakeWriter.create(
        folder,
        FORMAT,
        facts="{}",
        flush_interval_ms=20,
        segment_seconds=segment_seconds,
        ring_seconds=ring_seconds,
        waveform=False,
    )
    rate = FORMAT.sample_rate_hz
    for second in range(SEGMENTS * segment_seconds):
        while writer.next_frame - writer.durable_frame > ring_seconds * rate // 2:
            time.sleep(0.001)
        assert writer.push(sources.noise_pcm(FORMAT, second), (second + 1) * 1_000_000_000) == rate
    writer.close("stopped")
    take = Take.open(folder)
    assert len(take.segments) == SEGMENTS
    return take


def compare(folder: Path, take: Take) -> None:
    segments = [segment.path for segment in take.segments]
    ours, copied, joined = folder / "core.wav", folder / "cat.wav", folder / "ffmpeg.wav"
    listed = folder / "segments.txt"
    listed.write_text("".join(f"file '{path}'\n" for path in segments))
    shell: list[str | Path] = [
        "sh",
        "-c",
        'out=$1; shift; cat "$@" > "$out"; openssl dgst -sha256 "$out"',
        "sh",
        copied,
        *segments,
    ]
    concat: list[str | Path] = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-f",
        "concat",
        "-safe",
        "0",
        "-i",
        listed,
        "-c",
        "copy",
        joined,
    ]
    contenders = {
        "core": lambda: measure.call(lambda: stitch(take, ours)),
        "cat + openssl": lambda: measure.run(shell),
    }
    if shutil.which("ffmpeg"):
        contenders["ffmpeg concat"] = lambda: measure.run(concat)
        contenders["sha256sum"] = lambda: measure.run(["sha256sum", joined])
    costs = measure.in_turn(contenders)

    assert scan_wav(ours).frames == take.durable_frame
    by_cpu = measure.ratio(costs["core"], costs["cat + openssl"], by="cpu_seconds")
    claims = [measure.at_most("core ÷ (cat + openssl), CPU", by_cpu, 1.1)]
    tools = "(ffmpeg concat + sha256sum + audiowaveform) ÷ core"
    figures: dict[str, object] = {"seconds of audio": take.durable_frame / FORMAT.sample_rate_hz}
    if "ffmpeg concat" in costs:
        rounds = list(zip(costs["ffmpeg concat"], costs["sha256sum"], strict=True))
        if shutil.which("audiowaveform"):
            waveform: list[str | Path] = [
                "audiowaveform",
                "-i",
                joined,
                "-o",
                folder / "a.dat",
                "--split-channels",
                "-b",
                "8",
                "-z",
                "512",
            ]
            drawn = measure.in_turn({"audiowaveform": lambda: measure.run(waveform)})["audiowaveform"]
        else:
            drawn = [measure.Cost(0.0, 0.0)] * len(rounds)
        both = [
            measure.Cost(
                a.wall_seconds + b.wall_seconds + c.wall_seconds, a.cpu_seconds + b.cpu_seconds + c.cpu_seconds
            )
            for (a, b), c in zip(rounds, drawn, strict=True)
        ]
        if shutil.which("audiowaveform"):
            claims.append(measure.at_least(tools, measure.ratio(both, costs["core"]), 5.0))
        else:
            claims.append(measure.not_measured(tools, "≥ 5", "audiowaveform"))
            figures["(ffmpeg concat + sha256sum) ÷ core, without audiowaveform"] = measure.ratio(both, costs["core"])
    else:
        claims.append(measure.not_measured(tools, "≥ 5", "ffmpeg"))
    for name, runs in costs.items():
        figures[f"{name}, CPU s"] = min(cost.cpu_seconds for cost in runs)
    measure.report("stitched", claims, figures)


def stitch(take: Take, target: Path) -> None:
    """What a renderer does for WAV, the sync to disk included."""
    waveform = Waveform(FORMAT)
    rendition = Rendition.wav(target, FORMAT)
    rendition.append(take, 0, take.durable_frame, ChannelMap.identity(FORMAT.channels), waveform)
    waveform.finish()
    rendition.finish()


if __name__ == "__main__":
    main()
