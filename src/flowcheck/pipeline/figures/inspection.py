"""What a reader would object to in a figure, found when it is saved: nobody looks at every figure at every scale.

What is found has a kind and a panel. A figure may accept a fault, with a reason: a curve that leaves the panel because the rest
would be squashed, a jump that is what the figure shows.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import Collection, LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.quiver import Quiver
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

KINDS = {
    "cut": "data lie beyond the limits of a panel",
    "empty": "the data use too little of a panel",
    "crowded": "all that happens happens in a small part of an axis",
    "range": "an axis goes to powers that no reader can place",
    "overlap": "texts lie on each other, or on another panel",
    "outside": "a text or a legend leaves the canvas",
    "covered": "a legend hides data",
    "unnamed": "a curve has no entry in a legend and no text beside it",
    "small": "a text is too small to read",
}
"""Kinds of faults."""
BEYOND = 0.01
"""Share of a panel by which data may leave it: the width of a line."""
USED = 0.6
"""Share of the width and of the height of a panel that data, legends and texts must span: a third may be air."""
HAPPENS, WITHIN = 0.8, 0.1
"""A panel is crowded if this share of what its curves rise and fall lies within so small a share of its width."""
RISES = 0.25
"""Share of the height of a panel that its curves must rise or fall for that to be asked."""
FARTHEST = 60
"""Decades from 1 that an axis may reach without a reason: no quantity of a paper is there, only a misplaced scale."""
SMALLEST = 6.0
"""Points of the smallest text, at the printed width."""
NEAR = 12.0
"""Points between a curve and the text that names it."""
SLACK = 0.5
"""Points that a text may leave the canvas by."""
NOTHING = (None, "None", "none", "", " ")
"""What a line without a marker, or markers without a line, have in its place."""
WORDS = 3
"""Of a reason, at least."""


class FigureError(ValueError):
    """A figure that is saved has faults that it does not accept."""


@dataclass(frozen=True)
class Fault:
    """One fault of one panel: its letter, ``panel 2`` where there are none, or ``figure``."""

    panel: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.panel}, {self.kind}: {self.text}"


def check_figure(figure: Figure, name: str, accepts: Mapping[str, str] | None = None) -> None:
    """Raise FigureError if a figure that was drawn as pixels has faults that it does not accept, see `unaccepted`."""
    refuse(unaccepted(figure, name, accepts))


def refuse(faults: Sequence[str]) -> None:
    """Raise FigureError with these sentences, if there are any."""
    if faults:
        raise FigureError("\n".join(faults))


def unaccepted(figure: Figure, name: str, accepts: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each fault of a figure that was drawn as pixels; `accepts` maps ``"(a) cut"`` to the reason for it.

    Raises ValueError if it names a panel or a kind that there is not, or gives no reason.
    """
    names = {*_panels(figure).values(), "figure"}
    for key, reason in (accepts or {}).items():
        panel, _, kind = key.rpartition(" ")
        if panel not in names or kind not in KINDS or len(reason.split()) < WORDS:
            raise ValueError(
                f"figure {name!r} accepts {key!r} for {reason!r}: a panel ({', '.join(sorted(names))}), a kind "
                f"({', '.join(KINDS)}) and a reason of {WORDS} words are expected"
            )
    faults = (fault for fault in find_faults(figure) if f"{fault.panel} {fault.kind}" not in (accepts or {}))
    return [f"figure {name!r}, {fault}" for fault in faults]


def find_faults(figure: Figure) -> Iterator[Fault]:
    """All faults of a figure that was drawn as pixels."""
    renderer: RendererBase = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    panels = _panels(figure)
    legends = [*figure.legends, *(legend for axis in _axes(figure) for legend in _legends(axis))]
    handles = [
        handle
        for legend in legends
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True)
        if handle is not None and text.get_text().strip()  # an entry without words names nothing
    ]
    spans = {axis: _span(axis, list(_curves(axis, handles)), renderer) for axis in panels}
    for name in dict.fromkeys(panels.values()):
        axes = [axis for axis in panels if panels[axis] == name]
        curves = [curve for axis in axes for curve in _curves(axis, handles)]
        if all(axis.name == "rectilinear" for axis in axes) and not any(_mesh(axis) for axis in axes):
            yield from _cut(name, curves, axes)
            yield from _empty(name, axes, spans)
            yield from _crowded(name, curves)
        yield from _range(name, axes)
        yield from _covered(name, axes, curves, renderer)
        yield from _unnamed(name, axes, curves, handles, renderer)
    yield from _overlap(figure, panels, renderer)
    yield from _outside(figure, panels, renderer)
    yield from _small(panels, figure)


