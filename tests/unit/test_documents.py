"""The reader of users' files: what it takes, and what it refuses with which words."""

from __future__ import annotations

import os
import time

import pytest
from grpc_lb_lab import documents


def refusal(text: str) -> str:
    with pytest.raises(documents.DocumentError) as caught:
        documents.parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("# nothing", None),
        ("a: [1, 2.5, yes, ~, x]", {"a": [1, 2.5, True, None, "x"]}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}),
        ("a: '2020-01-01'", {"a": "2020-01-01"}),
        ("--- # one\na: 1\n...\n", {"a": 1}),
        (
            "a: 'für 5\u00a0€, 中文, \U0001f469\u200d\U0001f4bb'",
            {"a": "für 5\u00a0€, 中文, \U0001f469\u200d\U0001f4bb"},
        ),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ('{"a": {"b": [1e3]}}', {"a": {"b": ["1e3"]}}),
        (f"a: {'9' * documents.MOST_DIGITS}", {"a": int("9" * documents.MOST_DIGITS)}),
    ],
)
def test_what_is_read(text, data):
    assert documents.parse(text) == data


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "line 2: the key a stands there twice"),
        ("a: {b: 1, b: 1}", "line 1: the key b stands there twice"),
        ("a: 2020-13-45", "line 1: 2020-13-45 is a date; allowed is '2020-13-45' in quotes"),
        ("a: .nan", "a: nan; allowed is a finite number"),
        ("a:\n- 1\n- -.inf", "a.1: -inf; allowed is a finite number"),
        ("a: !!int abc", "line 1: the tag tag:yaml.org,2002:int; allowed is YAML without tags"),
        ("!!python/object/apply:os.system [id]", "allowed is YAML without tags"),
        (f"a: {'9' * 5000}", "allowed are at most 18 digits"),
        (f"a: 0x{'f' * 30}", "a number of more than 18 digits"),
        ("a: 1:30", "the number 1:30; allowed are at most 18 digits"),
        ("1: a", "line 1: the key 1 is no text"),
        ("yes: a", "line 1: the key yes is no text; allowed are texts, such as 'yes' in quotes"),
        ("? [a]\n: b", "line 1: the key in brackets is no text"),
        ("a: 1\n---\nb: 2", "several documents; allowed is one"),
        ("a: &a [*a]", "the alias *a stands for nothing"),
        ("a: [", "allowed is YAML"),
        ("\ta: 1", "line 1: found character that cannot start any token; allowed is YAML"),
        ("a: \x00", "allowed is YAML"),
        ('a: "\\e[31m"', "a: the control character U+001B in \\x1b[31m; allowed is plain text"),
        ('"\\u202e": 1', "a key has the control character U+202E"),
        (f"a: {'x' * 10_001}", "a: a text of 10,001 characters; allowed are 10,000"),
        (f"a: [{'1, ' * 10_000}]", "more than 10,000 values"),
        ("[" * 100_000, "nested deeper than 32 levels"),
    ],
)
def test_what_is_refused(text, words):
    message = refusal(text)
    assert words in message
    assert message.isprintable()
    assert len(message) <= 300


def test_aliases_that_multiply_are_counted_before_anything_is_built():
    lines = ["x0: &x0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 30)]
    began = time.process_time()
    assert "more than 10,000 values" in refusal("\n".join(lines))
    assert time.process_time() - began < 1


def test_aliases_that_nest_are_as_deep_as_what_they_stand_for():
    lines = ["x0: &x0 [1]", *(f"x{n}: &x{n} [*x{n - 1}]" for n in range(1, 40))]
    assert "nested deeper than 32 levels" in refusal("\n".join(lines))


def test_the_largest_file_is_read_and_a_larger_one_is_not(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("#" * documents.MOST_BYTES)
    assert documents.read(path) is None
    path.write_text("#" * (documents.MOST_BYTES + 1))
    with pytest.raises(documents.DocumentError, match="larger than 256 KiB"):
        documents.read(path)


def test_links_to_files_are_files_and_the_rest_is_told_apart(tmp_path):
    (tmp_path / "file").write_text("a: 1")
    (tmp_path / "link").symlink_to("file")
    assert documents.read(tmp_path / "link") == {"a": 1}
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "latin").write_bytes(b"a: \xe9")
    kinds = {
        ".": "a folder; allowed is a regular file",
        "fifo": "a FIFO; allowed",
        "device": "a device; allowed",
        "dangling": "No such file or directory; allowed",
        "latin": "not UTF-8 at byte 4; allowed",
    }
    for name, words in kinds.items():
        with pytest.raises(documents.DocumentError, match=words):
            documents.read(tmp_path / name)


@pytest.mark.parametrize("data", [{"a": float("nan")}, {"a": 10**5000}, {1: 2}, {"a": "\x1b"}, {"a": object()}, (1,)])
def test_data_from_elsewhere_is_checked_alike(data):
    with pytest.raises(documents.DocumentError, match="allowed"):
        documents.check(data)
