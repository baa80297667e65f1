"""Layouts that people's data have: what becomes of each, from reading to a training tool's file.

Every layout below is written by us, after public data sets and reports. It is read, its prompts for
a rater are built, it is embedded, exported for every tool in its first layout (with --lossy where
the export refuses, and the refusal is shown), read back, and read by the tool's own loader where it
is installed. Printed is a row a layout: the format, the examples, what was set aside, what each
tool's file lost, whether the same came back, and what the loader did not find.

    python benchmarks/layouts.py [NAME …]
"""

import csv
import importlib.util
import io
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _loaders import LOADERS, PACKAGES, loaded

from ds2.errors import Ds2Warning, InputError
from ds2.pool import Handoff, Pool, hand_off, read_pool, write_pool

TOOLS = ("trl", "axolotl", "llama-factory", "unsloth", "parquet")
N = 6
ASK = [f"Why does the river number {i} flood in spring?" for i in range(N)]
SAY = [f"Because snow melts and the soil of valley {i} is full." for i in range(N)]
TOOL = [{"type": "function", "function": {"name": "lookup", "description": "Look a thing up.",
         "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}}]  # fmt: skip


def user(text: object) -> dict[str, object]:
    return {"role": "user", "content": text}


def said(text: object, **more: object) -> dict[str, object]:
    return {"role": "assistant", "content": text, **more}


def human(text: object) -> dict[str, object]:
    return {"from": "human", "value": text}


def gpt(text: object, **more: object) -> dict[str, object]:
    return {"from": "gpt", "value": text, **more}


def call(i: int, arguments: object) -> dict[str, object]:
    function = {"name": "lookup", "arguments": arguments}
    return {"id": f"c{i}", "type": "function", "function": function}


def each(make: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    return [make(i) for i in range(N)]


def jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def table(rows: list[dict[str, Any]], separator: str = ",") -> str:
    text = io.StringIO()
    out = csv.DictWriter(text, list(rows[0]), delimiter=separator, lineterminator="\n")
    out.writeheader()
    out.writerows(rows)
    return text.getvalue()


def openai_tools(i: int, arguments: object) -> dict[str, Any]:
    turns = [user(ASK[i]), said(None, tool_calls=[call(i, arguments)]),
             {"role": "tool", "tool_call_id": f"c{i}", "content": "42"}, said(SAY[i])]  # fmt: skip
    return {"messages": turns, "tools": TOOL}


QA = each(lambda i: {"instruction": ASK[i], "output": SAY[i]})
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}

#: name → (file, its text or bytes, arguments of read_pool).
Layout = tuple[str, Any, dict[str, Any]]
LAYOUTS: dict[str, Layout] = {
    "alpaca": ("p.jsonl", jsonl(QA), {}),
    "alpaca, input and system": (
        "p.jsonl",
        jsonl(each(lambda i: {**QA[i], "input": f"Valley {i}", "system": "Be brief."})),
        {},
    ),
    "alpaca, history": (
        "p.jsonl", jsonl(each(lambda i: {**QA[i], "history": [["Hi", "Hello"]]})), {}),
    "alpaca, null answers": (
        "p.jsonl", jsonl(each(lambda i: {**QA[i], "output": SAY[i] if i else None})), {}),
    "alpaca, null alias": (
        "p.jsonl",
        jsonl(each(lambda i: {"instruction": ASK[i], "output": None, "response": SAY[i]})), {}),
    "messages": ("p.jsonl", jsonl(each(lambda i: {"messages": [user(ASK[i]), said(SAY[i])]})), {}),
    "messages, content first": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            {"content": ASK[i], "role": "user"}, {"content": SAY[i], "role": "assistant"}]})), {}),
    "messages, developer": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            {"role": "developer", "content": "Be brief."}, user(ASK[i]), said(SAY[i])]})), {}),
    "messages, text parts": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user([{"type": "text", "text": ASK[i]}]), said([{"type": "text", "text": SAY[i]}])]})),
        {}),
    "messages, parts type and value": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user([{"type": "text", "value": ASK[i]}]),
            said([{"type": "text", "value": SAY[i]}])]})), {}),
    "messages, image part": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user([IMAGE, {"type": "text", "text": ASK[i]}]), said(SAY[i])]})), {}),
    "messages, audio part": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user([{"type": "audio", "audio": f"a{i}.wav"}, {"type": "text", "text": ASK[i]}]),
            said(SAY[i])]})), {}),
    "messages, images column": (
        "p.jsonl",
        jsonl(each(lambda i: {"images": [f"{i}.jpg"],
                              "messages": [user("<image>" + ASK[i]), said(SAY[i])]})), {}),
    "messages, images without a place": (
        "p.jsonl",
        jsonl(each(lambda i: {"images": [f"{i}.jpg"],
                              "messages": [user(ASK[i]), said(SAY[i])]})), {}),
    "messages, image lost before": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user([{"type": "image"}, {"type": "text", "text": ASK[i]}]), said(SAY[i])]})), {}),
    "messages, videos": (
        "p.jsonl",
        jsonl(each(lambda i: {"videos": [f"{i}.mp4"],
                              "messages": [user("<video>" + ASK[i]), said(SAY[i])]})), {}),
    "messages, the word <image>": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user("What does <image> mean in SVG? " + ASK[i]), said(SAY[i])]})), {}),
    "messages, as JSON text": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": json.dumps([user(ASK[i]), said(SAY[i])])})), {}),
    "messages, list of texts": (
        "p.jsonl", jsonl(each(lambda i: {"dialogue": [ASK[i], SAY[i]]})), {}),
    "OpenAI tools, arguments as text": (
        "p.jsonl", jsonl(each(lambda i: openai_tools(i, json.dumps({"q": i})))), {}),
    "OpenAI tools, arguments as objects": (
        "p.jsonl", jsonl(each(lambda i: openai_tools(i, {f"k{i}": i}))), {}),
    "OpenAI tools, tools as text": (
        "p.jsonl",
        jsonl(each(lambda i: {**openai_tools(i, {"q": i}), "tools": json.dumps(TOOL)})), {}),
    "OpenAI function_call": (
        "p.jsonl",
        jsonl(each(lambda i: {"functions": [TOOL[0]["function"]], "messages": [
            user(ASK[i]), said(None, function_call={"name": "lookup", "arguments": "{}"}),
            {"role": "function", "name": "lookup", "content": "1"}, said(SAY[i])]})), {}),
    "OpenAI, two calls at once": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user(ASK[i]), said("", tool_calls=[call(1, "{}"), call(2, "{}")]),
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": "2"}, said(SAY[i])]})), {}),
    "OpenAI, text beside a call": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user(ASK[i]), said("Let me look.", tool_calls=[call(1, "{}")]),
            {"role": "tool", "tool_call_id": "c1", "content": "1"}, said(SAY[i])]})), {}),
    "ends with a call": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user(ASK[i]), said(None, tool_calls=[call(i, "{}")]) if i < 3 else said(SAY[i])]})),
        {}),
    "Anthropic blocks": (
        "p.jsonl",
        jsonl(each(lambda i: {"system": "Be brief.", "messages": [
            user(ASK[i]),
            said([{"type": "text", "text": "I look."},
                  {"type": "tool_use", "id": "t1", "name": "lookup", "input": {"q": i}}]),
            user([{"type": "tool_result", "tool_use_id": "t1", "content": "1"}]),
            said([{"type": "text", "text": SAY[i]}])]})), {}),
    "tools stay null in Parquet shape": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            {**user(ASK[i]), "tool_calls": None, "name": None},
            {**said(SAY[i]), "tool_calls": None, "name": None}]})), {}),
    "reasoning_content": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user(ASK[i]), said(SAY[i], reasoning_content="Snow melts.")]})), {}),
    "<think>": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user(ASK[i]), said(f"<think>\nSnow.\n</think>\n\n{SAY[i]}")]})), {}),
    "<think> and no answer": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user(ASK[i]), said("<think>\nSnow.\n</think>" + (SAY[i] if i else ""))]})), {}),
    "weight 0": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user("Hi"), said("Hello", weight=0), user(ASK[i]), said(SAY[i], weight=1)]})), {}),
    "train false": (
        "p.jsonl",
        jsonl(each(lambda i: {"conversations": [
            human("Hi"), gpt("Hello", train=False), human(ASK[i]), gpt(SAY[i], train=True)]})), {}),
    "loss per turn": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user("Hi"), said("Hello", loss=False), user(ASK[i]), said(SAY[i], loss=True)]})), {}),
    "all weights 1": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [user(ASK[i]), said(SAY[i], weight=1)]})), {}),
    "nothing to learn": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [user(ASK[i]), said(SAY[i], weight=min(i, 1))]})), {}),
    "ends with the user": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user(ASK[i]), said(SAY[i]), *([user("Thanks")] if i < 2 else [])]})), {}),
    "sharegpt": (
        "p.jsonl", jsonl(each(lambda i: {"conversations": [human(ASK[i]), gpt(SAY[i])]})), {}),
    "sharegpt, from and content": (
        "p.jsonl",
        jsonl(each(lambda i: {"conversations": [
            {"from": "user", "content": ASK[i]}, {"from": "assistant", "content": SAY[i]}]})), {}),
    "sharegpt, function_call": (
        "p.jsonl",
        jsonl(each(lambda i: {"tools": json.dumps([TOOL[0]["function"]]), "conversations": [
            human(ASK[i]),
            {"from": "function_call", "value": json.dumps({"name": "lookup", "arguments": {}})},
            {"from": "observation", "value": "1"}, gpt(SAY[i])]})), {}),
    "sharegpt, own roles": (
        "p.jsonl",
        jsonl(each(lambda i: {"conversations": [
            {"from": "Kunde", "value": ASK[i]}, {"from": "Berater", "value": SAY[i]}]})),
        {"roles": {"Kunde": "user", "Berater": "assistant"}}),
    "prompt and response": (
        "p.jsonl", jsonl(each(lambda i: {"prompt": ASK[i], "response": SAY[i]})), {}),
    "prompt and completion, texts": (
        "p.jsonl", jsonl(each(lambda i: {"prompt": ASK[i], "completion": SAY[i]})), {}),
    "prompt and completion, lists": (
        "p.jsonl",
        jsonl(each(lambda i: {"prompt": [user(ASK[i])], "completion": [said(SAY[i])]})), {}),
    "names in capitals": (
        "p.jsonl", jsonl(each(lambda i: {"Question": ASK[i], "Answer": SAY[i]})), {}),
    "names of their own": (
        "p.jsonl", jsonl(each(lambda i: {"frage": ASK[i], "antwort": SAY[i]})),
        {"columns": {"prompt": "frage", "response": "antwort"}}),
    "preference, TRL texts": (
        "p.jsonl",
        jsonl(each(lambda i: {"prompt": ASK[i], "chosen": SAY[i], "rejected": "No."})), {}),
    "preference, TRL lists": (
        "p.jsonl",
        jsonl(each(lambda i: {"prompt": [user(ASK[i])], "chosen": [said(SAY[i])],
                              "rejected": [said("No.")]})), {}),
    "preference, TRL without a prompt": (
        "p.jsonl",
        jsonl(each(lambda i: {"chosen": [user(ASK[i]), said(SAY[i])],
                              "rejected": [user(ASK[i]), said("No.")]})), {}),
    "preference, prompt and whole sides": (
        "p.jsonl",
        jsonl(each(lambda i: {"prompt": ASK[i], "chosen": [user(ASK[i]), said(SAY[i])],
                              "rejected": [user(ASK[i]), said("No.")]})), {}),
    "preference, transcripts": (
        "p.jsonl",
        jsonl(each(lambda i: {"chosen": f"\n\nHuman: {ASK[i]}\n\nAssistant: {SAY[i]}",
                              "rejected": f"\n\nHuman: {ASK[i]}\n\nAssistant: No."})), {}),
    "preference, LLaMA-Factory sharegpt": (
        "p.jsonl",
        jsonl(each(lambda i: {"conversations": [human(ASK[i])], "chosen": gpt(SAY[i]),
                              "rejected": gpt("No.")})), {}),
    "preference, LLaMA-Factory alpaca": (
        "p.jsonl",
        jsonl(each(lambda i: {"instruction": ASK[i], "input": "", "chosen": SAY[i],
                              "rejected": "No."})), {}),
    "KTO, TRL": (
        "p.jsonl",
        jsonl(each(lambda i: {"prompt": ASK[i], "completion": SAY[i], "label": i > 1})), {}),
    "KTO, LLaMA-Factory": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [user(ASK[i]), said(SAY[i])], "kto_tag": i > 1})), {}),
    "JSON list": ("p.json", json.dumps(QA), {}),
    "JSON object with a list": ("p.json", json.dumps({"version": 1, "data": QA}), {}),
    "JSON objects one after another": (
        "p.json", "\n".join(json.dumps(row, indent=2) for row in QA), {}),
    "JSON objects on one line": ("p.jsonl", "".join(map(json.dumps, QA)), {}),
    "JSON objects with commas": ("p.jsonl", ",\n".join(map(json.dumps, QA)), {}),
    "JSON, CR only": ("p.jsonl", jsonl(QA).replace("\n", "\r"), {}),
    "CSV": ("p.csv", table(QA), {}),
    "CSV, semicolons": ("p.csv", table(QA, ";"), {}),
    "CSV, bars": ("p.csv", table(QA, "|"), {}),
    "CSV, sep= line": ("p.csv", "sep=;\n" + table(QA, ";"), {}),
    "CSV, byte order mark": ("p.csv", "\ufeff" + table(QA), {}),
    "CSV, CR only": ("p.csv", table(QA).replace("\n", "\r"), {}),
    "CSV, empty columns": (
        "p.csv", "".join(line + ",,\n" for line in table(QA).splitlines()), {}),
    "CSV, index column": (
        "p.csv", table(each(lambda i: {"": i, "instruction": ASK[i], "output": SAY[i]})), {}),
    "CSV, separators behind rows": (
        "p.csv",
        "instruction,output\n" + "".join(f"{ASK[i]},{SAY[i]},\n" for i in range(N)), {}),
    "CSV, turns as Python": (
        "p.csv", table(each(lambda i: {"messages": str([user(ASK[i]), said(SAY[i])])})), {}),
    "CSV, turns as JSON": (
        "p.csv", table(each(lambda i: {"messages": json.dumps([user(ASK[i]), said(SAY[i])])})), {}),
    "TSV": ("p.tsv", table(QA, "\t"), {}),
    "TSV, quotes are text": (
        "p.tsv",
        "instruction\toutput\n" + "".join(f'{ASK[i]}\t"{SAY[i]}\n' for i in range(N)), {}),
    "Hermes, <tool_call> in the text": (
        "p.jsonl",
        jsonl(each(lambda i: {"tools": json.dumps(TOOL), "conversations": [
            human(ASK[i]), gpt('<tool_call>\n{"name": "lookup", "arguments": {}}\n</tool_call>'),
            {"from": "tool", "value": "<tool_response>1</tool_response>"}, gpt(SAY[i])]})), {}),
    "Hermes, ends with <tool_call>": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user(ASK[i]), said(SAY[i] if i > 1 else '<tool_call>{"name": "f"}</tool_call>')]})),
        {}),
    "Anthropic, system as parts": (
        "p.jsonl",
        jsonl(each(lambda i: {"system": [{"type": "text", "text": "Be brief."}], "messages": [
            user(ASK[i]), said([{"type": "text", "text": SAY[i]}])]})), {}),
    "Anthropic, image as data": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user([{"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                               "data": "QUJD"}}, {"type": "text", "text": ASK[i]}]),
            said(SAY[i])]})), {}),
    "Anthropic, encrypted reasoning": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [
            user(ASK[i]), said([{"type": "redacted_thinking", "data": "zz"},
                                {"type": "text", "text": SAY[i]}])]})), {}),
    "messages, by column": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": {
            "role": ["user", "assistant"], "content": [ASK[i], SAY[i]]}})), {}),
    "aliases that are mostly null": (
        "p.jsonl",
        jsonl(each(lambda i: {"instruction": None, "prompt": ASK[i], "input": None, "output": None,
                              "response": None, "completion": SAY[i], "messages": None})), {}),
    "text, ### Human": (
        "p.jsonl", jsonl(each(lambda i: {"text": f"### Human: {ASK[i]}### Assistant: {SAY[i]}"})),
        {}),
    "text, [INST]": (
        "p.jsonl",
        jsonl(each(lambda i: {"text": f"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n{ASK[i]} [/INST] "
                                      f"{SAY[i]} </s>"})), {}),
    "text, ChatML": (
        "p.jsonl",
        jsonl(each(lambda i: {"text": f"<|im_start|>user\n{ASK[i]}<|im_end|>\n"
                                      f"<|im_start|>assistant\n{SAY[i]}<|im_end|>\n"})), {}),
    "text, USER and FUNCTION RESPONSE": (
        "p.jsonl",
        jsonl(each(lambda i: {"system": "Be brief.", "chat": (
            f"USER: {ASK[i]}\n\n\nASSISTANT: <functioncall> {{}} <|endoftext|>\n\n\n"
            f"FUNCTION RESPONSE: 1\n\n\nASSISTANT: {SAY[i]} <|endoftext|>")})), {}),
    "rounds of input and output": (
        "p.jsonl",
        jsonl(each(lambda i: {"conversation": [
            {"input": "Hi", "output": "Hello"}, {"input": ASK[i], "output": SAY[i]}]})), {}),
    "Gemini contents": (
        "p.jsonl",
        jsonl(each(lambda i: {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [
            {"role": "user", "parts": [{"text": ASK[i]}]},
            {"role": "model", "parts": [{"text": SAY[i]}]}]})), {}),
    "one tool alone, as Anthropic has it": (
        "p.jsonl",
        jsonl(each(lambda i: {**openai_tools(i, {"q": i}), "tools": {
            "name": "lookup", "description": "Look a thing up.",
            "input_schema": {"type": "object", "properties": {}}}})), {}),
    "names of speakers": (
        "p.jsonl",
        jsonl(each(lambda i: {"messages": [{**user(ASK[i]), "name": "Bo"}, said(SAY[i])]})), {}),
    "ids as floats": ("p.jsonl", jsonl(each(lambda i: {**QA[i], "id": float(i)})), {}),
}  # fmt: skip


