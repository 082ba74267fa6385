#!/bin/sh
# Inside the chroot, in the clone, set up: start ./do run, use it as README says, stop it. Needs python3 only.
set -eu
begun=$(date +%s)
./do run >run.log 2>&1 &
pid=$!
python3 - <<'PYTHON'
import time, urllib.request

begun = time.monotonic()
while True:
    try:
        page = urllib.request.urlopen("http://127.0.0.1:8470/", timeout=5).read().decode()
        metrics = urllib.request.urlopen("http://127.0.0.1:8470/metrics", timeout=5).read().decode()
        break
    except OSError:
        assert time.monotonic() < begun + 60, open("run.log").read()
        time.sleep(0.1)
assert "ncts" in page.lower(), page[:500]
print(f"the console answers after {time.monotonic() - begun:.1f} s, with {metrics.count(chr(10))} lines of metrics")
PYTHON
sleep 8
PATH=$PWD/.venv/bin:$PATH
karaula status
karaula drill ncts --reason "a first drill"
karaula lab cut main
sleep 25
karaula runs
run=$(karaula runs | sed -n 's/^\(ncts-failover-[0-9-]*\).*/\1/p')
karaula run approve "$run" --yes
karaula run report "$run" | head -20
kill -TERM $pid
wait $pid
echo "all of it in $(($(date +%s) - begun)) s"
