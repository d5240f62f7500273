"""A gateway whose audit log lies on a file layer that can lose its power (tests/plug/plug.c), and what a power cut leaves."""
import mmap
import shutil
import struct
from pathlib import Path

from gateway import BINARY

LIBRARY = Path(BINARY).parent / "tests/libplug.so"
EXIT_STATUS = 86
# As in plug.c.
POINTS = {"write": 1, "sync": 2, "folder sync": 3, "name": 4, "any": 5}
MOMENTS = {"before": 0, "half": 1, "after": 2}
CONTROL = struct.Struct("=12i")
POINT, MOMENT, LEFT, WRITE_ERRNO, SYNC_ERRNO, LIES = range(6)


class Plug:
    """Of one gateway, whose audit folder is `live`. reset() before each start."""

    def __init__(self, live):
        assert LIBRARY.is_file(), f"there is no {LIBRARY}; build the target plug (./dev test does)"
        self.live = Path(live).resolve()
        self.shadow = self.live.with_name(self.live.name + ".shadow")
        self.environment = {"LD_PRELOAD": str(LIBRARY), "PLUG_FOLDER": str(self.live), "PLUG_SHADOW": str(self.shadow)}
        self.control = None

    def reset(self):
        """What lies in the folder now is on disk."""
        shutil.rmtree(self.shadow, ignore_errors=True)
        self.shadow.mkdir()
        names = []
        for path in self.live.iterdir() if self.live.is_dir() else ():
            inode = path.stat().st_ino
            shutil.copyfile(path, self.shadow / str(inode))
            names.append(f"{inode} {path.name}\n")
        (self.shadow / "names").write_text("".join(names))
        with open(self.shadow / "control", "w+b") as file:
            file.write(bytes(CONTROL.size))
            file.flush()
            self.control = mmap.mmap(file.fileno(), CONTROL.size)

    def _set(self, index, value):
        struct.pack_into("=i", self.control, 4 * index, value)

    def arm(self, point, moment, calls):
        """The process ends at so manieth such call from now."""
        self._set(MOMENT, MOMENTS[moment])
        self._set(LEFT, calls)
        self._set(POINT, POINTS[point])

    def fail(self, write=0, sync=0):
        """Every write, every sync fails with this errno; 0: none does."""
        self._set(WRITE_ERRNO, write)
        self._set(SYNC_ERRNO, sync)

    def lie(self):
        self._set(LIES, 1)

    def _durable(self):
        """Names that are on disk, with what is."""
        for line in (self.shadow / "names").read_text().splitlines():
            inode, _, name = line.partition(" ")
            content = self.shadow / inode
            yield name, inode, content.read_bytes() if content.is_file() else b""

    def cut(self, chance=None):
        """The folder becomes what the power cut leaves of it: what was brought to disk, and with `chance` (a random.Random) more than that: a part of what was
        written behind it, names that nobody had waited for yet."""
        left, paths = {}, {str(path.stat().st_ino): path for path in self.live.iterdir()}
        for name, inode, content in self._durable():
            if chance is not None and inode in paths:
                content = more_of(content, paths[inode], chance)
            if chance is None or (self.live / name).exists() or chance.random() < 0.5:
                left[name] = content
        skipped = set()  # a folder's names come to disk in the order in which they were made: of a chain none behind one that did not
        for path in sorted(self.live.iterdir()) if chance is not None else ():
            chain = path.name.rpartition("-")[0]
            if path.name in left:
                continue
            if chain in skipped or chance.random() < 0.5:
                skipped.add(chain)
                continue
            content = self.shadow / str(path.stat().st_ino)
            left[path.name] = more_of(content.read_bytes() if content.is_file() else b"", path, chance)
        shutil.rmtree(self.live)
        self.live.mkdir(mode=0o700)
        for name, content in left.items():
            (self.live / name).write_bytes(content)
            (self.live / name).chmod(0o600)


def more_of(content, path, chance):
    written = path.read_bytes()
    if chance.random() < 0.5 or not written.startswith(content):
        return content
    return written[: chance.randint(len(content), len(written))]