@dataclass(frozen=True)
class _Curve:
    """A line, points or a band, with its points as shares of its panel; NaN where an axis is not one of data."""

    artist: Artist
    axis: Axes
    points: np.ndarray
    color: tuple[float, float, float]
    marker: str
    joined: bool
    """Whether a line joins the points."""
    name: str
    """Its label, or that of the legend's entry of its colour."""
    infinite: int = 0
    """How many of its points are infinite."""

    @property
    def seen(self) -> np.ndarray:
        """The points within the panel."""
        return self.points[_within(self.points, (-BEYOND, -BEYOND), (1 + BEYOND, 1 + BEYOND))]


def _panels(figure: Figure) -> dict[Axes, str]:
    """Panels by name: the letter in the title, that of what lies at the same place (a second scale) or around it (an inset)."""
    axes = [axis for axis in _axes(figure) if axis.get_visible() and axis.get_label() != "<colorbar>"]
    names: dict[Axes, str] = {}
    for axis in axes:
        if found := re.match(r"\([a-z]\)", axis.get_title(loc="left")):
            names[axis] = found[0]
    for number, axis in enumerate((axis for axis in axes if axis not in names), start=1):
        around = [
            other
            for other in names
            if axis.bbox.count_contains(other.bbox.corners()) + other.bbox.count_contains([_middle(axis)])
        ]
        names[axis] = names[around[0]] if around else f"panel {number}"
    return names


def _axes(figure: Figure) -> list[Axes]:
    """All axes, with those that lie in others."""
    return [*figure.axes, *(inset for axis in figure.axes for inset in axis.child_axes if isinstance(inset, Axes))]


def _middle(axis: Axes) -> tuple[float, float]:
    return (axis.bbox.x0 + axis.bbox.x1) / 2, (axis.bbox.y0 + axis.bbox.y1) / 2


def _mesh(axis: Axes) -> bool:
    return bool(axis.images) or any(isinstance(drawn, QuadMesh) for drawn in axis.collections)


def _curves(axis: Axes, handles: Iterable[Artist]) -> Iterator[_Curve]:
    labels: dict[tuple[float, float, float], str] = {}
    for handle in handles:
        for color in dict.fromkeys(_colors(handle)):
            labels[color] = f"{labels[color]} or {handle.get_label()}" if color in labels else str(handle.get_label())

    def curve(drawn: Line2D | Collection, transform: Any, xy: Any, color: Any, marker: str = "", joined: bool = False) -> _Curve:
        rgb, label = to_rgb(color), str(drawn.get_label())
        name = labels.get(rgb, f"a curve of colour {to_hex(rgb)}") if label.startswith("_") else label
        steps = isinstance(drawn, Line2D) and drawn.get_drawstyle().startswith("steps")  # a distribution begins at -inf
        infinite = 0 if steps else int(np.isinf(np.asarray(xy, dtype=float).reshape(-1, 2)).any(axis=1).sum())
        return _Curve(drawn, axis, _shares(axis, transform, xy), rgb, marker, joined, name, infinite)

    for line in axis.lines:
        if line.get_visible():
            marker = "" if line.get_marker() in NOTHING else str(line.get_marker())
            joined = line.get_linestyle() not in NOTHING
            shade = line.get_color() if joined else line.get_markeredgecolor()
            yield curve(line, line.get_transform(), line.get_xydata(), shade, marker, joined)
    for drawn in axis.collections:
        if not drawn.get_visible() or isinstance(drawn, QuadMesh):
            continue
        if isinstance(drawn, (PathCollection, Quiver)):
            yield curve(drawn, drawn.get_offset_transform(), drawn.get_offsets(), _color(drawn), "points")
        elif corners := [path.vertices for path in drawn.get_paths()]:
            yield curve(drawn, drawn.get_transform(), np.concatenate(corners), _color(drawn))


