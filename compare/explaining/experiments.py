"""The pages of the built-in experiments: what is compared, what must part, and how to run it."""

from __future__ import annotations

import inspect

from compare.explaining.blocks import Block, Bullets, Code, Heading, Paragraph, table
from compare.explaining.docstrings import lesson, plain
from compare.explaining.finding import Topic

__all__ = ["experiment_page"]

LESSONS = {
    "linear-regression": "Gradient descent needs many steps to reach what the normal equations give at once; "
    "both end in the "
    "same place, which is the check.",
    "ridge-regression": "The penalty pulls the weights towards zero but leaves the intercept alone; penalising "
    "it too is a "
    "mistake that shows.",
    "logistic-regression": "With cross entropy the gradient is prediction minus target: the slope of the "
    "sigmoid cancels.",
    "logistic-regression-l2": "A larger lambda raises the training loss always, and lowers the held-out loss up "
    "to a point.",
    "one-vs-all": "K classes by K independent yes-or-no models; their probabilities need not add up to one.",
    "softmax-regression": "One distribution over all classes: the probabilities of a row add up to one.",
    "linear-svm": "C is 1 / lambda: a larger C makes the margin narrower. See also `lambda-and-c`.",
    "simultaneous-update": "All parameters move at once, from gradients at one point. One after the other goes "
    "downhill too, "
    "and is another algorithm.",
    "gradient-accumulation": "Micro-batches give the gradient of the whole batch if each is weighted by its "
    "share of the rows.",
    "logic-gates": "One unit draws one line, which does for AND, OR and NOR. XNOR takes two layers. See also `xnor`.",
    "numeric-gradient": "Central differences are good to half the digits, the complex step to all; backprop "
    "costs a fraction.",
    "backprop-by-hand": "A worked example can be right in all but its last number. See also `mazur`.",
    "mlp-digits": "The whole chain at once: accumulation, clipping, momentum and a schedule over several epochs.",
    "mlp-digits-adamw": "A step of Adam hides the scale of a gradient; its slots do not.",
    "mlp-dropout": "What is drawn at random is never compared: the reference's masks are replayed on the other side.",
}
"""What a learner takes home, one or two sentences each."""


def experiment_page(topic: Topic, numbers: bool, level: int) -> list[Block]:
    """An experiment: what it shows, its lesson, its scenarios and contrasts, and how to run it."""
    from compare.names import NAMES

    text = NAMES[topic.name]
    blocks: list[Block] = [Paragraph(f"{text[:1].upper()}{text[1:]}."), Heading(level, "Lesson")]
    blocks += [Paragraph(LESSONS[topic.name])]
    if numbers:
        blocks += _study(topic.name, level)
    run = [f"gradlock run {topic.name}{options}" for options in ("", " --sync module --steps 3", " --json report.json")]
    return [*blocks, Heading(level, "Run it"), Code("\n".join(run))]


def _study(name: str, level: int) -> list[Block]:
    """What the experiment compares, as it is built."""
    from compare.experiment import Setting
    from compare.experiments import CATALOGUE

    build = CATALOGUE[name].build
    study = build(Setting())
    rows = []
    for scenario in study.scenarios:
        micro = sorted({len(step) for step in scenario.steps})
        cuts = f"{micro[0]}" if len(micro) == 1 else f"{micro[0]} to {micro[-1]}"
        rows.append([scenario.name, len(scenario.steps), cuts, scenario.sync])
    summary = lesson(inspect.getdoc(build) or "").summary
    blocks: list[Block] = [
        Heading(level, "What is compared"),
        Paragraph(f"{summary} Each scenario is walked on both sides, and every checkpoint of every step must agree:"),
        table(["scenario", "steps", "micro-batches", "walk"], rows, right=(1, 2)),
    ]
    if study.contrasts:
        mistakes = tuple(
            f"{contrast.scenario.name}: {plain(contrast.mistake)}. It must part at {contrast.must}."
            for contrast in study.contrasts
        )
        blocks += [Heading(level, "What must part"), Paragraph("Planted mistakes, which show that the check is awake:")]
        blocks.append(Bullets(mistakes))
    return blocks
