"""The very long texts of the demo pool: a training plan day by day and a meeting's transcript."""

from __future__ import annotations

import numpy as np
from compute import Slots, pick

SPORTS = {
    "running": {
        "sport": "running",
        "event": "a hilly marathon",
        "test": "Run 3 km as evenly as you can and note time and pulse.",
        "technique": "Short quick steps: about 170 a minute at easy pace.",
    },
    "cycling": {
        "sport": "cycling",
        "event": "a 160 km cycling tour",
        "test": "Ride 20 minutes on a trainer and note the average power.",
        "technique": "Keep the cadence near 90 and brake before the bend, not in it.",
    },
    "swimming": {
        "sport": "swimming",
        "event": "a 5 km lake crossing",
        "test": "Swim 400 m and count the strokes of every second length.",
        "technique": "Breathe out under water completely, and look down, not ahead.",
    },
    "rowing": {
        "sport": "rowing",
        "event": "a 30 km river race in a rowing boat",
        "test": "Row 2,000 m on the machine at a stroke rate of at most 26.",
        "technique": "Legs, back, arms; and on the way forward the same in reverse.",
    },
}

SESSIONS = (
    (
        "Monday: full rest",
        "adaptation happens now and not in training; walk if you like, sleep eight hours, and "
        "prepare food for two days",
        "note your resting pulse before you get up",
    ),
    (
        "Tuesday: {hard} × 3 minutes hard with 2 minutes of easy movement between them",
        "raise the ceiling of your oxygen uptake; the last repetition should be as fast as the "
        "first",
        "stop one repetition early if your form falls apart",
    ),
    (
        "Wednesday: {easy} minutes easy",
        "bring blood to tired muscles without a new load; if it feels too slow, it is right",
        "finish with ten minutes of mobility for hips and ankles",
    ),
    (
        "Thursday: {steady} minutes steady in two halves, with five minutes of rest in the middle",
        "learn the effort you can hold for hours; the second half must not be slower",
        "drink every fifteen minutes, to practise it",
    ),
    (
        "Friday: 30 minutes of strength, three rounds of squats, lunges, planks and rows",
        "protect joints and keep technique when you are tired",
        "leave two repetitions in reserve in each set",
    ),
    (
        "Saturday: {easy} minutes easy with six relaxed accelerations of fifteen seconds",
        "wake the legs before the long day without tiring them",
        "lay out clothes, drinks and route in the evening",
    ),
    (
        "Sunday: the long one, {long} minutes, easy throughout",
        "teach the body to burn fat and the head to be patient; test food and equipment here and "
        "never on the day itself",
        "eat within an hour, with protein, and lie down for twenty minutes",
    ),
)

REMARKS = (
    "if it is hot, start two hours earlier",
    "with a partner if you can, because the second voice keeps the pace honest",
    "on a soft surface or in calm water",
    "without a watch for once, by feeling only",
    "write one sentence into the diary afterwards",
    "check your equipment for wear",
    "keep the shoulders low and the jaw loose",
    "shorten it by a third if work was hard",
    "take a snack along and eat it before you are hungry",
    "wind and rain are no excuse, but ice and thunderstorms are",
    "choose a new route every other time, since curiosity is the cheapest motivation",
    "listen to your breath instead of music",
    "count to four while you breathe in and to six while you breathe out",
    "on a journey, use the hotel's gym or the stairs",
)

TOPICS = (
    "the new website, the warehouse move, the training budget, the summer fair, the app release"
)
DAYS = "Monday, Tuesday, Wednesday, Thursday, Friday"
NAMES = "Grace, Henrik, Paula, Dmitri, Leila, Oscar, Wanda, Tariq, Mina, Jules"

