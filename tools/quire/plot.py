"""The plots of ./quire compare: a panel per workload, a bar per setting that shows on a logarithmic
scale how a figure stands to the default's."""

import math

REACH = 3  # the scale goes from 2^-REACH to 2^REACH; longer bars are cut off there, their number is not
COLUMNS = 3
LESS, MORE = "#4878a8", "#b8553f"


def bar(value, base):
    """(length on the scale of log2, text) of a figure beside the default's; None: there is none."""
    if value is None:
        return 0, "failed"
    if value == base:
        return 0, "1"
    if not base:
        return REACH, f"{value:,}"
    length = math.log2(value / base) if value else -REACH
    return max(-REACH, min(REACH, length)), f"{value / base:.3g}"


def scale():
    """Tick labels: 1/8 ... 1 ... 8."""
    return [f"1/{2 ** -t}" if t < 0 else str(2 ** t) for t in range(-REACH, REACH + 1)]


def panel(axes, name, results, default, figure):
    base = results[default].get(figure)
    settings = [s for s in results if s != default]
    bars = [bar(results[s].get(figure) if results[s]["status"] == 0 else None, base) for s in settings]
    axes.barh(range(len(bars)), [length for length, _ in bars], 0.7,
              color=[LESS if length < 0 else MORE for length, _ in bars])
    for y, (length, text) in enumerate(bars):
        axes.text(-0.1 if length > 0 else 0.1, y, text, va="center",
                  ha="right" if length > 0 else "left", fontsize=7)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_title(f"{name}: {base:,}" if base is not None else name, fontsize=8, loc="left")
    axes.set_yticks(range(len(settings)), settings)


def draw(everything, default, figure, path):
    """Writes an SVG. The same results make the same file."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "quire"})
    from matplotlib import pyplot
    columns = min(COLUMNS, len(everything))
    rows = -(-len(everything) // columns)
    bars = max(len(results) for results in everything.values()) - 1
    drawing, grid = pyplot.subplots(rows, columns, squeeze=False, sharex=True, sharey=True,
                                    figsize=(1.2 + 2.8 * columns, 0.6 + rows * (0.3 + 0.18 * bars)),
                                    layout="constrained")
    for axes, name in zip(grid.flat, everything):
        panel(axes, name, everything[name], default, figure)
    for axes in grid.flat:
        axes.tick_params(length=0, labelsize=7)
        axes.set_frame_on(False)
    for axes in grid.flat[len(everything):]:
        axes.set_visible(False)
    grid[0][0].set_xticks(range(-REACH, REACH + 1), scale())
    grid[0][0].set_xlim(-REACH, REACH)
    grid[0][0].invert_yaxis()
    drawing.suptitle(f"{figure}, default = 1", fontsize=9)
    drawing.savefig(path, metadata={"Date": None})
    pyplot.close(drawing)
