"""Every action by the name that playbooks use."""

from __future__ import annotations

from dr.action import Action
from dr.actions.ansible import Ansible
from dr.actions.ask import Ask
from dr.actions.backup import BackupCheck, BackupSelect, TakeBackup
from dr.actions.backup_keep import BackupCopy, BackupExpire, CopyCheck
from dr.actions.bubble import BubbleCreate, BubbleRemove
from dr.actions.dns_record import DnsRecord
from dr.actions.fence import Fence, Unfence
from dr.actions.http_call import HttpCall
from dr.actions.http_check import HttpCheck
from dr.actions.notify import Notify
from dr.actions.pgbackrest import DatabaseDump, PgbackrestBackup, PgbackrestCheck, PgbackrestRestore
from dr.actions.production import ProductionState, ProductionUnchanged
from dr.actions.recovery_point import RecoveryPoint
from dr.actions.restic import ResticBackup, ResticCheck, ResticRestore
from dr.actions.restore import Discard, Restore, RestoreCheck, RestoreStart
from dr.actions.role import Demote, Follow, Promote
from dr.actions.ssh_run import SshRun
from dr.actions.vip import MoveAddress
from dr.actions.vm_power import VmPower
from dr.actions.vm_snapshot import VmSnapshot
from dr.actions.wait import CheckRole, WaitDatabase, WaitReplica
from dr.actions.wait_for import WaitFor

ACTIONS: dict[str, Action] = {
    "vm_power": VmPower(),
    "vm_snapshot": VmSnapshot(),
    "ssh_run": SshRun(),
    "ansible": Ansible(),
    "http_call": HttpCall(),
    "http_check": HttpCheck(),
    "dns_record": DnsRecord(),
    "vip": MoveAddress(),
    "fence": Fence(),
    "unfence": Unfence(),
    "promote": Promote(),
    "demote": Demote(),
    "follow": Follow(),
    "wait_database": WaitDatabase(),
    "wait_replica": WaitReplica(),
    "wait_for": WaitFor(),
    "ask": Ask(),
    "notify": Notify(),
    "check_role": CheckRole(),
    "recovery_point": RecoveryPoint(),
    "production_state": ProductionState(),
    "production_unchanged": ProductionUnchanged(),
    "bubble_create": BubbleCreate(),
    "bubble_remove": BubbleRemove(),
    "backup": TakeBackup(),
    "backup_select": BackupSelect(),
    "backup_check": BackupCheck(),
    "backup_copy": BackupCopy(),
    "copy_check": CopyCheck(),
    "backup_expire": BackupExpire(),
    "restore": Restore(),
    "restore_start": RestoreStart(),
    "restore_check": RestoreCheck(),
    "discard": Discard(),
    "restic_backup": ResticBackup(),
    "restic_check": ResticCheck(),
    "restic_restore": ResticRestore(),
    "pgbackrest_backup": PgbackrestBackup(),
    "pgbackrest_check": PgbackrestCheck(),
    "pgbackrest_restore": PgbackrestRestore(),
    "database_dump": DatabaseDump(),
}