def stubbed(pool: Pool) -> int:
    """Build the prompt of every example, as for a rater; return the characters left out."""
    from ds2.rating import PromptBuilder, Rubric

    builder = PromptBuilder(Rubric.ds2(), "nonce", "structured", max_tokens=2000)
    return sum(builder.build(example.messages).left_out for example in pool)


def handed(pool: Pool, folder: Path, tool: str) -> tuple[str, str, str]:
    """Export for a tool: what is lost, does the file read back as the same, and what its loader
    makes of it.
    """  # noqa: D205
    lost = ""
    try:
        done = hand_off(pool, folder, tool=tool, name=tool)
    except InputError as error:
        lost = str(error).partition("have: ")[2].partition(". ")[0].rstrip(".") or str(error)
        done = hand_off(pool, folder, tool=tool, name=tool, lossy=True)
    try:
        again = read_pool(done.files[0], no_answer="keep")
    except InputError as error:
        return lost, f"not read back: {error}", ""
    alike = [said_in(a.text()) == said_in(b.text()) for a, b in zip(pool, again, strict=True)]
    back = "same" if all(alike) else "but for what is lost" if lost else "other turns"
    return lost, back, by_the_loader(pool, tool, done)


def by_the_loader(pool: Pool, tool: str, done: Handoff) -> str:
    """Say in how many rows the tool's loader finds every question and every answer."""
    try:
        made = loaded(tool, done)
    except Exception as error:
        return f"its loader stops: {type(error).__name__}: {error}"
    if made is None:
        return ""
    whole = sum(
        all(said_in(word) in said_in(text) for word in (*ASK, *SAY) if word in example.text())
        for example, text in zip(pool, made, strict=True)
    )
    return "" if whole == len(pool) else f"its loader finds {whole} of {len(pool)}"


