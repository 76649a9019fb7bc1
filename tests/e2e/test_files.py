"""A tree of 5,000 files and one of 200 MB: copied, packed, searched and summed in a guest with less
memory than they have bytes; afterwards e2fsck finds nothing and the host reads the same."""

import hashlib
import os
import random
from pathlib import Path

import pytest

from support import SEED

FILES = 5000
BIG = 200 << 20
SIZES = (0, 1, 100, 1000, 4095, 4096, 4097, 9000)
SUM = "cd $1 && find . -type f -print0 | sort -z | xargs -0 md5sum | md5sum\n"
TARGETS = (1, 59, 60, 61, 300)  # symbolic links: up to 59 bytes stand in the inode


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """FILES entries: files of sizes around a block, some bigger, links, folders six deep."""
    rng = random.Random(SEED)
    root = tmp_path_factory.mktemp("tree") / "tree"
    root.mkdir()
    folders = [root]
    for i in range(FILES - 1):
        parent, kind = rng.choice(folders), rng.random()
        if kind < 0.05 and len(parent.relative_to(root).parts) < 6:
            folders.append(parent / f"folder {i}")
            folders[-1].mkdir()
        elif kind < 0.09:
            (parent / f"link{i}").symlink_to("t" * rng.choice(TARGETS))
        else:
            size = rng.choice(SIZES) if rng.random() < 0.97 else rng.randrange(300_000)
            (parent / ("f" * rng.randrange(1, 60) + str(i))).write_bytes(rng.randbytes(size))
    # a folder of one block is not enough for these
    (folders[1] / "many").mkdir()
    for i in range(300):
        (folders[1] / "many" / f"a name of some length {i}").touch()
    return root


def contents(root):
    """{relative name: what is there} of a folder on the host."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder) / name
            relative = path.relative_to(root).as_posix()
            if path.is_symlink():
                found[relative] = os.readlink(path)
            elif path.is_dir():
                found[relative] = None
            else:
                found[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_tree(terminal, disk, tree, tmp_path, fsck):
    """Copies with cp -r and tar, in a guest that a person would power off."""
    expected = contents(tree)
    (tmp_path / "sum").write_text(SUM)
    child = terminal("--disk", disk, "--mem", "64M", "--copy-in", f"{tree}:/tree",
                     "--copy-in", f"{tmp_path}/sum:/sum", "--copy-out", f"/copy:{tmp_path}/copy",
                     "--copy-out", f"/out/tree:{tmp_path}/out", limit=200)
    child.timeout = 150
    assert child.enter("find /tree | wc -l") == str(len(expected) + 1)
    child.enter("cp -r /tree /copy")
    child.enter("mkdir /out && tar cf /tree.tar tree && tar xf /tree.tar -C /out")
    lines = [child.enter(f"sh /sum {where}") for where in ("/tree", "/copy", "/out/tree")]
    assert len(lines[0]) == 35 and lines == [lines[0]] * 3, lines
    assert child.enter("find /copy -type l | wc -l") == str(sum(
        os.path.islink(tree / name) for name in expected))
    assert child.enter("rm -rf /tree /tree.tar; ls -d /tree*").endswith("No such file or directory")
    assert child.power_off() == 0
    fsck(disk)
    assert contents(tmp_path / "copy") == expected
    assert contents(tmp_path / "out") == expected


def test_big_file(shell, disk, tmp_path, fsck):
    """Doubly indirect blocks, and three times the memory there is."""
    data = random.Random(SEED).randbytes(BIG)
    (tmp_path / "big").write_bytes(data)
    r = shell("--disk", disk, "--mem", "64M", "--copy-in", f"{tmp_path}/big:/big",
              "--copy-out", f"/copy:{tmp_path}/copy", script="cp /big /copy && md5sum </copy", limit=150)
    assert r.status == 0 and r.text.split()[0] == hashlib.md5(data).hexdigest(), r
    assert (tmp_path / "copy").read_bytes() == data
    fsck(disk)
