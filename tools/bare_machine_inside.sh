#!/bin/bash
# The inside of tools/bare_machine.py: process 1 of a new mount and pid namespace. Not to be called by hand.
#
#   bare_machine_inside.sh ROOT USER COMMAND...     run the commands in ROOT as USER, one after the other
#
# Makes ROOT the root of this mount namespace (pivot_root, not chroot: the kernel refuses user namespaces in a chroot),
# with fresh /proc, /sys and /dev. When this process ends, the kernel ends all others of its pid namespace, and with the
# mount namespace go all mounts: nothing has to be cleaned up, and nothing can be left behind.
#
# On file descriptor $REPORT_FD it reports, a line each: "start N", "end N STATUS", and "left N DESCRIPTION" for whatever
# command N left running or mounted.
set -eu
root=$1 user=$2
shift 2

mount --bind "$root" "$root"  # pivot_root wants a mount point
cd "$root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o mode=755,nosuid tmpfs run
mount -t tmpfs -o mode=755,nosuid tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr

mkdir -p mnt/before
pivot_root . mnt/before
cd /
umount -l /mnt/before
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mounts() { cut -d' ' -f1,2,3 /proc/self/mounts; }

# Sets `running` to a line for every process but this one. Not in a subshell, which would be one more process.
look_for_processes() {
    local folder name
    running=''
    for folder in /proc/[2-9]* /proc/1[0-9]*; do
        grep -q '^State:.Z' "$folder/status" 2>/dev/null && continue
        read -r name 2>/dev/null <"$folder/comm" || continue
        running+="process ${folder#/proc/} ($name): $(tr '\0' ' ' <"$folder/cmdline" 2>/dev/null)"$'\n'
    done
}

# Reports what command N left behind, after a moment of grace in which what was told to stop may finish.
report_what_is_left() {
    local line
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        look_for_processes
        [ -n "$running" ] || break
        sleep 0.5
    done
    diff <(echo "$mounted") <(mounts) | sed -n 's/^> /mount /p' >/run/mounted-since || true
    while read -r line; do
        [ -z "$line" ] || echo "left $1 $line" >&"$REPORT_FD"
    done <<<"$running$(cat /run/mounted-since)"
}

home=$(getent passwd "$user" | cut -d: -f6)
mounted=$(mounts)
number=0 failed=0
for command in "$@"; do
    echo "start $number" >&"$REPORT_FD"
    status=0
    (cd "$home" && exec setpriv --reuid "$user" --regid "$user" --init-groups -- \
        env -u REPORT_FD HOME="$home" USER="$user" LOGNAME="$user" SHELL=/bin/bash bash -c "$command" </dev/null {REPORT_FD}>&-) || status=$?
    report_what_is_left "$number"
    echo "end $number $status" >&"$REPORT_FD"
    [ "$status" = 0 ] || failed=$status
    [ "$status" = 0 ] || break
    number=$((number + 1))
done
exit "$failed"
