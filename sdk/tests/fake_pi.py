"""A Raspberry Pi 4 as folders of procfs, sysfs and /etc, of which a test takes away or changes what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgekit.profiling.readings import Sources

CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"
FIRMWARE_PI_4 = "sys/devices/platform/soc/soc:firmware/get_throttled"
FIRMWARE_PI_5 = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"

PI_4: dict[str, str] = {
    **{
        f"{CPU}/cpu{cpu}/cpufreq/{name}": f"{value}\n"
        for cpu in range(4)
        for name, value in {
            "scaling_governor": "ondemand",
            "scaling_cur_freq": 600_000 + 300_000 * cpu,
            "scaling_min_freq": 600_000,
            "scaling_max_freq": 1_500_000,
        }.items()
    },
    f"{CPU}/cpufreq/boost": "0\n",
    f"{CPU}/online": "0-3\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
    f"{THERMAL}/thermal_zone0/temp": "48199\n",
    f"{THERMAL}/cooling_device0/type": "gpio-fan\n",
    f"{THERMAL}/cooling_device0/cur_state": "1\n",
    f"{THERMAL}/cooling_device1/type": "cpufreq-cpu0\n",
    f"{THERMAL}/cooling_device1/cur_state": "2\n",
    FIRMWARE_PI_4: "50000\n",
    "proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/var/swap   file\t\t102396\t\t2048\t\t-2\n",
    "proc/vmstat": "nr_free_pages 815431\npswpin 31\npswpout 512\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234567\n",
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
    "proc/pressure/io": "some avg10=1.10 avg60=0.00 avg300=0.00 total=99\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=98\n",
    "proc/self/task/811/schedstat": "81000000 4000000 52\n",
    "proc/self/task/812/schedstat": "1000000 30000 9\n",
    "proc/self/status": "Name:\tpython3\nVmHWM:\t   39272 kB\nVmRSS:\t   39001 kB\n",
    "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-1.scope\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 99\nnr_throttled 0\nthrottled_usec 0\n",
    "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
    "sys/fs/cgroup/user.slice/user-1000.slice/session-1.scope/cpu.stat": "usage_usec 5\n",
    "proc/loadavg": "0.52 0.58 0.59 1/189 811\n",
    "proc/meminfo": "MemTotal:        3884420 kB\nMemFree:  100 kB\nMemAvailable:    3500000 kB\n",
    "proc/uptime": "3600.53 14000.21\n",
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\n"
    "Features\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
    "Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/device-tree/serial-number": "10000000a1b2c3d4\0",
    "etc/machine-id": "aaaabbbbccccddddeeeeffff00001111\n",
    "etc/os-release": 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
}


def build(root: Path, files: Mapping[str, str | bytes | None]) -> Sources:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:  # what a file that is there and cannot be read is to open(): an OSError
            path.mkdir()
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Sources(root / "proc", root / "sys", root / "etc", vcgencmd=str(root / "vcgencmd"))
