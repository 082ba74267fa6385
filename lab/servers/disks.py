"""The disks of a simulated host, as ``df`` prints them (df(1), -P); the fault ``fill-disk`` fills the data disk."""

from __future__ import annotations

from dataclasses import dataclass

from lab.scenario import Estate


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system: blocks of 1024 bytes that users may fill, and how many of them are used; likewise inodes."""

    device: str
    mount: str
    blocks: int
    used: int
    inodes: int = 13_107_200
    inodes_used: int = 412_338


SYSTEM = Disk("/dev/sda1", "/", 48_703_348, 11_278_336)
DATA = Disk("/dev/sdb1", "/var/lib/ledger", 195_740_708, 60_190_720)
DISKS = (SYSTEM, DATA)
BLOCKS = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n"
INODES = "Filesystem          Inodes    IUsed     IFree    IUse% Mounted on\n"


def table(estate: Estate, host: str) -> str:
    """Return what ``df -P`` prints."""
    return BLOCKS + "".join(_line(disk, disk.blocks, _used(estate, host, disk)) for disk in DISKS)


def row(estate: Estate, host: str, mount: str, *, inodes: bool) -> str | None:
    """Return what ``df -P`` (with ``-i``) prints of the file system at ``mount``; None when there is no such path."""
    disk = next((disk for disk in DISKS if disk.mount == mount), None)
    if disk is None:
        return None
    if inodes:
        return INODES + _line(disk, disk.inodes, disk.inodes_used)
    return BLOCKS + _line(disk, disk.blocks, _used(estate, host, disk))


def _used(estate: Estate, host: str, disk: Disk) -> int:
    full = estate.faults.get("fill-disk", host)
    if full is None or disk is not DATA:
        return disk.used
    return round(disk.blocks * min(100.0, max(0.0, full.number("percent"))) / 100)


def _line(disk: Disk, size: int, used: int) -> str:
    return f"{disk.device:14} {size:11} {used:8} {size - used:9} {round(100 * used / size):7}% {disk.mount}\n"
