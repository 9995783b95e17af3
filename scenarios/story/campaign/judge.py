"""Precision and recall of first findings, and what was missed."""


def is_right(outcome, table):
    """Whether the first finding is what was planted; of a lock, with its holder."""
    if outcome["cause"] == "none":
        return outcome.get("first") is None
    if outcome.get("first") != table["cause"][outcome["cause"]]["finding"]:
        return False
    return outcome["cause"] != "lock" or outcome.get("names_thread", False)


def ratio(part, whole):
    return f"{part}/{whole} = {part / whole:.2f}" if whole else "none ran"


def judge(outcomes, table, missing):
    """The summary as Markdown, and whether the gate holds."""
    ran = [one for one in outcomes if "error" not in one]
    gate = table["gate"]
    judged = [one for one in ran if one["cause"] == "none" or one["intensity"] in gate["intensities"]]
    planted = [one for one in judged if one["cause"] != "none"]
    recalled = [one for one in planted if is_right(one, table)]
    named = [one for one in judged if one.get("first") is not None]
    precise = [one for one in named if one["cause"] != "none" and is_right(one, table)]
    recall = len(recalled) / len(planted) if planted else 0.0
    precision = len(precise) / len(named) if named else 0.0
    holds = recall >= gate["recall"] and precision >= gate["precision"]
    lines = [
        f"Of {', '.join(gate['intensities'])} intensity and unplanted: recall {ratio(len(recalled), len(planted))}, "
        f"precision {ratio(len(precise), len(named))}: the gate (recall {gate['recall']}, precision "
        f"{gate['precision']}) {'holds' if holds else 'does NOT hold'}.",
        "",
        *by_cause(ran, table, gate),
        "",
        *unplanted(ran),
        "",
        *misses(ran, table),
    ]
    broken = [one for one in outcomes if "error" in one]
    if broken:
        lines += ["", "## Runs that broke, judged by nothing", ""]
        lines += [f"- {one['id']} (lane {one['lane']}): {one['error']}" for one in broken]
    if missing:
        lines += ["", "## Not planted on this machine", ""]
        lines += [f"- {what}: {why}" for what, why in sorted(missing.items())]
    return "\n".join(lines) + "\n", holds


def by_cause(ran, table, gate):
    levels = ("low", "middle", "high")
    lines = ["| planted | finding | low | middle | high | precision |", "|---|---|---|---|---|---|"]
    for cause, of in table["cause"].items():
        cells = []
        for level in levels:
            runs = [one for one in ran if one["cause"] == cause and one["intensity"] == level]
            cells.append(f"{sum(is_right(one, table) for one in runs)}/{len(runs)}" if runs else "–")
        judged = [one for one in ran if one["cause"] == "none" or one["intensity"] in gate["intensities"]]
        named = [one for one in judged if one.get("first") == of["finding"]]
        right = sum(one["cause"] == cause for one in named)
        lines.append(f"| {cause} | `{of['finding']}` | {' | '.join(cells)} | {ratio(right, len(named))} |")
    return lines


def unplanted(ran):
    runs = [one for one in ran if one["cause"] == "none"]
    quiet = sum(one.get("first") is None for one in runs)
    return [f"Unplanted runs: {quiet} of {len(runs)} say that no offender was found."]


def misses(ran, table):
    wrong = [one for one in ran if not is_right(one, table)]
    lines = ["## What was missed", ""]
    if not wrong:
        return [*lines, "Nothing."]
    lines += ["| run | target | planted | said instead | all that was said |", "|---|---|---|---|---|"]
    for one in sorted(wrong, key=lambda one: one["id"]):
        said = ", ".join(f"{of['cause']} {of['share']:.0%}" for of in one.get("found", [])) or "nothing"
        what = " ".join(str(one[key]) for key in ("thread", "how") if key in one) or "–"
        lines.append(f"| {one['id']} | {one['target']} | {what} | {one.get('first') or 'no offender'} | {said} |")
    return lines