def _color(drawn: Collection) -> tuple[float, float, float]:
    for colors in (drawn.get_facecolor(), drawn.get_edgecolor()):
        rgba = np.reshape(np.asarray(colors, dtype=float), (-1, 4))
        if len(rgba):
            red, green, blue = rgba[0, :3].tolist()
            return red, green, blue
    return 0.0, 0.0, 0.0


def _shares(axis: Axes, transform: Any, xy: Any) -> np.ndarray:
    """Points as shares of the panel, [point, 2]; NaN in a direction that is not one of data, as across a line over all of it."""
    xy = np.asarray(xy, dtype=float).reshape(-1, 2)
    with np.errstate(all="ignore"):
        shares = axis.transAxes.inverted().transform(transform.transform(xy))
    across, up = transform.contains_branch_seperately(axis.transData)
    shares[~np.isfinite(xy).all(axis=1)] = np.nan
    if across and axis.get_xscale() == "log":
        shares[xy[:, 0] == 0] = np.nan  # a start at time 0 is no loss
    shares[:, [not across, not up]] = np.nan
    return shares


def _cut(panel: str, curves: Iterable[_Curve], axes: Iterable[Axes]) -> Iterator[Fault]:
    """Data beyond the limits, bars among them: by how many points, on which side; and data at infinity, which are not drawn."""
    found = []
    for axis in axes:
        bars = [patch for patch in axis.patches if patch.get_visible() and all(_is_data(axis, patch))]
        corners = [_corners(axis, patch) for patch in bars]
        if cut := sum(bool(((points < -BEYOND) | (points > 1 + BEYOND)).any()) for points in corners):
            found.append(f"bars or patches ({cut} of {len(bars)})")
    for curve in curves:
        if curve.infinite:
            found.append(f"{curve.name} ({curve.infinite} of {len(curve.points)} points, at infinity)")
        with np.errstate(invalid="ignore"):
            sides = {
                "left": curve.points[:, 0] < -BEYOND,
                "right": curve.points[:, 0] > 1 + BEYOND,
                "below": curve.points[:, 1] < -BEYOND,
                "above": curve.points[:, 1] > 1 + BEYOND,
            }
        beyond = [side for side, points in sides.items() if points.any()]
        if beyond:
            count = int(np.any(list(sides.values()), axis=0).sum())
            found.append(f"{curve.name} ({count} of {len(curve.points)} points, {' and '.join(beyond)})")
    if found:
        rest = f" and {len(found) - 3} more" if len(found) > 3 else ""
        yield Fault(panel, "cut", f"beyond the limits: {', '.join(found[:3])}{rest}")


def _corners(axis: Axes, patch: Patch) -> np.ndarray:
    """Corners of a bar as shares of its panel; NaN where it begins at 0 on a logarithmic axis, as bars do."""
    corners = patch.get_patch_transform().transform(patch.get_path().vertices)
    shares = _shares(axis, axis.transData, corners)
    for column, scale in enumerate((axis.get_xscale(), axis.get_yscale())):
        if scale == "log":
            shares[corners[:, column] <= 0, column] = np.nan
    return shares


def _span(axis: Axes, curves: Iterable[_Curve], renderer: RendererBase) -> np.ndarray:
    """From where to where data, bars, legends and texts reach, as shares of the panel: [low or high, x or y]; NaN if nothing."""
    points = [np.full((1, 2), np.nan), *(curve.seen for curve in curves)]
    boxes = [drawn.get_window_extent(renderer) for drawn in (*axis.texts, *_legends(axis), *axis.child_axes)]
    boxes += [patch.get_window_extent(renderer) for patch in axis.patches if all(_is_data(axis, patch))]
    points += [np.clip(axis.transAxes.inverted().transform(box.corners()), 0, 1) for box in boxes]
    together = np.concatenate(points)
    return np.array([np.fmin.reduce(together), np.fmax.reduce(together)])