UTTERANCES = (
    "I looked at {t} again, and {n} of the {m} open points are still waiting for an answer.",
    "Can we come back to {t}? Last time we said {day}, and that was {n} weeks ago.",
    "From my side {t} is fine, although nobody has tested it with real customers so far.",
    "I disagree. If we postpone {t}, the supplier will charge us {m}0 euros for each day.",
    "Let me share the figures: {m} requests in March, {n} of them about {t}.",
    "Sorry, I was on mute. I wanted to say that {other} has the file for {t}.",
    "Who decides that? I thought {other} was responsible for {t} until {day}.",
    "Could we write that down? Otherwise we shall discuss {t} again on {day}.",
    "We tried this two years ago with a team of {n}, and it failed because of the contract.",
    "I can prepare a draft, but I need the approval for {t} before {day}.",
    "Legal has {n} questions, and the most important is who signs for {t}.",
    "That is a good point, {other}. Still, the costs of {t} rose by {n} per cent.",
    "Let us park that. {other}, is the room free on {day} for a longer session on {t}?",
    "My worry is a different one: there is no plan for the case that {t} is late.",
)


def training_plan(rng: np.random.Generator) -> Slots:
    """A plan day by day (about 4,000 words) and the figures of the shorter plans."""
    name = pick(rng, ", ".join(SPORTS))
    weeks, base = int(rng.integers(12, 21)), int(rng.integers(25, 46))
    remarks = [str(remark) for remark in rng.permutation(REMARKS)[:3]]
    blocks = [_week(rng, week, weeks, base, remarks) for week in range(1, weeks + 1)]
    return {
        "sport_ing": name,
        **SPORTS[name],
        "weeks": str(weeks),
        "easy": str(base),
        "easy2": str(base + 10),
        "long": str(base + 25),
        "plan": "\n\n".join(blocks),
    }


def _week(rng: np.random.Generator, week: int, weeks: int, base: int, remarks: list[str]) -> str:
    recovery = week % 4 == 0 or week >= weeks - 1
    factor = 0.65 if recovery else 1.0
    load = {
        "hard": 3 if recovery else min(8, 4 + week // 4),
        "easy": round(factor * (base + week)),
        "steady": round(factor * (base + 2 * week)),
        "long": round(factor * (base + 30 + 6 * week)),
    }
    lines = [f"## Week {week} ({'recovery' if recovery else 'building'})"]
    for session, purpose, care in SESSIONS:
        rest = "full rest" in session
        remark = "" if rest else "; " + remarks[int(rng.integers(len(remarks)))]
        lines.append(f"- **{session.format(**load)}.** Purpose: {purpose}. Also: {care}{remark}.")
    if week % 4 == 0:
        lines.append(
            "**Check of the block.** Repeat the test of day one. Faster at the same pulse: go on. "
            "Unchanged: repeat this block with one hard session less. Slower: look at sleep first."
        )
    return "\n".join(lines)


def meeting(rng: np.random.Generator) -> Slots:
    """Who met, what about, and what is still open."""
    people = rng.permutation(NAMES.split(", "))
    topics = rng.permutation(TOPICS.split(", "))
    months = ["March", "May", "July", "September", "November"]
    month, budget = int(rng.integers(len(months) - 1)), int(rng.integers(11, 60))
    return {
        **{role: str(name) for role, name in zip(("lead", "a", "b", "c"), people, strict=False)},
        "topic1": str(topics[0]),
        "topic2": str(topics[1]),
        "due": pick(rng, DAYS),
        "month": months[month],
        "later": months[month + 1],
        "budget": str(budget),
        "budget2": str(budget + int(rng.integers(3, 9))),
    }


def transcript(rng: np.random.Generator) -> Slots:
    """A meeting with every word that was said (about 2,500 words)."""
    known = meeting(rng)
    people = [known[role] for role in ("lead", "a", "b", "c")]
    minute, lines = 0, []
    for _ in range(int(rng.integers(130, 220))):
        minute += int(rng.integers(0, 3))
        who, other = (people[i] for i in rng.permutation(len(people))[:2])
        line = UTTERANCES[int(rng.integers(len(UTTERANCES)))].format(
            t=known[("topic1", "topic2")[int(rng.integers(2))]],
            n=int(rng.integers(2, 12)),
            m=int(rng.integers(12, 60)),
            day=pick(rng, DAYS),
            other=other,
        )
        lines.append(f"[{10 + minute // 60}:{minute % 60:02d}] {who}: {line}")
    return known | {"transcript": "\n".join(lines)}