def said_in(text: str) -> str:
    """The words of a conversation: tools write the places of media with other white space."""
    return " ".join(re.sub("<(image|video|audio)>", " ", text).split())


def measure(name: str, folder: Path) -> dict[str, object]:
    """Take one layout all the way."""
    file, text, arguments = LAYOUTS[name]
    path = folder / file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    row: dict[str, object] = {"layout": name}
    try:
        pool = read_pool(path, **arguments)
    except InputError as error:
        return row | {"error": str(error)}
    from ds2.embedding import embed

    vectors = embed(pool)
    row |= {"format": pool.format, "examples": len(pool), "aside": len(pool.rejects)}
    row |= {"left_out": stubbed(pool), "embedded": bool(np.isfinite(vectors).all())}
    out = folder / f"again{path.suffix}"
    write_pool(pool, out, format=pool.format)
    named = ("columns", "roles")  # a row is written with the usual names
    back = read_pool(out, **{k: v for k, v in arguments.items() if k not in named})
    row["round_trip"] = [e.text() for e in back] == [e.text() for e in pool]
    for tool in TOOLS:
        row[tool] = handed(pool, folder, tool)
    return row


def rows(names: list[str]) -> Iterator[dict[str, object]]:
    """Measure layouts by name."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            yield measure(name, Path(folder))


def main() -> None:
    """Print the table and one JSON line."""
    warnings.simplefilter("ignore", Ds2Warning)
    names = [name for name in LAYOUTS if not sys.argv[1:] or name in sys.argv[1:]]
    found = []
    print(f"{'layout':36} {'format':16} {'read':>4} {'aside':>5} trip  tools")
    for row in rows(names):
        found.append(row)
        if "error" in row:
            print(f"{row['layout']:36} ERROR {row['error']}")
            continue
        tools: list[str] = []
        for tool in TOOLS:
            lost, back, found_by = row[tool]  # type: ignore[misc]
            told = "; ".join(said for said in (back, found_by) if said not in ("", "same"))
            tools.append(f"{tool}: {lost or 'whole'}{f' ({told})' if told else ''}")
        trip = "same" if row["round_trip"] else "NO"
        print(
            f"{row['layout']:36} {row['format']:16} {row['examples']:>4} {row['aside']:>5} {trip}  "
            f"{'; '.join(tools)}"
        )
    whole = sum("error" not in row and row["round_trip"] is True for row in found)
    there = [tool for tool in LOADERS if importlib.util.find_spec(PACKAGES[tool]) is not None]
    print(f"Loaders: {', '.join(there) or 'none'} (the others are not installed).")
    print(f"{whole} of {len(found)} layouts read, rated, embedded, exported and read back.")
    print(json.dumps({"layouts": len(found), "whole": whole, "rows": found}))


if __name__ == "__main__":
    main()