def _empty(panel: str, axes: list[Axes], spans: Mapping[Axes, np.ndarray]) -> Iterator[Fault]:
    """How much of its width and its height a panel uses, or those that share the axis with it."""
    for column, name in enumerate(("width", "height")):
        shared = [axis.get_shared_x_axes() if column == 0 else axis.get_shared_y_axes() for axis in axes]
        together = {other for axis, group in zip(axes, shared, strict=True) for other in group.get_siblings(axis)}
        ends = np.array([spans[axis][:, column] for axis in together if axis in spans])
        share = float(np.fmax.reduce(ends[:, 1]) - np.fmin.reduce(ends[:, 0])) if len(ends) else np.nan
        if np.isnan(share):
            if any(axis.axison for axis in axes):
                yield Fault(panel, "empty", "there is nothing in it")
                return
        elif share < USED:
            yield Fault(panel, "empty", f"the data span {share:.0%} of its {name}, and {USED:.0%} is the least")


def _is_data(axis: Axes, drawn: Artist) -> tuple[bool, bool]:
    across, up = drawn.get_transform().contains_branch_seperately(axis.transData)
    return bool(across), bool(up)


def _crowded(panel: str, curves: Iterable[_Curve]) -> Iterator[Fault]:
    """Where along the axis the curves rise and fall."""
    places, rises = [np.empty(0)], [np.empty(0)]
    for curve in curves:
        if curve.joined and len(curve.points) > 2:
            points = np.clip(_filled(curve.points), 0, 1)
            places.append((points[1:, 0] + points[:-1, 0]) / 2)
            rises.append(abs(np.diff(points[:, 1])))
    place, rise = np.concatenate(places), np.nan_to_num(np.concatenate(rises))
    known = np.isfinite(place) & (rise > 0)
    place, rise = place[known], rise[known]
    if not len(rise) or rise.sum() < RISES:
        return
    order = np.argsort(place)
    place, total = place[order], np.concatenate([[0.0], np.cumsum(rise[order])])
    last = np.searchsorted(total, total[:-1] + HAPPENS * total[-1])  # of the window that begins at each place
    reaches = last <= len(place)
    width = float((place[np.minimum(last[reaches], len(place)) - 1] - place[reaches]).min())
    if width < WITHIN:
        yield Fault(panel, "crowded", f"{HAPPENS:.0%} of all rise and fall lies within {width:.1%} of its width")


def _range(panel: str, axes: Iterable[Axes]) -> Iterator[Fault]:
    """Powers of ten on an axis that lie too far from 1."""
    for axis, side in itertools.product(axes, "xy"):
        scale = getattr(axis, f"{side}axis")
        powers = [int(power) for tick in _ticks(scale) for power in re.findall(r"10\^?\{?(-?\d+)", _plain(tick.get_text()))]
        if far := [power for power in powers if abs(power) > FARTHEST]:
            yield Fault(panel, "range", f"its {side} axis reaches 10^{max(far, key=abs)}")


def _plain(text: str) -> str:
    """Superscripts and signs as on a keyboard."""
    return text.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--"))


def _ticks(scale: Any) -> Iterator[Text]:
    """The labels of an axis that are drawn."""
    transform = scale.get_transform().transform
    low, high = sorted(transform(np.asarray(scale.get_view_interval(), dtype=float)))
    margin = 1e-9 * (high - low)
    for tick in (*scale.get_major_ticks(), *scale.get_minor_ticks()):
        if low - margin <= transform(np.asarray([tick.get_loc()], dtype=float))[0] <= high + margin:
            for label in (tick.label1, tick.label2):
                if label.get_visible() and label.get_text().strip():
                    yield label


def _legends(axis: Axes) -> list[Legend]:
    return [drawn for drawn in axis.get_children() if isinstance(drawn, Legend)]


def _covered(panel: str, axes: Iterable[Axes], curves: list[_Curve], renderer: RendererBase) -> Iterator[Fault]:
    """Data under a legend."""
    boxes = [legend.get_window_extent(renderer) for axis in axes for legend in _legends(axis)]
    hidden = []
    for curve in curves:
        points = curve.axis.transAxes.transform(_filled(curve.points) if curve.joined else curve.points)
        if any(_within(points, box.p0, box.p1).any() for box in boxes):
            hidden.append(curve.name)
    if hidden:
        yield Fault(panel, "covered", f"the legend lies on {_names(hidden)}")


