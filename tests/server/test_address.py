from __future__ import annotations

import pytest

from exprd_compiler.errors import CallError
from exprd_server.address import SocketOwner, parse_address


@pytest.mark.parametrize(
    ("text", "target", "local"),
    [
        ("127.0.0.1:0", "127.0.0.1:0", True),
        ("localhost:50051", "localhost:50051", True),
        ("[::1]:7", "[::1]:7", True),
        ("0.0.0.0:50051", "0.0.0.0:50051", False),
        ("[::]:1", "[::]:1", False),
        ("example.org:1", "example.org:1", False),
        ("unix:///tmp/x.sock", "unix:///tmp/x.sock", True),
        ("unix:/tmp/x.sock", "unix:///tmp/x.sock", True),
    ],
)
def test_addresses_are_understood(text, target, local):
    address = parse_address(text)
    assert (address.target, address.local) == (target, local)


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:x", "host:65536", "a:-1"])
def test_other_texts_are_refused(text):
    with pytest.raises(CallError, match="is no address"):
        parse_address(text)


def test_long_socket_paths_are_refused():
    with pytest.raises(CallError, match="longer than"):
        parse_address("unix:///" + "x" * 200)


def test_a_socket_has_one_owner(tmp_path):
    path = tmp_path / "s"
    path.touch()
    with SocketOwner(str(path)):
        assert not path.exists()  # what a dead server left
        with pytest.raises(OSError, match="another server"), SocketOwner(str(path)):
            pass
        path.touch()
    assert not path.exists()
    with SocketOwner(str(path)):
        pass


def test_a_socket_without_a_folder_is_refused(tmp_path):
    path = tmp_path / "nowhere" / "s"
    with pytest.raises(CallError, match="cannot be made") as caught, SocketOwner(str(path)):
        pass
    assert "folder" in caught.value.hint
