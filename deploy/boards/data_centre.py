"""A data centre: air, contacts, power, and the machines in it."""

from __future__ import annotations

from deploy.boards.checks import CHECKS
from deploy.boards.panels import (
    GREEN,
    NO_YES,
    OFF_ON,
    RED,
    UP_DOWN,
    YELLOW,
    Ask,
    Board,
    Choice,
    Panel,
    Row,
    bars,
    limits,
    lines,
    stat,
    table,
    timeline,
)
from deploy.boards.words import SENSOR, SITE, UPS, sensor_state, site_state, ups_state, vote_state

HERE = 'site=~"$site"'
SENSOR_NAME = "{{sensor}}"
VM = "{{vcenter}} {{vm}}"


def sensor(title: str, quantity: str, unit: str, about: str = "", **bounds: float) -> Panel:
    """Return the curves of one quantity."""
    ask = Ask(f"karaula_sensor_{quantity}{{{HERE}}}", SENSOR_NAME)
    return lines(title, (8, 8), ask, unit=unit, about=about, **bounds)


def busiest(metric: str) -> Ask:
    """Return the ten VMs with the most of it."""
    return Ask(f"topk(10, karaula_vm_{metric}{{{HERE}}})", VM)


BOARD = Board(
    uid="karaula-data-centre",
    title="Karaula: data centre",
    about="A data centre, or both: air, contacts, power, vCenters, hosts, disks.",
    choices=(Choice("site", "Site", "karaula_site_state"),),
    parts=(
        Row("Now"),
        stat("Site", (4, 6), Ask(site_state(HERE), "{{site}}"), SITE),
        stat("Smoke", (5, 6), Ask(f"karaula_sensor_smoke_detected{{{HERE}}}", SENSOR_NAME), NO_YES),
        stat("Water", (5, 6), Ask(f"karaula_sensor_water_detected{{{HERE}}}", SENSOR_NAME), NO_YES),
        stat("Door open", (5, 6), Ask(f"karaula_sensor_door_open{{{HERE}}}", SENSOR_NAME), NO_YES),
        stat("vCenters", (5, 6), Ask(f"karaula_vcenter_up{{{HERE}}}", "{{vcenter}}"), UP_DOWN),
        stat("Sensors", (24, 7), Ask(sensor_state(HERE), SENSOR_NAME), SENSOR),
        stat(
            "Danger by vote",
            (12, 4),
            Ask(vote_state(HERE), "{{vote}}"),
            SITE,
            "Down: so many sensors agree that the room is in danger; unknown: too many of them do not vote",
        ),
        stat("UPSs", (12, 4), Ask(ups_state(HERE), SENSOR_NAME), UPS, "Where the power comes from"),
        Row("Air"),
        sensor("Temperature", "temperature_celsius", "celsius"),
        lines(
            "Temperature, change in ten minutes",
            (8, 8),
            Ask(f"deriv(karaula_sensor_temperature_celsius{{{HERE}}}[10m]) * 600", SENSOR_NAME),
            unit="celsius",
            about="More than 3 degrees in ten minutes is an alert long before the limit is reached",
        ),
        lines(
            "Temperature, change as the limits see it",
            (8, 8),
            Ask(f"karaula_sensor_temperature_rise_celsius_per_second{{{HERE}}} * 600", SENSOR_NAME),
            unit="celsius",
            about="In ten minutes; over the window of the sensor's own limit in the inventory",
        ),
        sensor("Humidity", "humidity_ratio", "percentunit", min=0, max=1),
        sensor("Dust", "dust_grams_per_cubic_meter", "congm3", "Grams in a cubic metre", min=0),
        Row("Power"),
        sensor("Power drawn", "power_watts", "watt", min=0),
        sensor("Battery charge", "battery_charge_ratio", "percentunit", min=0, max=1),
        sensor("UPS load", "load_ratio", "percentunit", min=0),
        lines(
            "Votes: sensors in alarm",
            (8, 8),
            Ask(f"karaula_vote_alarm_sensors{{{HERE}}}", "{{vote}}"),
            Ask(f"karaula_vote_needed_sensors{{{HERE}}}", "{{vote}} needs"),
            Ask(f"karaula_vote_silent_sensors{{{HERE}}}", "{{vote}} silent"),
            about="So many must agree before a danger is confirmed; who is silent does not vote",
            min=0,
        ),
        Row("Machines"),
        stat("Hosts by SSH", (8, 7), Ask(f"karaula_host_up{{{HERE}}}", "{{host}}"), UP_DOWN),
        stat("ESXi hosts", (4, 7), Ask(f"karaula_esx_up{{{HERE}}}", "{{esx}}"), UP_DOWN),
        stat("In maintenance", (4, 7), Ask(f"karaula_esx_maintenance{{{HERE}}}", "{{esx}}"), NO_YES),
        stat("Name servers", (4, 7), Ask(f"karaula_dns_up{{{HERE}}}", "{{server}}"), UP_DOWN),
        stat(
            "Power controllers",
            (4, 7),
            Ask(f"karaula_power_controller_up{{{HERE}}}", "{{controller}}"),
            UP_DOWN,
            "Fences",
        ),
        stat("Outlet groups", (4, 8), Ask(f"karaula_outlets_on{{{HERE}}}", "{{group}}"), OFF_ON, "What fences switch"),
        lines("Outlet groups, drawn", (8, 8), Ask(f"karaula_outlets_watts{{{HERE}}}", "{{group}}"), unit="watt", min=0),
        lines(
            "VMs that are as they should be",
            (8, 8),
            Ask(f"sum by (site) (karaula_vm_up{{{HERE}}})", "{{site}}"),
            Ask(f"sum by (site) (karaula_vm_power_on{{{HERE}}})", "{{site}} powered on"),
            Ask(f"sum by (site) (karaula_vcenter_vms{{{HERE}}})", "{{site}} in the inventory"),
            min=0,
        ),
        bars(
            "Datastores, free",
            (8, 8),
            Ask(
                f"karaula_datastore_free_bytes{{{HERE}}} / karaula_datastore_capacity_bytes{{{HERE}}}",
                "{{vcenter}} {{datastore}}",
            ),
            limits((0.1, YELLOW), (0.2, GREEN), below=RED, unit="percentunit") | {"min": 0, "max": 1},
        ),
        stat(
            "Datastores within reach",
            (4, 8),
            Ask(f"karaula_datastore_accessible{{{HERE}}}", "{{datastore}}"),
            UP_DOWN,
        ),
        stat(
            "vCenter's own alarms",
            (4, 8),
            Ask(f"karaula_vcenter_alarms{{{HERE}}} - karaula_vcenter_alarms_acknowledged{{{HERE}}}", "{{vcenter}}"),
            limits((1, YELLOW)),
            "Those that nobody has acknowledged",
        ),
        Row("VMs with the most of it"),
        lines("Processor in use", (8, 8), busiest("cpu_usage_ratio"), unit="percentunit", min=0),
        lines("Waits for a processor", (8, 8), busiest("cpu_ready_ratio"), unit="percentunit", min=0),
        lines("Memory in use", (8, 8), busiest("memory_usage_ratio"), unit="percentunit", min=0),
        lines("Disk latency", (8, 8), busiest("disk_latency_seconds"), unit="s", min=0),
        table(
            "Oldest snapshots",
            (8, 8),
            f"bottomk(10, karaula_vm_snapshot_oldest_timestamp_seconds{{{HERE}}}) * 1000",
            {"vcenter": "vCenter", "vm": "VM", "Value": "Taken"},
            "dateTimeFromNow",
        ),
        table(
            "Largest snapshots",
            (8, 8),
            f"topk(10, karaula_vm_snapshot_bytes{{{HERE}}})",
            {"vcenter": "vCenter", "vm": "VM", "Value": "Size"},
            "bytes",
        ),
        Row("VMs with the most of it: disks, network, host's memory"),
        lines("Read from disks", (8, 8), busiest("disk_read_bytes_per_second"), unit="Bps", min=0),
        lines("Written to disks", (8, 8), busiest("disk_write_bytes_per_second"), unit="Bps", min=0),
        bars("Snapshots", (8, 8), busiest("snapshots"), limits((1, YELLOW)) | {"min": 0}),
        lines("Received from the network", (6, 8), busiest("network_received_bytes_per_second"), unit="Bps", min=0),
        lines("Sent to the network", (6, 8), busiest("network_transmitted_bytes_per_second"), unit="Bps", min=0),
        lines("Memory swapped by the host", (6, 8), busiest("memory_swapped_bytes"), unit="bytes", min=0),
        lines("Memory taken back by the balloon", (6, 8), busiest("memory_ballooned_bytes"), unit="bytes", min=0),
        Row("What vCenters know"),
        lines(
            "In the inventory",
            (8, 8),
            Ask(f"karaula_vcenter_hosts{{{HERE}}}", "{{vcenter}} ESXi hosts"),
            Ask(f"karaula_vcenter_datastores{{{HERE}}}", "{{vcenter}} datastores"),
            Ask(f"karaula_vcenter_vms_with_snapshots{{{HERE}}}", "{{vcenter}} VMs with snapshots"),
            min=0,
        ),
        stat(
            "Counters of VMs are old by",
            (8, 8),
            Ask(f"time() - karaula_vcenter_performance_timestamp_seconds{{{HERE}}}", "{{vcenter}}"),
            limits((300, YELLOW), (900, RED), unit="s", decimals=0),
        ),
        stat(
            "Datastores' sizes are old by",
            (8, 8),
            Ask(
                f"max by (vcenter) (time() - karaula_datastore_measured_timestamp_seconds{{{HERE}}})",
                "{{vcenter}}",
            ),
            limits((7200, YELLOW), unit="s", decimals=0),
            "The oldest; a vCenter measures about twice an hour by itself",
        ),
        *CHECKS,
        Row("History"),
        timeline("Sensors, history", (24, 10), Ask(sensor_state(HERE), SENSOR_NAME), SENSOR),
        timeline("vCenters, history", (24, 5), Ask(f"karaula_vcenter_up{{{HERE}}}", "{{vcenter}}"), UP_DOWN),
    ),
)