def _filled(points: np.ndarray) -> np.ndarray:
    """A line as points, twenty between each two."""
    if len(points) < 2:
        return points
    steps = np.linspace(0, 1, 20, endpoint=False)[:, None]
    return np.concatenate([(points[:-1, None] + steps * np.diff(points, axis=0)[:, None]).reshape(-1, 2), points[-1:]])


def _unnamed(
    panel: str, axes: list[Axes], curves: Iterable[_Curve], handles: Iterable[Artist], renderer: RendererBase
) -> Iterator[Fault]:
    """Curves that no legend and no text beside them names; one alone is named by the axes, groups side by side by their ticks."""
    if any(re.search(r"[a-z]{3}", label.get_text()) for axis in axes for label in _ticks(axis.xaxis)):
        return
    curves = [curve for curve in curves if not _at_zero(curve) and not _by_colour_bar(curve)]
    texts = [text.get_window_extent(renderer) for axis in axes for text in axis.texts if text.get_text().strip()]
    colors = {color for handle in handles for color in _colors(handle)}
    lines = [handle for handle in handles if isinstance(handle, Line2D)]
    markers = {
        line.get_marker() for line in lines if np.ptp(to_rgb(line.get_color())) == 0
    }  # grey: the colour tells something else
    missing = [
        curve.name
        for curve in curves
        if curve.color not in colors and (curve.joined or curve.marker not in markers) and not _beside(curve, texts, renderer)
    ]
    alone = len({(curve.color, curve.marker) for curve in curves}) == 1
    if missing and not alone:
        yield Fault(panel, "unnamed", f"in no legend, and without a text beside it: {_names(missing)}")


def _by_colour_bar(curve: _Curve) -> bool:
    return isinstance(curve.artist, Collection) and curve.artist.get_array() is not None


def _names(curves: Iterable[str]) -> str:
    counted = Counter(curves)
    return ", ".join(name if times == 1 else f"{name} ({times} times)" for name, times in counted.items())


def _at_zero(curve: _Curve) -> bool:
    """Whether a line is the axis of zeros."""
    if not isinstance(curve.artist, Line2D):
        return False
    x, y = (np.asarray(values, dtype=float) for values in curve.artist.get_data())
    across = np.isnan(curve.points).all(axis=0)
    return bool((across[0] and (y == 0).all()) or (across[1] and (x == 0).all()))


def _colors(handle: Artist) -> Iterator[tuple[float, float, float]]:
    if isinstance(handle, Line2D):
        yield to_rgb(handle.get_color())
        yield to_rgb(handle.get_markeredgecolor())
    elif isinstance(handle, Patch):
        yield to_rgb(handle.get_facecolor())
        yield to_rgb(handle.get_edgecolor())
    elif isinstance(handle, (PathCollection, LineCollection, PolyCollection)):
        yield _color(handle)


def _beside(curve: _Curve, texts: Iterable[Bbox], renderer: RendererBase) -> bool:
    """Whether a text lies on a curve or near it."""
    near = renderer.points_to_pixels(NEAR)
    points = np.where(np.isnan(curve.points), np.linspace(0, 1, len(curve.points))[:, None], curve.points)
    points = curve.axis.transAxes.transform(_filled(points))
    return any(_within(points, (box.x0 - near, box.y0 - near), (box.x1 + near, box.y1 + near)).any() for box in texts)


