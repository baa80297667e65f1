"""The report as Markdown: headings, tables and fenced texts that any reader shows.

Every value of a user goes through `markdown_text` (one line) or `fenced` (a block), so that it
cannot become a heading, a link, an image, HTML, or the end of a table.
"""

from ds2.report.markdown_parts import (
    compared,
    correction,
    counted,
    quoted,
    sheet_parts,
    table,
)
from ds2.report.numbers import ReportNumbers, TruthNumbers
from ds2.report.text import markdown_text
from ds2.report.verdict import how_curated, intervals_from, standing, verdict
from ds2.report.words import (
    MISSING,
    NOT_ENOUGH,
    count,
    decimal,
    interval,
    plural,
    score,
    share,
    share_span,
)

__all__ = ["render_markdown"]


def render_markdown(numbers: ReportNumbers) -> str:
    """Return the report as Markdown text."""
    parts = [
        f"# {markdown_text(numbers.title)}",
        *_verdict(numbers),
        *_noise(numbers),
        *_agreement(numbers),
        "## The raters",
        *(part for sheet in numbers.raters for part in sheet_parts(sheet)),
        *(() if numbers.truth is None else _truth(numbers.truth)),
        *_scores(numbers),
        *_changes(numbers),
        *_selection(numbers),
        *_pool(numbers),
        *_settings(numbers),
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(numbers: ReportNumbers) -> list[str]:
    parts = ["## Verdict"]
    for finding in verdict(numbers):
        parts.append(f"**{finding.question}** {markdown_text(finding.answer)}")
        parts += [markdown_text(sentence) for sentence in finding.detail]
    if numbers.warnings:
        parts.append("## Warnings")
        notes = (f"- {note.stage}: {markdown_text(note.sentence)}" for note in numbers.warnings)
        parts.append("\n".join(notes))
    return parts


def _noise(numbers: ReportNumbers) -> list[str]:
    noise = numbers.noise
    head = ["true", *(f"observed {level}" for level in range(noise.n_scores))]
    rows, ranges = [], []
    for level, row in enumerate(noise.matrix):
        cells = [
            NOT_ENOUGH
            if cell.value is None
            else decimal(cell.value)
            + (f" ({interval(cell.low, cell.high)})" if cell.low is not None else "")
            for cell in row
        ]
        rows.append([f"**{level}**", *cells])
        own = row[level]
        span = interval(own.range_low, own.range_high) if own.value is not None else NOT_ENOUGH
        ranges.append([f"**{level}**", cells[level], span])
    parts = [
        "## The transition matrix"
        + (f" of {markdown_text(noise.by_rater[0].label)}" if noise.by_rater else ""),
        f"P(observed score given true score) at ρ = {decimal(noise.rho)}"
        + (", with 95 % intervals." if noise.has_intervals else "."),
    ]
    if standing(noise, numbers.curation.gate) in ("unknown", "absent", "weak"):
        parts.append(
            "Lift is low here, so this matrix mixes the rater's noise with neighbours that do "
            "not share a true score. Read the range below it, not one cell."
        )
    parts += [table(head, rows), "### How far the matrix depends on its assumption"]
    if noise.rho_low is None or noise.rho_high is None:
        parts.append("No range over ρ was computed.")
    else:
        parts.append(
            f"Over ρ from {decimal(noise.rho_low)} to {decimal(noise.rho_high)}, "
            f"{share_span(noise.error_low, noise.error_high)} of the scores are wrong."
        )
        parts.append(table(["true", "seen as itself", "over plausible ρ"], ranges))
    parts.append(
        table(
            ["how the matrix was found", ""],
            [
                ["different examples with a score", count(noise.n_examples)],
                ["examples without one, left out", count(noise.n_missing)],
                ["neighbours counted", count(noise.n_neighbors)],
                ["fit (total variation)", decimal(noise.fit, 3)],
                ["fit exceeded once in 20 if the model holds", decimal(noise.fit_expected, 3)],
                ["iterations", count(noise.iterations)],
                ["converged", "yes" if noise.converged else "no"],
                ["every score most often itself", "yes" if noise.diagonal_dominant else "no"],
                ["intervals", intervals_from(noise) if noise.has_intervals else "not computed"],
            ],
        )
    )
    return parts


def _agreement(numbers: ReportNumbers) -> list[str]:
    head = ["nearest", "agree", "by chance", "lift", "95 % interval", "pairs"]
    rows = [
        [
            f"k = {lift.k}",
            share(lift.agreement),
            share(lift.chance),
            decimal(lift.lift.value),
            interval(lift.lift.low, lift.lift.high),
            count(lift.n_pairs),
        ]
        for lift in numbers.noise.lifts
    ]
    return ["## Do neighbours agree?", table(head, rows)]


def _truth(truth: TruthNumbers) -> list[str]:
    facts = [
        ["rated examples with a known true score", count(truth.n_known)],
        ["right scores, raw", share(truth.accuracy_raw)],
        ["right scores, curated", share(truth.accuracy_curated)],
        ["wrong scores that were flagged", share(truth.recall)],
        ["flagged scores that were wrong", share(truth.precision)],
        ["distance of the matrices (total variation)", decimal(truth.distance, 3)],
        ["intervals that hold the planted value", f"{truth.n_covered} of {truth.n_cells}"],
        ["mean true score, pool", decimal(truth.pool_score)],
        ["mean true score, selected", decimal(truth.selected_score)],
    ]
    head = ["true", "matrix", *(str(level.score) for level in truth.levels), "distance"]
    rows = []
    for level in truth.levels:
        planted = [decimal(value) for value in level.planted]
        recovered = [decimal(value) for value in level.recovered]
        rows.append([f"**{level.score}**", "planted", *planted, decimal(level.distance, 3)])
        rows.append([f"**{level.score}**", "recovered", *recovered, ""])
    return [
        "## Against the known scores",
        table(["measure", ""], facts),
        table(head, rows, words=(0, 1)),
    ]


def _scores(numbers: ReportNumbers) -> list[str]:
    head = ["score", "ratings", "raw", "curated", "prior", "95 % interval"]
    rows = []
    for level in numbers.scores:
        low, high = level.prior.low, level.prior.high
        bounds = MISSING if low is None or high is None else f"{share(low)} to {share(high)}"
        rows.append(
            [
                f"**{level.score}**",
                level.ratings,
                count(level.raw),
                count(level.curated),
                share(level.prior.value),
                bounds,
            ]
        )
    return [
        "## Scores, raw and curated",
        table(head, rows),
        *sheet_parts(numbers.curation.bias),
    ]


def _changes(numbers: ReportNumbers) -> list[str]:
    curation = numbers.curation
    parts = [
        "## What curation changed",
        markdown_text(how_curated(curation)),
    ]
    if curation.n_changed:
        head = ["raw", *(f"to {level}" for level in range(len(curation.moves)))]
        rows = [[f"**{a}**", *map(count, row)] for a, row in enumerate(curation.moves)]
        parts.append(table(head, rows))
    if curation.evidence:
        rows = [
            [
                markdown_text(row.candidate),
                markdown_text(row.measure),
                decimal(row.value.value, 3),
                interval(row.value.low, row.value.high, 3),
                decimal(row.difference.value, 3),
                interval(row.difference.low, row.difference.high, 3),
                count(row.n) if row.n else MISSING,
                "yes" if row.chosen else "no",
            ]
            for row in curation.evidence
        ]
        head = ["candidate", "measure", "value", "95 % interval", "above raw", "95 % interval"]
        parts += ["### Evidence", table([*head, "rows", "chosen"], rows, words=(0, 1))]
    if curation.next_evidence:
        parts.append(markdown_text(curation.next_evidence))
    if curation.corrections:
        parts.append("### The most confident changes")
        for item in curation.corrections:
            parts += correction(item)
    return parts


def _selection(numbers: ReportNumbers) -> list[str]:
    chosen, sizes = numbers.selection, (numbers.pool.n_examples, numbers.selection.n_selected)
    parts = [
        "## What was selected",
        f"{plural(chosen.n_selected, 'example')} of {count(numbers.pool.n_examples)}, by method "
        f"{markdown_text(chosen.method)}.",
        compared("curated score", chosen.by_score, *sizes),
    ]
    if chosen.by_source:
        parts.append(compared("source", chosen.by_source, *sizes))
    if chosen.by_length:
        parts.append(compared("completion length (characters)", chosen.by_length, *sizes))
    if chosen.tail is not None:
        spreads = (("pool", chosen.tail.pool_spread), ("selected", chosen.tail.selected_spread))
        rows = [
            [label, *(decimal(point) for point in (s.low, s.lower, s.median, s.upper, s.high))]
            for label, s in spreads
            if s is not None
        ]
        head = ["long-tail score", "lowest", "quarter", "median", "three quarters", "highest"]
        parts.append(table(head, rows))
    if chosen.stability is not None:
        parts.append(
            f"Selected anew from resampled evidence, {share(chosen.stability.mean, 0)} of them are "
            "selected again."
        )
    if chosen.dropped:
        parts += ["### Not eligible", counted("reason", chosen.dropped)]
    if chosen.first:
        parts.append("### The first picks")
    for pick in chosen.first:
        parts.append(f"{pick.rank}\\. {markdown_text(pick.id)}: {markdown_text(pick.reason)}")
        parts.append(quoted(pick.text))
    return parts


def _pool(numbers: ReportNumbers) -> list[str]:
    pool, ratings, duplicates = numbers.pool, numbers.ratings, numbers.duplicates
    near, embedding = numbers.neighbors, numbers.embedding
    facts = [
        ["read from", f"{markdown_text(pool.origin)} ({pool.format})"],
        ["examples", count(pool.n_examples)],
        ["rows that could not be read", count(pool.n_rejected)],
        ["rated", f"{count(ratings.n_rated)} by {markdown_text(ratings.rater)}"],
        ["unrated", count(ratings.n_unrated)],
        [
            "exact duplicates",
            f"{count(duplicates.n_rows)} in {plural(duplicates.n_groups, 'group')}",
        ],
        ["neighbours", f"{near.k}, {near.method} search, recall {decimal(near.recall, 3)}"],
    ]
    if embedding is not None:
        facts += [
            ["embedder", markdown_text(embedding.name)],
            ["texts cut at its limit", share(embedding.truncated_share)],
            ["texts in a language it does not know", share(embedding.unknown_language_share)],
            ["different texts", count(embedding.n_unique)],
        ]
    parts = ["## The pool and what was read from it", table(["what", ""], facts, words=(0, 1))]
    if ratings.problems:
        parts += ["### Unrated, by reason", counted("reason", ratings.problems)]
    if duplicates.largest:
        parts.append("### Largest groups of duplicates")
        if duplicates.n_groups_rated:
            parts.append(
                f"{count(duplicates.n_rated_apart)} of "
                f"{plural(duplicates.n_groups_rated, 'group')} with two ratings or more got "
                "different scores for one text."
            )
    for group in duplicates.largest:
        scores = sorted({score(group.lowest), score(group.highest)})
        name = markdown_text(group.id)
        parts.append(f"{name}: {count(group.size)} times, score {' to '.join(scores)}")
        parts.append(quoted(group.text))
    return parts


def _settings(numbers: ReportNumbers) -> list[str]:
    rows = [
        [markdown_text(item.name), markdown_text(item.value)]
        for item in (*numbers.settings, *numbers.versions)
    ]
    said = "Settings that are not listed have their default."
    return ["## Settings and versions", said, table(["name", "value"], rows, words=(0, 1))]
