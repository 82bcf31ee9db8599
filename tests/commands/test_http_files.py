"""What a path of a request leads to: files, listings, redirections, and never anything outside."""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.commands.http.files import Content, Files
from vnic.commands.http.request import HttpError
from vnic.fuzz.effort import examples

SECRET = b"outside"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory to serve, with things around it that must not be reached."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "rooted").mkdir()
    (tmp_path / "rooted" / "secret").write_bytes(SECRET)
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "file.txt").write_bytes(b"inside")
    (root / "a b&<c>").write_bytes(b"odd name")
    (root / "sub" / "index.html").write_bytes(b"<p>index")
    (root / "inner").symlink_to("file.txt")
    (root / "outer").symlink_to(tmp_path / "secret")
    (root / "folder-out").symlink_to(tmp_path)
    (root / "beside").symlink_to(tmp_path / "rooted")
    (root / "loop").symlink_to("loop")
    return root


def read(files: Files, path: bytes) -> bytes:
    """The content at a path."""
    with files.open(path) as content:
        return content.read(0, content.size)


def refusal(files: Files, path: bytes) -> HttpError:
    """How a path is refused."""
    with pytest.raises(HttpError) as caught:
        files.open(path).close()
    return caught.value


def test_files_and_links_within(root: Path) -> None:
    files = Files(root)
    assert read(files, b"/file.txt") == read(files, b"//./file.txt") == read(files, b"/inner") == b"inside"
    assert read(files, b"/a b&<c>") == b"odd name"
    with files.open(b"/file.txt") as content:
        assert content.kind == "text/plain" and content.etag and content.last_modified


@pytest.mark.parametrize(
    "path",
    [
        b"/../secret", b"/sub/../../secret", b"/..", b"/sub/..", b"/./../secret",
        b"/outer", b"/folder-out/secret", b"/beside/secret", b"/beside", b"/folder-out/",
    ],
)  # fmt: skip
def test_nothing_outside_is_reached(root: Path, path: bytes) -> None:
    assert refusal(Files(root), path).status is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("path", [b"/none", b"/file.txt/", b"/file.txt/x", b"/loop", b"/" + b"x" * 300])
def test_what_is_not_there(root: Path, path: bytes) -> None:
    assert refusal(Files(root), path).status is HTTPStatus.NOT_FOUND


def test_paths_that_are_none(root: Path) -> None:
    assert refusal(Files(root), b"/a\0b").status is HTTPStatus.BAD_REQUEST
    assert refusal(Files(root), b"*").status is HTTPStatus.BAD_REQUEST


def test_what_is_no_file_is_not_opened_for_long(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert refusal(Files(root), b"/pipe").status is HTTPStatus.FORBIDDEN


def test_no_rights(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert refusal(Files(root), b"/file.txt").status is HTTPStatus.FORBIDDEN


def test_a_directory_ends_in_a_slash(root: Path) -> None:
    (root / "a b").mkdir()
    error = refusal(Files(root), b"/a b")
    assert error.status is HTTPStatus.MOVED_PERMANENTLY and error.fields == (("Location", "/a%20b/"),)
    # A path of slashes must not become the name of a host.
    assert refusal(Files(root), b"//sub").fields == (("Location", "/sub/"),)


def test_a_listing_names_what_can_be_fetched_and_an_index_takes_its_place(root: Path) -> None:
    files = Files(root)
    page = read(files, b"/").decode()
    assert '<a href="./a%20b%26%3Cc%3E">a b&amp;&lt;c&gt;</a>' in page
    assert "./sub/" in page and "inner" in page
    assert "loop" not in page and "outer" not in page and "folder-out" not in page and "beside" not in page
    assert read(files, b"/sub/") == b"<p>index"
    assert b"<li>" not in read(files, b"/sub/deep/")


def test_only_a_directory_is_served(root: Path) -> None:
    for wrong in (root / "file.txt", root / "none"):
        with pytest.raises(OSError):
            Files(wrong)


def test_a_file_stays_open_while_it_is_replaced(root: Path) -> None:
    content: Content = Files(root).open(b"/file.txt")
    with content:
        (root / "other").write_bytes(b"new")
        os.replace(root / "other", root / "file.txt")
        assert content.read(0, 6) == b"inside"


@examples(60)
@given(
    parts=st.lists(st.sampled_from([b"..", b".", b"sub", b"deep", b"outer", b"folder-out", b"secret", b""]))
)
def test_no_path_leads_out(root: Path, parts: list[bytes]) -> None:
    try:
        content = Files(root).open(b"/" + b"/".join(parts))
    except HttpError:
        return
    with content:
        assert SECRET not in content.read(0, content.size)
