"""Prints what two files hold, side by side: streams, size, aspect, rate, colour, times, tags.

sh scripts/run python scripts/bench/sides.py INPUT OUTPUT [INPUT OUTPUT ...]
"""

import sys

import av


def facts(path: str) -> list[str]:
    """One line for the container, and one or two for each stream."""
    lines = []
    with av.open(path) as container:
        extent: dict[int, tuple[float, float, int]] = {}
        for packet in container.demux():
            if packet.pts is None or packet.time_base is None or not packet.size:
                continue
            at = float(packet.pts * packet.time_base)
            last = at + float((packet.duration or 0) * packet.time_base)
            begin, end, count = extent.get(packet.stream.index, (at, last, 0))
            extent[packet.stream.index] = (min(begin, at), max(end, last), count + 1)
        lines.append(f"{container.format.name}, {len(container.chapters())} chapters")
        for stream in container.streams:
            begin, end, count = extent.get(stream.index, (0.0, 0.0, 0))
            context = stream.codec_context
            name = context.codec.canonical_name if context else "?"
            tags = "".join(
                f" {key}={value}"
                for key, value in stream.metadata.items()
                if key.lower() in ("language", "title")
            )
            default = " default" if int(stream.disposition) & 1 else ""
            lines.append(f"{stream.index} {stream.type} {name}{default}{tags}")
            if stream.type == "video":
                aspect = stream.sample_aspect_ratio or 1
                lines.append(
                    f"  {context.width}x{context.height} SAR {aspect} {context.pix_fmt} "
                    f"{stream.average_rate} fps"
                )
                colour = (context.colorspace, context.color_trc, context.color_primaries)
                codes = "/".join(str(int(code or 2)) for code in colour)
                lines.append(
                    f"  matrix/transfer/primaries {codes}, range {int(context.color_range)}"
                )
            elif stream.type == "audio":
                lines.append(f"  {context.sample_rate} Hz {context.layout.name}")
            lines.append(f"  {begin:.3f} .. {end:.3f} s, {count} packets")
    return lines


def main() -> int:
    """Print each pair; the exit code."""
    paths = sys.argv[1:]
    if len(paths) < 2 or len(paths) % 2:
        print(__doc__)
        return 2
    for before, after in zip(paths[::2], paths[1::2], strict=True):
        left, right = facts(before), facts(after)
        rows = max(len(left), len(right))
        left += [""] * (rows - len(left))
        right += [""] * (rows - len(right))
        print(f"{before.rpartition('/')[2]:<58} | {after.rpartition('/')[2]}")
        for one, other in zip(left, right, strict=True):
            print(f"{one:<58} | {other}")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