def _within(points: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """Which points lie in a box; NaN does not."""
    with np.errstate(invalid="ignore"):
        return np.logical_and(points > low, points < high).all(axis=1)


def _texts(figure: Figure, panels: Mapping[Axes, str]) -> Iterator[tuple[str, Axes | None, Text]]:
    """All texts that are drawn, with their panels."""
    for axis in _axes(figure):
        name = panels.get(axis, "figure")
        own = [axis.title, axis.xaxis.label, axis.yaxis.label, axis.xaxis.offsetText, axis.yaxis.offsetText, *axis.texts]
        own += [text for text in axis.get_children() if isinstance(text, Text) and text not in own]
        own += [*_ticks(axis.xaxis), *_ticks(axis.yaxis)] if axis.axison else []
        own += [text for legend in _legends(axis) for text in legend.get_texts()]
        yield from ((name, axis, text) for text in own if text.get_visible() and text.get_text().strip())
    of_figure = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    yield from (("figure", None, text) for text in of_figure if text.get_visible() and text.get_text().strip())


def _overlap(figure: Figure, panels: Mapping[Axes, str], renderer: RendererBase) -> Iterator[Fault]:
    """Texts that lie on each other, or on a panel that is not theirs."""
    boxes = [(name, axis, text, _shrunk(text.get_window_extent(renderer))) for name, axis, text in _texts(figure, panels)]
    for (name, _, text, box), (_, _, other, beside) in itertools.combinations(boxes, 2):
        if box.overlaps(beside) and text is not other:
            yield Fault(name, "overlap", f"{text.get_text()!r} and {other.get_text()!r} lie on each other")
    for name, axis, text, box in boxes:
        for panel_axes, panel in panels.items():
            if axis is not None and panel != name and box.overlaps(panel_axes.bbox):
                yield Fault(name, "overlap", f"{text.get_text()!r} lies on {panel}")


def _shrunk(box: Bbox) -> Bbox:
    """Without the air above, below and beside the letters."""
    return box.expanded(0.9, 0.8)


def _outside(figure: Figure, panels: Mapping[Axes, str], renderer: RendererBase) -> Iterator[Fault]:
    """Texts and legends beyond the canvas."""
    slack, canvas = SLACK * figure.dpi / 72, figure.bbox
    legends: list[tuple[str, Legend | Text]] = [("figure", legend) for legend in figure.legends]
    legends += [(panels.get(axis, "figure"), legend) for axis in _axes(figure) for legend in _legends(axis)]
    texts = [(name, text) for name, _, text in _texts(figure, panels)]
    for name, drawn in (*legends, *texts):
        box = drawn.get_window_extent(renderer)
        beyond = max(canvas.x0 - box.x0, box.x1 - canvas.x1, canvas.y0 - box.y0, box.y1 - canvas.y1)
        if beyond > slack:
            what = repr(drawn.get_text()) if isinstance(drawn, Text) else "the legend"
            yield Fault(name, "outside", f"{what} leaves the canvas by {beyond * 72 / figure.dpi:.1f} points")
    for name, axis, text in _texts(figure, panels):
        if axis is not None and text in axis.texts and (lost := _lost(axis, text, renderer)):
            yield Fault(name, "outside", f"{text.get_text()!r} {lost}")


def _lost(axis: Axes, text: Text, renderer: RendererBase) -> str:
    """How a text in a panel is not drawn, or only in part; empty if it is drawn."""
    if isinstance(text, Annotation) and text.get_annotation_clip() is not False and text.xycoords == "data":
        place = axis.transData.transform(text.xy)
        if not axis.bbox.contains(*place) and not _touches(axis.bbox, place):
            return "is not drawn: what it points to lies beyond the limits"
    clip = text.get_clip_box()
    if text.get_clip_on() and clip is not None:
        box, slack = text.get_window_extent(renderer), renderer.points_to_pixels(SLACK)
        if max(clip.x0 - box.x0, box.x1 - clip.x1, clip.y0 - box.y0, box.y1 - clip.y1) > slack:
            return "is cut at the edge of its panel"
    return ""


def _touches(box: Bbox, place: np.ndarray) -> bool:
    """Whether a point lies on the edge of a box, up to a thousandth of a pixel."""
    return box.padded(1e-3).contains(*place.tolist())


def _small(panels: Mapping[Axes, str], figure: Figure) -> Iterator[Fault]:
    for name, _, text in _texts(figure, panels):
        points = float(text.get_fontsize())
        if points < SMALLEST:
            yield Fault(name, "small", f"{text.get_text()!r} has {points:g} points, and {SMALLEST:g} are the least")
